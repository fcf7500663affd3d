"""Replays a trace of requests through a scaling policy and a model of the replicas, with faults."""

from __future__ import annotations

import math
import random
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace

from deepseek_operator.performance.pace import ReplicaPace
from deepseek_operator.scaling.engine_model import EngineLimits
from deepseek_operator.scaling.fleet_model import FleetModel
from deepseek_operator.scaling.fleet_values import Sample, ServiceLevel, Trace
from deepseek_operator.scaling.rival_policies import ScalingPolicy

SECONDS_PER_HOUR = 3600.0

TICK_SECONDS = 15.0
"""How often metrics are scraped and policies decide: HPA's own period, and what Prometheus is often set to."""

FLAP_SECONDS = 1800.0
"""A change against the last change within this time counts as a flap."""

MOST_TAIL_SECONDS = 3600.0
"""How long answers are waited for after the last request."""

START_SPREAD = 0.2
"""Start-up times differ by up to this share either way."""

KEPT_SAMPLES = 512
"""Scrapes that a policy may look back at: a little more than two hours."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong, at times that the seed draws, for every policy alike.

    Args:
        metric_age_seconds: least age of what a policy knows; up to one scrape is added.
        scrape_gap_seconds: one time without scrapes, of that length; 0 for none.
        lost_replicas: replicas that disappear with their requests.
    """

    metric_age_seconds: float = 15.0
    scrape_gap_seconds: float = 0.0
    lost_replicas: int = 0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is replayed, apart from the policy.

    Args:
        trace: the requests.
        pace: speed of one replica.
        limits: of one replica.
        level: service level of a request.
        gpus_per_replica: GPUs of one replica.
        start_seconds: mean time from the order of a replica to its first request.
        first_replicas: ready at the beginning.
        most_replicas: that the GPUs allow.
        faults: what goes wrong.
        seed: of all draws.
    """

    trace: Trace
    pace: ReplicaPace
    limits: EngineLimits
    level: ServiceLevel
    gpus_per_replica: int
    start_seconds: float
    first_replicas: int
    most_replicas: int
    faults: Faults
    seed: int


@dataclass(frozen=True, kw_only=True)
class TimelinePoint:
    """What the picture shows of one moment."""

    time: float
    desired: int
    ready: int
    running: int
    waiting: int
    late: int


@dataclass(frozen=True, kw_only=True)
class SimulationResult:
    """How a policy did.

    Args:
        requests: of the trace.
        within_sla: requests whose TTFT and mean TPOT were within the limits; lost and refused ones were not.
        rejected: requests that got no answer: no replica served, their replica was lost, or no context is so long.
        gpu_hours: from the order of each replica until it is empty, up to the last request.
        replica_changes: how often the number that is asked for changed.
        flaps: changes against the one before within half an hour.
        reversals: changes against the one before.
        peak_replicas: most that were ready.
    """

    requests: int
    within_sla: int
    rejected: int
    ttft_p99_seconds: float
    tpot_p99_seconds: float
    gpu_hours: float
    replica_changes: int
    flaps: int
    reversals: int
    peak_replicas: int
    seconds_simulated: float
    wall_seconds: float
    timeline: tuple[TimelinePoint, ...]

    @property
    def sla_percent(self) -> float:
        """Share of all requests that were served within the service level; 100 for none."""
        return 100.0 * self.within_sla / self.requests if self.requests else 100.0


def simulate(
    scenario: Scenario, policy: ScalingPolicy, progress: Callable[[float], None] | None = None
) -> SimulationResult:
    """Return how a policy serves a trace.

    Args:
        scenario: the trace, the replicas and the faults; equal scenarios and policies give equal results but for
            ``wall_seconds``.
        policy: chooses the replicas every `TICK_SECONDS`.
        progress: called now and then with the share of the trace that is done, 0 to 1.
    """
    began = time.perf_counter()
    draws = random.Random(scenario.seed)  # noqa: S311 - draws of a simulation, not a secret
    faults = scenario.faults
    trace = scenario.trace
    end = trace.seconds
    gap = draws.uniform(0.1, 0.9) * end
    losses = sorted((draws.uniform(0.1, 0.9) * end for _ in range(faults.lost_replicas)), reverse=True)
    starts = random.Random(scenario.seed + 1)  # noqa: S311 - draws of a simulation, not a secret
    fleet = FleetModel(
        scenario.pace,
        scenario.limits,
        scenario.level,
        start_seconds=lambda: scenario.start_seconds * starts.uniform(1 - START_SPREAD, 1 + START_SPREAD),
        most_replicas=scenario.most_replicas,
        seed=scenario.seed,
    )
    fleet.begin(scenario.first_replicas)
    changes = _Changes(scenario.first_replicas)
    samples: list[Sample] = []
    timeline: list[TimelinePoint] = []
    index, now, held, told = 0, 0.0, 0.0, 0
    while now < end + MOST_TAIL_SECONDS and (now <= end or fleet.in_flight):
        now += TICK_SECONDS
        index = fleet.run(trace, now, index)
        if now <= end + TICK_SECONDS:
            held = fleet.replica_seconds
        while losses and losses[-1] <= now:
            losses.pop()
            fleet.lose_one()
        sample = fleet.sample()
        if not gap <= now < gap + faults.scrape_gap_seconds:
            samples.append(sample)
        del samples[:-KEPT_SAMPLES]
        known_until = now - faults.metric_age_seconds - draws.uniform(0.0, TICK_SECONDS)
        known = len(samples)
        while known and samples[known - 1].time > known_until:
            known -= 1
        if now <= end:
            wanted = policy.replicas(samples[:known], now, fleet.desired)
            changes.add(now, wanted)
            if wanted != fleet.desired:
                fleet.set_desired(wanted)
        timeline.append(_point(sample, fleet))
        if progress is not None and end and int(100 * now / end) > told:
            told = int(100 * now / end)
            progress(min(1.0, now / end))
    return SimulationResult(
        requests=len(trace.arrivals),
        within_sla=fleet.within,
        rejected=fleet.rejected,
        ttft_p99_seconds=_percentile(fleet.ttft, 99),
        tpot_p99_seconds=_percentile(fleet.tpot, 99),
        gpu_hours=held * scenario.gpus_per_replica / SECONDS_PER_HOUR,
        replica_changes=changes.count,
        flaps=changes.flaps,
        reversals=changes.reversals,
        peak_replicas=max((point.ready for point in timeline), default=0),
        seconds_simulated=now,
        wall_seconds=time.perf_counter() - began,
        timeline=tuple(timeline),
    )


def offered_in_flight(scenario: Scenario) -> list[int]:
    """Return the requests in flight at each tick when a replica is always free."""
    return [round(each) for each in _offered(scenario, cached=False)]


def offered_load(scenario: Scenario) -> list[float]:
    """Return what a clairvoyant policy knows: the load at each tick as a number of requests in flight.

    Where their caches take a larger share of a replica than they do of its batch, it is as many requests as take that
    share of a batch.
    """
    full = scenario.limits.batch / scenario.limits.kv_tokens
    in_flight, cached = _offered(scenario, cached=False), _offered(scenario, cached=True)
    return [max(requests, tokens * full) for requests, tokens in zip(in_flight, cached, strict=True)]


def _offered(scenario: Scenario, *, cached: bool) -> list[float]:
    """Return the requests in flight at each tick when none waits, or the tokens that they hold in the caches."""
    tpot = scenario.pace.step(scenario.limits.batch, 0)
    trace = scenario.trace
    ticks = int(trace.seconds / TICK_SECONDS) + 2
    change = [0.0] * (ticks + 1)
    for arrived, prompt, output in zip(trace.arrivals, trace.prompt_tokens, trace.output_tokens, strict=True):
        ended = arrived + scenario.pace.prompt(prompt) + scenario.pace.first_token_seconds + output * tpot
        held = prompt + output / 2 if cached else 1.0
        change[int(arrived / TICK_SECONDS)] += held
        change[min(ticks, int(ended / TICK_SECONDS) + 1)] -= held
    found, total = [], 0.0
    for each in change[:ticks]:
        total += each
        found.append(total)
    return found


def with_seed(scenario: Scenario, seed: int) -> Scenario:
    """Return the scenario with other draws."""
    return replace(scenario, seed=seed)


def _point(sample: Sample, fleet: FleetModel) -> TimelinePoint:
    return TimelinePoint(
        time=sample.time,
        desired=fleet.desired,
        ready=sample.ready,
        running=sample.running,
        waiting=sample.waiting,
        late=sample.late,
    )


def _percentile(values: array[float], percent: int) -> float:
    """Return the value that so many percent stay within; 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)])


class _Changes:
    """Counts how often the number of replicas changes and turns."""

    def __init__(self, first: int) -> None:
        self._last = first
        self._direction = 0
        self._at = -math.inf
        self.count = self.flaps = self.reversals = 0

    def add(self, now: float, wanted: int) -> None:
        if wanted == self._last:
            return
        direction = 1 if wanted > self._last else -1
        self.count += 1
        if self._direction == -direction:
            self.reversals += 1
            self.flaps += now - self._at <= FLAP_SECONDS
        self._direction, self._at, self._last = direction, now, wanted
