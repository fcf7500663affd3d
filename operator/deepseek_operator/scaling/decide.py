"""How many replicas an object should have, from what its engines measure: one pure function, which is also simulated.

``needed`` replicas carry the peak that is expected until a replica ordered now serves (`forecast`), within the service
level by the plan's own speed model, corrected by what is measured (`replica_capacity`). More are ordered at once. Fewer
are taken only when less was needed all through `HOLD_SECONDS`, so that a load that comes and goes does not move them;
what is spare by far, and replicas that do not serve yet, go sooner. Without signals nothing moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from deepseek_operator.scaling.expected_load import expected_load
from deepseek_operator.scaling.forecast import expected_peak
from deepseek_operator.scaling.history import History
from deepseek_operator.scaling.replica_capacity import Load, ReplicaCapacity
from deepseek_operator.scaling.restored import prepared_when_restored
from deepseek_operator.scaling.signals import Snapshot
from deepseek_operator.units import counted

HOLD_SECONDS = 1500.0
"""How long less must have been needed before serving replicas are stopped; start-up and drain are paid again else."""

SETTLED_SHARE = 0.8
"""How many of them are taken: what was needed in the last part of that time. Rates are means over a minute and more, so
a fall of the load is measured in steps, and this makes one step of them."""

SPARE_SECONDS = 600.0
SPARE_FACTOR = 1.3
"""What exceeds the need of the last ten minutes by more than this is spare at once: it takes a load that grows by as
much to need it again."""

CANCEL_SECONDS = 900.0
"""The same for replicas that do not serve yet."""

DOWN_MARGIN = 1.03
"""How much more load the replicas that stay must carry, so that the last step down is not the next step up."""

BLIND_SECONDS = 300.0
"""After so long without signals, what runs counts as needed: what was needed before says nothing any more."""

STEADY_SECONDS = 120.0
STEADIES_PER_HOLD = 12
"""Time over which the load is taken that the reserve is a multiple of; a small part of the hold, so that a load that
falls at once lets replicas go in one step."""

KEPT_RESERVE = 0.85
"""Share of the reserve that may not be used up: only beyond it are replicas added, so that noise adds none."""

UP_REPLICAS, UP_FACTOR = 4, 2
"""One decision adds at most four replicas, or as many as there are: HPA's own default."""

PENDING_STARTS = 3.0
BACK_OFF_SECONDS = 900.0
"""A replica without GPUs for three start-ups is given up, and nothing is added for a quarter of an hour."""


class ScalingReason(StrEnum):
    """Why a decision is as it is; the reason of events and of the ScalingActive condition."""

    STEADY = "Steady"
    DEMAND_RISES = "DemandRises"
    DEMAND_FELL = "DemandFell"
    CANCELLED = "StartCancelled"
    LIMITED = "Limited"
    GPUS_NEVER_CAME = "GpusNeverCame"
    SIGNALS_MISSING = "SignalsMissing"
    STARTING = "NothingServesYet"
    IDLE = "ScaledToZero"
    AWAKE = "ScaledFromZero"


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One upper limit of replicas, with the words that name it in a decision."""

    replicas: int
    name: str


@dataclass(frozen=True, kw_only=True)
class ScalingPolicy:
    """What the owner and the cluster allow.

    Args:
        least: fewest replicas.
        limits: upper limits: scaling.maxReplicas, cost, quota, GPUs that are free; at least one.
        start_seconds: assumed until a replica was seen to start.
        output_tokens: mean length of an answer, assumed until some were seen.
        hold_seconds: how long less must have been needed before serving replicas are stopped.
    """

    least: int
    limits: tuple[Limit, ...]
    start_seconds: float = 300.0
    output_tokens: float = 256.0
    hold_seconds: float = HOLD_SECONDS

    @property
    def cancel_seconds(self) -> float:
        """How long less must have been needed before replicas are stopped that do not serve yet."""
        return min(CANCEL_SECONDS, self.hold_seconds)

    @property
    def spare_seconds(self) -> float:
        """How long much less must have been needed before serving replicas are stopped."""
        return min(SPARE_SECONDS, self.hold_seconds)

    @property
    def most(self) -> Limit:
        """The limit that is reached first; of equal ones the first."""
        return min(self.limits, key=lambda limit: limit.replicas)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The numbers of a decision, for its explanation.

    Args:
        tokens_per_second: that the requests in flight make.
        forecast: the same when a replica ordered now would serve.
        prepared_for: with the reserve.
        needed: replicas for that, limits aside.
        start_seconds: start-up that was reckoned with.
    """

    tokens_per_second: float = 0.0
    forecast: float = 0.0
    prepared_for: float = 0.0
    needed: int = 0
    start_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do, and what to remember.

    Args:
        replicas: that should be asked for.
        message: one sentence.
        history: for the next decision.
    """

    replicas: int
    reason: ScalingReason
    message: str
    terms: Terms
    history: History


def most_after(current: int) -> int:
    """Return the most replicas that one decision asks for.

    >>> most_after(1), most_after(8)
    (5, 16)
    """
    return max(current + UP_REPLICAS, current * UP_FACTOR)


def decide(
    snapshot: Snapshot, capacity: ReplicaCapacity, policy: ScalingPolicy, history: History, now: float, current: int
) -> Decision:
    """Return how many replicas there should be.

    Args:
        snapshot: what is measured.
        capacity: of one replica, as planned.
        policy: limits.
        history: of the decision before; an empty one for the first.
        now: seconds; never before that of the decision before.
        current: replicas that are asked for now, starting ones included.
    """
    history = history.with_start(snapshot.start_seconds).begun(now, current)
    missing = snapshot.missing()
    if missing:
        if not history.since(now - BLIND_SECONDS):
            history = history.with_need(now, current, policy.hold_seconds)
        return _held(snapshot, policy, history, current, missing)
    history, load, terms, reserve = _evaluate(snapshot, capacity, policy, history, now, current)
    known = replace(capacity, step_factor=history.step_factor)
    bound = max(1, policy.most.replicas)
    needed = known.replicas(load, bound, reserve)
    at_least = 1.0 + (reserve - 1.0) * KEPT_RESERVE
    to_keep = needed
    while to_keep < bound and not known.carries(load, to_keep, reserve * DOWN_MARGIN):
        to_keep += 1
    terms = replace(terms, needed=needed)
    history = history.with_need(now, to_keep, policy.hold_seconds)
    rises = needed > current and not known.carries(load, current, at_least)
    wanted, reason = _wanted(
        snapshot, policy, history, now, current, needed if rises else min(needed, current), terms.start_seconds
    )
    if reason is ScalingReason.GPUS_NEVER_CAME:
        history = replace(history, gave_up_at=now)
    return _limited(policy, history, current, wanted, reason, terms)


def _evaluate(
    snapshot: Snapshot, capacity: ReplicaCapacity, policy: ScalingPolicy, history: History, now: float, current: int
) -> tuple[History, Load, Terms, float]:
    """Return what the snapshot says: the load to expect, and how many times that is prepared for."""
    start = history.start_seconds(policy.start_seconds)
    history, seen = expected_load(
        snapshot,
        capacity,
        history,
        now,
        ahead_seconds=start + snapshot.tokens_per_second.age_seconds,
        output_tokens=policy.output_tokens,
        steady_seconds=min(STEADY_SECONDS, policy.hold_seconds / STEADIES_PER_HOLD),
    )
    expected = seen.load.tokens_per_second
    prepared = expected_peak(seen.steady, expected, start, history)
    if history.restored is not None:
        known = replace(capacity, step_factor=history.step_factor)
        kept = prepared_when_restored(known, seen.load, history.restored, current, prepared, KEPT_RESERVE)
        history = replace(history, restored=None, inherited=kept)
        prepared = expected_peak(seen.steady, expected, start, history)
    terms = Terms(tokens_per_second=seen.measured, forecast=expected, prepared_for=prepared, start_seconds=start)
    return history, seen.load, terms, prepared / expected if expected > 0 else 1.0


def _wanted(
    snapshot: Snapshot, policy: ScalingPolicy, history: History, now: float, current: int, needed: int, start: float
) -> tuple[int, ScalingReason]:
    """Return the replicas before limits."""
    if snapshot.waiting_for_gpus and snapshot.waiting_for_gpus_seconds > PENDING_STARTS * start:
        return max(0, current - snapshot.waiting_for_gpus), ScalingReason.GPUS_NEVER_CAME
    if needed > current:
        if history.gave_up_at is not None and now - history.gave_up_at < BACK_OFF_SECONDS:
            return current, ScalingReason.STEADY
        return min(needed, most_after(current)), ScalingReason.DEMAND_RISES
    if history.most_needed(now - policy.hold_seconds) < current:
        return history.most_needed(now - SETTLED_SHARE * policy.hold_seconds), ScalingReason.DEMAND_FELL
    spare = math.ceil(SPARE_FACTOR * history.most_needed(now - policy.spare_seconds))
    if spare < current:
        return spare, ScalingReason.DEMAND_FELL
    soon = max(history.most_needed(now - policy.cancel_seconds), snapshot.ready)
    if snapshot.starting and soon < current:
        return soon, ScalingReason.CANCELLED
    return current, ScalingReason.STEADY


def _limited(
    policy: ScalingPolicy, history: History, current: int, wanted: int, reason: ScalingReason, terms: Terms
) -> Decision:
    """Return the decision within the limits, and its sentence."""
    most = policy.most
    replicas = min(max(wanted, policy.least), most.replicas)
    numbers = (
        f"{terms.tokens_per_second:,.0f} tokens/s now, {terms.forecast:,.0f} expected in {terms.start_seconds:,.0f} s, "
        f"prepared for {terms.prepared_for:,.0f}: {terms.needed} needed"
    )
    if wanted > replicas or (terms.needed >= most.replicas > 0 and replicas == most.replicas and wanted >= replicas):
        reason, numbers = ScalingReason.LIMITED, f"{numbers}, and {most.name} allows {most.replicas}"
    elif replicas == current and reason is not ScalingReason.GPUS_NEVER_CAME:
        reason = ScalingReason.STEADY
    said = {
        ScalingReason.DEMAND_FELL: f"; less was needed for {_minutes(policy.hold_seconds)}",
        ScalingReason.CANCELLED: f"; less was needed for {_minutes(policy.cancel_seconds)}, so start-ups are cancelled",
        ScalingReason.GPUS_NEVER_CAME: f"; GPUs did not come, nothing is added for {BACK_OFF_SECONDS / 60:.0f} minutes",
    }
    return Decision(
        replicas=replicas,
        reason=reason,
        message=f"{current} to {counted(replicas, 'replica')}: {numbers}{said.get(reason, '')}"
        if replicas != current
        else f"{_stay(current)}: {numbers}{said.get(reason, '')}",
        terms=terms,
        history=history,
    )


def _stay(replicas: int) -> str:
    return "1 replica stays" if replicas == 1 else f"{replicas} replicas stay"


def _minutes(seconds: float) -> str:
    """Return a time in words.

    >>> _minutes(1500), _minutes(40)
    ('25 minutes', '40 seconds')
    """
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


def _held(
    snapshot: Snapshot, policy: ScalingPolicy, history: History, current: int, missing: tuple[tuple[str, str], ...]
) -> Decision:
    """Return the decision without signals: what runs, stays, within the limits."""
    replicas = min(max(current, policy.least), policy.most.replicas)
    if snapshot.ready == 0:
        reason, why = ScalingReason.STARTING, "no replica serves yet, so nothing is measured"
    else:
        reason = ScalingReason.SIGNALS_MISSING
        why = ", ".join(f"{name} ({state})" for name, state in missing) + " cannot be read, so nothing moves"
    return Decision(
        replicas=replicas, reason=reason, message=f"{_stay(replicas)}: {why}", terms=Terms(), history=history
    )
