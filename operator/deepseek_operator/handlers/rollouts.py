"""A rollout as one pass sees it: observations become a view, and the step that follows manifests and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from deepseek_operator.api import conditions
from deepseek_operator.api.conditions import Observation
from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.spec_scaling import ScalingOwner
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.surge import surge_room
from deepseek_operator.handlers.apply import key_of
from deepseek_operator.handlers.observed import Child
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Situation, Workload
from deepseek_operator.resources.names import ANNOTATION_TEMPLATE_HASH, Manifest
from deepseek_operator.resources.rolling_update import RollingUpdate, resting_update, with_rolling_update
from deepseek_operator.scaling.canary import CanaryPhase
from deepseek_operator.scaling.rollout import (
    RolloutReason,
    RolloutStep,
    RolloutView,
    next_step,
    nothing_rolls,
    resting_step,
)

JsonObject = Mapping[str, Any]


def is_at_rest(child: Child, situation: Situation, status: JsonObject) -> bool:
    """Return whether a workload is as it stays while nothing is rolled out, and the status tells of no rollout."""
    deployment, decision = situation.deployment, situation.decision
    if child.update is None or deployment is None or decision is None:
        return True
    rests = child.update == resting_update(deployment.spec.rollout) and situation.track_replicas in (
        None,
        child.replicas,
    )
    return rests and not _told(status) and not view_of(child, (), child.update, begins=False).rolls


def rolled(
    manifests: Sequence[Manifest],
    child: Child | None,
    pods: Sequence[PodState],
    situation: Situation,
    inventory: Inventory,
    status: JsonObject,
) -> tuple[list[Manifest], RolloutStep | None]:
    """Return the manifests with the limits and replicas of the rollout's next step, and that step.

    Args:
        manifests: as built; the workload is a Deployment, or the rollout is another controller's business.
        child: the workload as observed; None when there is none.
        pods: of the workload.
        situation: with the accepted plan and the decided replicas.
        inventory: of the cluster, for room.
        status: of the object, as last written.
    """
    deployment, acceptance, decision = situation.deployment, situation.acceptance, situation.decision
    built = next((each for each in manifests if child and key_of(each) == (child.kind, child.name)), None)
    if child is None or child.update is None or built is None or deployment is None:
        return list(manifests), None
    if acceptance is None or acceptance.accepted is None or decision is None:
        return list(manifests), None
    plan = acceptance.accepted.plan
    begins = built["metadata"]["annotations"][ANNOTATION_TEMPLATE_HASH] != child.template_hash
    view = view_of(child, pods, child.update, begins=begins, new_hash=plan_hash(plan))
    wanted = situation.track_replicas
    if nothing_rolls(view, wanted):  # looking for room takes a look at every GPU of the cluster
        step = resting_step(deployment.spec.rollout, view, wanted)
    else:
        started = 0 if begins else sum(1 for pod in pods if pod.node and pod.plan_hash == plan_hash(plan))
        step = next_step(
            deployment.spec.rollout,
            view,
            surge_room(deployment, plan, inventory, running=child.replicas, started=started),
            wanted=wanted,
            follows=deployment.spec.scaling.owner is ScalingOwner.EXTERNAL,
        )
    changed = with_rolling_update(built, step.update, step.replicas)
    if not view.seen and not view.begins and (told := _told(status)):
        # Its controller has not looked yet, so what was said last still holds.
        step = replace(step, reason=RolloutReason(told["reason"]), message=told["message"])
    return [changed if each is built else each for each in manifests], step


def view_of(
    child: Child, pods: Sequence[PodState], update: RollingUpdate, *, begins: bool, new_hash: str = ""
) -> RolloutView:
    """Return what is seen of a workload's rollout.

    Args:
        child: the Deployment.
        pods: of it.
        update: its limits.
        begins: whether its template is about to change.
        new_hash: hash of the plan that it rolls to.
    """
    workload = Workload(generation=child.generation, status=child.status)
    progressing = workload.condition("Progressing")
    staying = [pod for pod in pods if not pod.deleting]
    return RolloutView(
        begins=begins,
        seen=workload.seen,
        asked=child.replicas,
        total=workload.count("replicas"),
        updated=workload.count("updatedReplicas"),
        updated_ready=sum(1 for pod in staying if pod.ready and pod.plan_hash == new_hash),
        update=update,
        unplaced=any(not pod.node and pod.waiting_reason == "Unschedulable" for pod in staying),
        leaving=len(staying) < len(pods),
        refused=workload.condition("ReplicaFailure").get("status") == "True",
        expired=workload.seen and progressing.get("reason") == "ProgressDeadlineExceeded",
    )


def is_announced(status: JsonObject) -> bool:
    """Return whether the object's status already says that nothing will be served for a while."""
    return _told(status).get("reason") == RolloutReason.BRIEF_OUTAGE.value


def must_announce(status: JsonObject, situation: Situation) -> bool:
    """Return whether a step has to be told before it is done: it interrupts the service, and nobody was told.

    While a trial's replicas serve beside the others, nothing interrupts it.
    """
    step = situation.rollout
    return step is not None and step.interrupts and situation.canary is None and not is_announced(status)


def _told(status: JsonObject) -> JsonObject:
    """Return the RollingOut condition as last written; empty when there is none that this version knows."""
    known = {reason.value for reason in RolloutReason}
    return next(
        (
            each
            for each in status.get("conditions") or ()
            if each.get("type") == conditions.ROLLING_OUT and each.get("reason") in known
        ),
        {},
    )


def rollout_observations(situation: Situation) -> list[Observation]:
    """Return the RollingOut condition, or nothing while nothing is rolled out or tried."""
    step, canary = situation.rollout, situation.trial
    if canary is not None and canary.phase is not CanaryPhase.ROLLED_BACK:
        further = f"; {step.message}" if step is not None and step.message else ""
        message = f"{canary.message}{further}"
        return [Observation(type=conditions.ROLLING_OUT, holds=True, reason=canary.reason.value, message=message)]
    if step is None or step.reason is None:
        return []
    return [Observation(type=conditions.ROLLING_OUT, holds=True, reason=step.reason.value, message=step.message)]
