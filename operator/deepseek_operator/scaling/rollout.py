"""The next step of a rollout: with an extra replica, one replica at a time, or waiting; and what that means in words.

Kubernetes' own controllers do the rolling; this decides the limits that they are given, and never takes a serving
replica away for a new one that has no GPUs to start on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.spec_scaling import RolloutSpec
from deepseek_operator.capacity.surge import SurgeRoom
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.rolling_update import RollingUpdate, resting_update, rolling_update
from deepseek_operator.units import ceil_div


class RolloutReason(StrEnum):
    """How a rollout goes on; used as the reason of the RollingOut condition."""

    SURGE_FIRST = "SurgeFirst"
    ONE_AT_A_TIME = "OneAtATime"
    BRIEF_OUTAGE = "BriefOutage"
    WAITING_FOR_GPUS = "WaitingForGpus"
    STUCK = "ProgressDeadlineExceeded"


@dataclass(frozen=True, kw_only=True)
class RolloutView:
    """What is seen of a workload, or is about to change in it.

    Args:
        begins: whether the pod template to apply is another than the workload's.
        seen: whether its controller has looked at the newest spec.
        asked: replicas that its spec asks for, 0 or more.
        total: pods that exist, terminating ones left out.
        updated: of those, pods of the newest template.
        updated_ready: of those, pods that serve.
        update: the limits that it has.
        unplaced: whether a pod of it waits because no node takes it.
        leaving: whether a pod of it is terminating.
        refused: whether its pods are refused, by a quota for one.
        expired: whether it made no progress within its deadline.
    """

    begins: bool
    seen: bool
    asked: int
    total: int
    updated: int
    updated_ready: int
    update: RollingUpdate
    unplaced: bool = False
    leaving: bool = False
    refused: bool = False
    expired: bool = False

    @property
    def old(self) -> int:
        """Pods of an older template."""
        return max(0, self.total - self.updated)

    @property
    def rolls(self) -> bool:
        """Whether a rollout begins or is under way."""
        return self.begins or (self.seen and self.old > 0)


@dataclass(frozen=True, kw_only=True)
class RolloutStep:
    """What the workload should be told, and what a person should be told.

    Args:
        update: limits of the rollout.
        replicas: to ask for; None leaves them to another owner.
        reason: why; None while nothing is rolled out.
        message: one sentence; empty while nothing is rolled out.
    """

    update: RollingUpdate
    replicas: int | None
    reason: RolloutReason | None = None
    message: str = ""

    @property
    def interrupts(self) -> bool:
        """Whether nothing serves for a while; said before it is done."""
        return self.reason is RolloutReason.BRIEF_OUTAGE


def next_step(
    rollout: RolloutSpec, view: RolloutView, room: SurgeRoom, *, wanted: int | None, follows: bool
) -> RolloutStep:
    """Return the next step.

    Args:
        rollout: ``spec.rollout``.
        view: of the workload.
        room: for one more replica of the new template.
        wanted: replicas that should run in the end; None leaves them to another owner.
        follows: whether somebody else sets the replicas, whose number is taken at once.
    """
    if nothing_rolls(view, wanted):
        return resting_step(rollout, view, wanted)
    replicas = _replicas(view, wanted, follows=follows)
    count = replicas if replicas is not None else view.asked
    update = rolling_update(rollout, surges=_surges(view, room))
    reason, message = _told(view, room, update, count)
    held = f"; then {wanted} in place of {replicas}" if wanted is not None and replicas != wanted else ""
    return RolloutStep(update=update, replicas=replicas, reason=reason, message=message + held)


def nothing_rolls(view: RolloutView, wanted: int | None) -> bool:
    """Return whether the workload can be given its new form at once, whatever room there is.

    Args:
        view: of the workload.
        wanted: replicas that should run in the end; None leaves them to another owner.
    """
    return not view.rolls or not (view.asked or view.total) or wanted == 0


def resting_step(rollout: RolloutSpec, view: RolloutView, wanted: int | None) -> RolloutStep:
    """Return what a workload is told where nothing rolls; arguments as for `next_step`."""
    unsettled = not view.seen and not view.begins
    return RolloutStep(update=view.update if unsettled else resting_update(rollout), replicas=wanted)


def carried_replicas(running: int, old: Plan, new: Plan) -> int:
    """Return how many replicas of a new plan do the work of those that run.

    Both plans say how many replicas the asked demand takes; what ran beyond that is carried over in proportion.

    Args:
        running: replicas of the old plan that were decided, 0 or more.
        old: plan that they run.
        new: plan that they get; one for the same pods keeps their number.
    """
    if plan_hash(old) == plan_hash(new):
        return running
    if running <= old.replicas:
        return min(running, new.replicas)
    return ceil_div(running * new.replicas, max(1, old.replicas))


def _surges(view: RolloutView, room: SurgeRoom) -> bool:
    """Return whether a new replica starts before an old one stops.

    It does where it has GPUs, and where stopping old replicas would not give it any: then the old ones serve until
    GPUs are free. It is decided when the rollout begins and given up when the extra replica turns out to find no node.
    """
    if view.begins:
        return room.fits or not room.makes_room
    if view.update.max_surge == 0 or view.update.max_unavailable > 0:
        return False
    untouched = view.old >= view.asked and not view.leaving
    lost = view.unplaced and (untouched or not room.fits) and room.makes_room
    return not (view.refused or view.expired or lost)


def _replicas(view: RolloutView, wanted: int | None, *, follows: bool) -> int | None:
    """Return how many replicas to ask for while the template changes.

    A controller that is told a new number and a new template at once first brings the old template to the new number:
    it would start replicas of the old plan, or stop some before the new one serves. So the number follows the template.
    """
    if wanted is None or wanted == view.asked or view.asked == 0:
        return wanted
    if view.begins:
        return view.asked
    enough = wanted < view.asked and view.updated_ready >= wanted
    return wanted if follows or view.expired or enough else view.asked


def _told(view: RolloutView, room: SurgeRoom, update: RollingUpdate, count: int) -> tuple[RolloutReason, str]:
    done = f"{0 if view.begins else view.updated} of {_replicas_text(count)} new"
    serving = "the old ones serve" if view.begins or view.old else "no old one is left"
    keeps_all = update.max_unavailable == 0
    if view.expired and not view.begins:
        return RolloutReason.STUCK, f"{done}, and no progress within the deadline; {serving}"
    if view.refused and not view.begins:
        return RolloutReason.WAITING_FOR_GPUS, f"{done}; the API server refuses more pods; {serving}"
    if not room.fits and not view.leaving and (view.unplaced or (view.begins and keeps_all)):
        return RolloutReason.WAITING_FOR_GPUS, f"{done}; the next finds no GPUs: {room.limiting}; {serving}"
    if keeps_all:
        return RolloutReason.SURGE_FIRST, f"{done}; each old one stops when a new one serves"
    because = f"; no extra one fits: {room.limiting}" if room.limiting else ""
    if update.max_unavailable >= count and (view.begins or view.old):
        return (
            RolloutReason.BRIEF_OUTAGE,
            f"{done}; the old ones stop before a new one serves, so requests fail until it is loaded{because}",
        )
    return RolloutReason.ONE_AT_A_TIME, f"{done}; up to {update.max_unavailable} missing while replaced{because}"


def _replicas_text(count: int) -> str:
    return f"{count} replica{'' if count == 1 else 's'}"
