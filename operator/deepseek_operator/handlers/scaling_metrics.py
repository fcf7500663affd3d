"""Metrics of the scaling loop, for the operator's own page."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from deepseek_operator.scaling.attainment import Attainment
from deepseek_operator.scaling.readings import SignalProblem

ROUND_SECONDS_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From a handful of objects up to a round that takes as long as the time between two."""

LATENCIES = ("ttft", "tpot")

Where = tuple[str, str]
"""Namespace and name."""


class ScalingMetrics:
    """What the scaling loop counts.

    Args:
        registry: where to register.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        where = ["namespace", "name"]
        self._problems: dict[Where, str] = {}
        self.desired = Gauge(
            "deepseek_operator_desired_replicas",
            "Replicas that scaling asks for.",
            where,
            registry=registry,
        )
        self.ready = Gauge(
            "deepseek_operator_ready_replicas",
            "Replicas that serve.",
            where,
            registry=registry,
        )
        self.decisions = Counter(
            "deepseek_operator_scaling_decisions",
            "Changes of replicas, by reason.",
            ["reason"],
            registry=registry,
        )
        self.problems = Gauge(
            "deepseek_operator_scaling_signal_problems",
            "DeepSeekDeployments of which signals are missing at the last round, by reason.",
            ["reason"],
            registry=registry,
        )
        self.attained = Gauge(
            "deepseek_operator_sla_met",
            "1 while the measured latency keeps the service level, 0 while not; absent while unknown.",
            where,
            registry=registry,
        )
        self.latency_ratio = Gauge(
            "deepseek_operator_sla_latency_ratio",
            "Measured latency at the service level's percentile over what is asked, for ttft and tpot.",
            [*where, "latency"],
            registry=registry,
        )
        self.round_seconds = Histogram(
            "deepseek_operator_scaling_round_seconds",
            "Time of one round of scaling over all objects, with its queries.",
            buckets=ROUND_SECONDS_BUCKETS,
            registry=registry,
        )

    def show(self, where: Where, *, desired: int, ready: int, attained: Attainment) -> None:
        """Show the state of one object."""
        self.desired.labels(*where).set(desired)
        self.ready.labels(*where).set(ready)
        _set_or_remove(self.attained, where, None if attained.holds is None else float(attained.holds))
        for latency, ratio in zip(LATENCIES, (attained.ttft_ratio, attained.tpot_ratio), strict=True):
            _set_or_remove(self.latency_ratio, (*where, latency), ratio)

    def show_problem(self, where: Where, problem: SignalProblem | None) -> None:
        """Count what is wrong with the signals of one object, in place of what was before."""
        reason, before = problem.reason.value if problem else "", self._problems.pop(where, "")
        if reason:
            self._problems[where] = reason
        if reason != before:
            if before:
                self.problems.labels(reason=before).dec()
            if reason:
                self.problems.labels(reason=reason).inc()

    def drop(self, where: Where) -> None:
        """Stop showing an object."""
        self.show_problem(where, None)
        for gauge in (self.desired, self.ready, self.attained):
            _set_or_remove(gauge, where, None)
        for latency in LATENCIES:
            _set_or_remove(self.latency_ratio, (*where, latency), None)


def _set_or_remove(gauge: Gauge, labels: tuple[str, ...], value: float | None) -> None:
    if value is not None:
        gauge.labels(*labels).set(value)
        return
    try:
        gauge.remove(*labels)
    except KeyError:
        return  # it was not shown
