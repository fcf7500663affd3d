"""The operator's own decision as a policy of the simulator: the very function that the operator runs."""

from __future__ import annotations

from collections.abc import Sequence

from deepseek_operator.scaling.decide import Decision, ScalingPolicy, decide
from deepseek_operator.scaling.fleet_values import Sample
from deepseek_operator.scaling.history import History
from deepseek_operator.scaling.replica_capacity import ReplicaCapacity
from deepseek_operator.scaling.signals import ABSENT, Signal, Snapshot

RATE_SECONDS = 60.0
"""Window of all rates, as in the queries."""


class OperatorPolicy:
    """Makes snapshots of scrapes as the operator's queries do, and decides."""

    def __init__(self, capacity: ReplicaCapacity, policy: ScalingPolicy) -> None:
        """Make it for replicas of one capacity."""
        self._capacity = capacity
        self._policy = policy
        self._history = History()
        self.last: Decision | None = None

    def replicas(self, samples: Sequence[Sample], now: float, current: int) -> int:
        """Return the operator's decision."""
        decision = decide(snapshot_of(samples, now), self._capacity, self._policy, self._history, now, current)
        self._history, self.last = decision.history, decision
        return decision.replicas


def snapshot_of(samples: Sequence[Sample], now: float) -> Snapshot:
    """Return what the operator's queries answer when these scrapes are known; signals are absent below two of them."""
    if len(samples) < 2:
        return Snapshot(tokens_per_second=ABSENT, seconds_per_token=ABSENT, starts_per_second=ABSENT, ready=0)
    newest = samples[-1]
    place = len(samples) - 2
    while place > 0 and newest.time - samples[place].time < RATE_SECONDS:
        place -= 1
    before, age = samples[place], now - newest.time
    seconds = newest.time - before.time
    tokens = newest.tokens - before.tokens

    def of(value: float) -> Signal:
        return Signal(value=value, age_seconds=age)

    return Snapshot(
        tokens_per_second=of(tokens / seconds),
        seconds_per_token=of((newest.token_seconds - before.token_seconds) / tokens if tokens > 0 else 0.0),
        starts_per_second=of((newest.first_tokens - before.first_tokens) / seconds),
        prompt_work=of((newest.reading_seconds - before.reading_seconds) / seconds),
        running=of(newest.running),
        waiting=of(newest.waiting),
        cached_tokens=of(newest.cached_tokens),
        ready=newest.ready,
        starting=newest.starting,
        start_seconds=newest.start_seconds,
    )
