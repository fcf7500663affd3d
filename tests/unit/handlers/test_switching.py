"""Groups over nodes in place of replicas on one node: beside them where both fit, else after them, said first."""

from __future__ import annotations

from typing import Any

import pytest

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.inventory import Inventory, inventory
from deepseek_operator.handlers.acceptance import Acceptance, AcceptedPlan
from deepseek_operator.handlers.observed import Child, child_of
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Situation
from deepseek_operator.handlers.switching import Switch, planned_workload, switched
from deepseek_operator.resources.desired import desired
from deepseek_operator.resources.names import Manifest
from deepseek_operator.scaling.decision import ReplicaDecision, ReplicaReason
from model_factories import UID, make_deployment
from plan_values import plan_with

ONE_NODE, TWO_NODES = plan_with(gpus=8), plan_with(gpus=16, nodes=2)
NAME = "deepseek-67b"
OLD = ("Deployment", NAME)
OWN = {"deepseek-operator.io/deployment": NAME}
ONE = ReplicaDecision(replicas=1, reason=ReplicaReason.PLANNED, message="the plan needs 1 replica")
BEFORE = desired(make_deployment(), ONE_NODE, uid=UID, replicas=1, plan_hash=plan_hash(ONE_NODE))
WANTED = desired(make_deployment(), TWO_NODES, uid=UID, replicas=1, plan_hash=plan_hash(TWO_NODES))
GROUPS = Situation(
    generation=1,
    deployment=make_deployment(),
    acceptance=Acceptance(accepted=AcceptedPlan(plan=TWO_NODES, fingerprint="f"), current=True),
    decision=ONE,
)
READY = {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


def existing(*manifests: Manifest, status: dict[str, Any] | None = None) -> dict[tuple[str, str], Child]:
    """Return workloads as the API server shows them, all with this status."""
    found = {}
    for number, manifest in enumerate(manifests):
        metadata = {**manifest["metadata"], "uid": f"u{number}", "resourceVersion": "1", "generation": 1}
        child = child_of({**manifest, "metadata": metadata, "status": status or {}})
        assert child is not None
        found[(child.kind, child.name)] = child
    return found


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in {"Deployment", "StatefulSet"}]


def nodes(count: int, *, others: int = 0) -> Inventory:
    """Return nodes of 8 H100: the first holds the old replica, the last ones somebody else's pods."""
    names = [f"h100-{number}" for number in range(1, count + 1)]
    pods = [gpu_pod("old", gpus=8, node=names[0], namespace="chat", labels=OWN)]
    pods += [gpu_pod(f"other-{name}", gpus=8, node=name) for name in names[count - others :]]
    return inventory([read_node(gpu_node(name)) for name in names], [read_pod(each) for each in pods])


def waiting_pod() -> PodState:
    return PodState(
        name="new", node="", phase="Pending", ready=False, deleting=False, waiting_reason="Unschedulable",
        waiting_message="", plan_hash=plan_hash(TWO_NODES),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "new", "pods", "reason", "spared", "made"),
    [
        pytest.param(nodes(3), {}, (), "SurgeFirst", {OLD}, True, id="both fit"),
        pytest.param(nodes(2), {}, (), "BriefOutage", set(), True, id="the old one makes room"),
        pytest.param(nodes(3, others=2), {}, (), "WaitingForGpus", {OLD}, False, id="it would make no room"),
        pytest.param(
            nodes(3, others=2), {"observedGeneration": 1}, (), "SurgeFirst", {OLD}, True, id="the new one starts"
        ),
        pytest.param(
            nodes(2), {"observedGeneration": 1}, (waiting_pod(),), "BriefOutage", set(), True,
            id="somebody took the GPUs that both had",
        ),
    ],
)  # fmt: skip
def test_the_old_kind_stays_until_the_new_one_serves(
    seen: Inventory,
    new: dict[str, Any],
    pods: tuple[PodState, ...],
    reason: str,
    spared: set[tuple[str, str]],
    made: bool,
) -> None:
    children = existing(*workloads(BEFORE), status=READY) | (existing(*workloads(WANTED), status=new) if new else {})
    found = switched(WANTED, children, pods, GROUPS, seen)
    assert found.step is not None
    assert (found.step.reason, found.spared) == (reason, spared)
    assert [each["kind"] for each in workloads(found.manifests)] == (["StatefulSet"] * 2 if made else [])
    assert found.step.interrupts == (reason == "BriefOutage")


def test_the_old_kind_goes_when_the_new_one_serves() -> None:
    children = existing(*workloads(BEFORE), status=READY) | existing(*workloads(WANTED), status=READY)
    assert switched(WANTED, children, (), GROUPS, nodes(3)) == Switch(manifests=WANTED)


def test_the_same_kind_is_no_switch() -> None:
    assert switched(WANTED, existing(*workloads(WANTED)), (), GROUPS, nodes(3)) == Switch(manifests=WANTED)


def test_the_kind_of_the_plan_is_what_is_looked_at() -> None:
    children = existing(*workloads(BEFORE)) | existing(*workloads(WANTED))
    kinds = [planned_workload(children, NAME, plan) for plan in (ONE_NODE, TWO_NODES, None)]
    assert [child.kind for child in kinds if child] == ["Deployment", "StatefulSet", "Deployment"]
    assert planned_workload({}, NAME, TWO_NODES) is None
