"""Beside the load, once per object and round: to zero and back, and memory pressure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deepseek_operator.handlers.memory_pressure import PressureWatch
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.scaling_facts import ScalingFacts
from deepseek_operator.scaling.decide import Decision, Limit, ScalingReason, Terms
from deepseek_operator.scaling.history import History
from deepseek_operator.scaling.readings import Readings
from deepseek_operator.scaling.zero import Idle, ZeroRule, next_idle, zero_step


class Beside:
    """Remembers idle time, and lets memory pressure be looked at.

    Args:
        pressure: looks at memory pressure; None where nobody asks.
    """

    def __init__(self, pressure: PressureWatch | None) -> None:
        self._pressure = pressure
        self._idle: dict[str, Idle] = {}

    def with_zero(
        self,
        scaled: ScalingFacts,
        decision: Decision | None,
        readings: Readings,
        *,
        current: int,
        ready: int,
        history: History,
        now: float,
    ) -> Decision | None:
        """Return the decision, or the step to or from zero in its place.

        Args:
            scaled: the object.
            decision: by load; None where nothing is decided.
            readings: of its replicas.
            current: replicas that are asked for.
            ready: replicas that serve.
            history: of decisions, for one that was not made by load.
            now: seconds since 1970.
        """
        if scaled.external:
            return decision
        idle = next_idle(self._idle.get(scaled.uid, Idle()), readings, ready=ready, now=now)
        self._idle[scaled.uid] = idle
        rule = ZeroRule(
            least=scaled.least,
            most=min(limit.replicas for limit in scaled.limits),
            after_seconds=scaled.zero_after_seconds,
            requests_per_replica=scaled.requests_per_replica,
        )
        step = zero_step(rule, idle, readings.queued_at_gateway, current=current, now=now)
        if step is None:
            return decision
        self._idle.pop(scaled.uid)
        return Decision(
            replicas=step.replicas,
            reason=ScalingReason.AWAKE if step.replicas else ScalingReason.IDLE,
            message=step.message,
            terms=Terms(),
            history=history if decision is None else decision.history,
        )

    def look(
        self,
        scaled: ScalingFacts,
        pods: Iterable[PodState],
        readings: Readings,
        limits: Sequence[Limit],
        *,
        current: int,
        waiting: int,
        now: float,
    ) -> None:
        """Look at memory pressure.

        Args:
            scaled: the object.
            pods: of it.
            readings: of its replicas.
            limits: of replicas beside those of its owner.
            current: replicas that are asked for.
            waiting: those of them that no node has room for.
            now: seconds since 1970.
        """
        if self._pressure is None or current == 0:
            return
        rolling = any(pod.plan_hash not in ("", scaled.key.plan_hash) for pod in pods)
        blocked = why_no_more(scaled, limits, current=current, waiting=waiting)
        self._pressure.look(scaled.uid, scaled.memory_pressure, readings, blocked=blocked, rolling=rolling, now=now)

    def forget(self, uid: str) -> None:
        """Drop what is remembered of an object that is gone."""
        self._idle.pop(uid, None)


def why_no_more(scaled: ScalingFacts, limits: Sequence[Limit], *, current: int, waiting: int) -> str:
    """Return why no replica can be added, in words; empty when one can.

    Args:
        scaled: the object.
        limits: of replicas beside those of its owner.
        current: replicas that are asked for.
        waiting: those of them that no node has room for.
    """
    if waiting:
        return f"{waiting} of {current} replicas wait for GPUs"
    first = min((*scaled.limits, *limits), key=lambda limit: limit.replicas)
    if current >= first.replicas:
        return f"{first.name} allows {first.replicas}"
    return "" if scaled.external or scaled.why_not is None else scaled.why_not[1]
