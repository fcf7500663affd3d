"""Changing the kind of workload: from replicas on one node to groups over several, and back.

Two kinds cannot roll into each other. Where GPUs allow it, the new one is made beside the old one, which goes when the
new one serves; else the old one goes first, and that is said before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.surge import SurgeRoom, surge_room
from deepseek_operator.handlers.apply import Key, key_of
from deepseek_operator.handlers.observed import Child
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Situation, Workload
from deepseek_operator.handlers.workloads import find_workload
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.desired import WORKLOADS
from deepseek_operator.resources.names import CANARY, Manifest, object_name
from deepseek_operator.resources.rolling_update import resting_update
from deepseek_operator.scaling.rollout import RolloutReason, RolloutStep

Children = Mapping[Key, Child]


@dataclass(frozen=True, kw_only=True)
class Switch:
    """What to do about a workload of another kind.

    Args:
        manifests: to apply.
        spared: children that stay although they are not desired any more.
        step: what a person should be told; None while no kind changes.
    """

    manifests: list[Manifest]
    spared: frozenset[Key] = frozenset()
    step: RolloutStep | None = None


def former(manifests: Sequence[Manifest], children: Children, owner: str) -> frozenset[Key]:
    """Return the workloads of another kind than the desired one; empty when there are none.

    Args:
        manifests: everything that is desired.
        children: what exists.
        owner: name of the object.
    """
    wanted = {each["kind"] for each in manifests if each["kind"] in WORKLOADS}
    canary = object_name(owner, CANARY)
    there = {key for key in children if key[0] in WORKLOADS and key[1] != canary}
    return frozenset(key for key in there if wanted and key[0] not in wanted)


def switched(
    manifests: Sequence[Manifest],
    children: Children,
    pods: Sequence[PodState],
    situation: Situation,
    inventory: Inventory,
) -> Switch:
    """Return what to apply and what to spare while the kind of workload changes.

    Args:
        manifests: everything that is desired.
        children: what exists.
        pods: of the object.
        situation: with the accepted plan and the decided replicas.
        inventory: of the cluster, for room.
    """
    deployment, acceptance = situation.deployment, situation.acceptance
    if deployment is None or acceptance is None or acceptance.accepted is None:
        return Switch(manifests=list(manifests))
    old = former(manifests, children, deployment.metadata.name)
    if not old or situation.wanted_replicas == 0:
        return Switch(manifests=list(manifests))
    plan = acceptance.accepted.plan
    new_pods = [pod for pod in pods if pod.plan_hash == plan_hash(plan) and not pod.deleting]
    running = find_workload({key: children[key] for key in old}, deployment.metadata.name)
    begun = any(key_of(each) in children for each in manifests if each["kind"] in WORKLOADS)
    room = surge_room(deployment, plan, inventory, running=running.replicas if running else 0)
    new = find_workload({key: child for key, child in children.items() if key not in old}, deployment.metadata.name)
    ready = _ready(new)
    if ready >= situation.wanted_replicas or (ready > 0 and not room.fits):
        return Switch(manifests=list(manifests))
    unplaced = any(not pod.node and pod.waiting_reason == "Unschedulable" for pod in new_pods)
    reason = _reason(room, begun=begun, unplaced=unplaced)
    return Switch(
        manifests=[each for each in manifests if _may_go(each, reason, begun=begun)],
        spared=frozenset() if reason is RolloutReason.BRIEF_OUTAGE else old,
        step=RolloutStep(
            update=resting_update(deployment.spec.rollout),
            replicas=situation.wanted_replicas,
            reason=reason,
            message=_message(reason, room, ready, situation.wanted_replicas, plan.nodes_per_replica),
        ),
    )


def planned_workload(children: Children, owner: str, plan: Plan | None) -> Child | None:
    """Return the workload of the kind that a plan needs, else any other; None when nothing runs.

    Args:
        children: what exists.
        owner: name of the object.
        plan: the accepted plan; None for any kind.
    """
    if plan is not None and plan.nodes_per_replica > 1:
        groups = {key: child for key, child in children.items() if key[0] != "Deployment"}
        if (found := find_workload(groups, owner)) is not None:
            return found
    return find_workload(children, owner)


def _ready(new: Child | None) -> int:
    if new is None:
        return 0
    seen = Workload(generation=new.generation, status=new.status)
    return seen.count("availableReplicas") if seen.seen else 0


def _reason(room: SurgeRoom, *, begun: bool, unplaced: bool) -> RolloutReason:
    if room.fits or (begun and not unplaced):
        return RolloutReason.SURGE_FIRST
    return RolloutReason.BRIEF_OUTAGE if room.makes_room else RolloutReason.WAITING_FOR_GPUS


def _may_go(manifest: Manifest, reason: RolloutReason, *, begun: bool) -> bool:
    """Return whether a manifest is applied: the new workload is not made while no GPUs could ever hold it."""
    return manifest["kind"] not in WORKLOADS or begun or reason is not RolloutReason.WAITING_FOR_GPUS


def _message(reason: RolloutReason, room: SurgeRoom, ready: int, wanted: int, nodes: int) -> str:
    kind = "groups over several nodes" if nodes > 1 else "replicas on one node"
    done = f"{kind} replace what runs, {ready} of {wanted} ready"
    if reason is RolloutReason.SURGE_FIRST:
        return f"{done}; what runs stops when they serve"
    if reason is RolloutReason.WAITING_FOR_GPUS:
        return f"{done}; they find no GPUs: {room.limiting}; the old ones serve"
    return f"{done}; there are no GPUs for both ({room.limiting}), so what runs stops first and requests fail meanwhile"
