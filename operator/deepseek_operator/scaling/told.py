"""What a person is told of an object's scaling: changed when there is news, and not by every number that moves.

Each change of it is a write to the API server, so a state that comes and goes must not show each time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from deepseek_operator.scaling.decide import Decision, ScalingReason
from deepseek_operator.scaling.readings import SignalProblem

MOVES = frozenset(
    {
        ScalingReason.DEMAND_RISES,
        ScalingReason.DEMAND_FELL,
        ScalingReason.CANCELLED,
        ScalingReason.GPUS_NEVER_CAME,
    }
)
"""Reasons that stay told while nothing else happens: they say what was done last."""

BLIND = frozenset({ScalingReason.SIGNALS_MISSING, ScalingReason.STARTING})
"""Reasons with which nothing is decided."""

RECOVERED_ROUNDS = 2
"""How many rounds signals must have been there again until that is told: a scrape in between is no recovery."""

UNLIMITED_ROUNDS = 10
"""How many rounds a limit must not have held anything back until that is told."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is told of the scaling of one object.

    Args:
        active: whether the number of replicas follows what is measured.
        reason: one CamelCase word.
        message: one sentence.
        seen: when this was last found to be so, in seconds of the decisions' clock.
        adopted: whether an earlier process told it, so that what it names (such as an address) may be of then.
    """

    active: bool
    reason: str
    message: str
    seen: float
    adopted: bool = False

    def says_as(self, other: Told) -> bool:
        """Whether a person would read the same."""
        return (self.active, self.reason, self.message) == (other.active, other.reason, other.message)


def next_told(
    old: Told | None,
    decision: Decision,
    problem: SignalProblem | None,
    *,
    current: int,
    now: float,
    round_seconds: float,
) -> Told:
    """Return what is to be told after a decision.

    Args:
        old: what was told before; None for nothing.
        decision: the newest.
        problem: why signals are missing; also one with which a decision could be made.
        current: replicas before the decision.
        now: seconds.
        round_seconds: from one decision to the next.
    """
    new = _of(decision, problem, now)
    if old is None or decision.replicas != current:
        return new
    if (new.active, new.reason) == (old.active, old.reason):
        return new if old.adopted and problem is not None else replace(old, seen=now)
    if new.active and not old.active and now - old.seen < RECOVERED_ROUNDS * round_seconds:
        return old
    steady = new.active and old.active and decision.reason is ScalingReason.STEADY and problem is None
    if steady and old.reason in MOVES:
        return replace(old, seen=now)
    if steady and old.reason == ScalingReason.LIMITED and now - old.seen < UNLIMITED_ROUNDS * round_seconds:
        return old
    return new


def _of(decision: Decision, problem: SignalProblem | None, now: float) -> Told:
    if decision.reason is ScalingReason.SIGNALS_MISSING and problem is not None:
        stay = "1 replica stays" if decision.replicas == 1 else f"{decision.replicas} replicas stay"
        return Told(active=False, reason=problem.reason.value, message=f"{problem.message}; {stay}", seen=now)
    if decision.reason in BLIND:
        return Told(active=False, reason=decision.reason.value, message=decision.message, seen=now)
    if problem is not None and decision.reason is ScalingReason.STEADY:
        return Told(
            active=True, reason=problem.reason.value, message=f"{decision.message}; {problem.message}", seen=now
        )
    return Told(active=True, reason=decision.reason.value, message=decision.message, seen=now)
