"""What pipelines make of a status: kstatus (Flux, kpt) by its rules, Argo CD by the Lua of ``manifests/gitops``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime

from deepseek_operator.api.conditions import READY, STALLED, Observation, set_conditions
from deepseek_operator.handlers.acceptance import Acceptance, AcceptedPlan
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Situation, Workload
from deepseek_operator.handlers.status import next_status
from deepseek_operator.planner.result import Infeasible, InfeasibleReason
from deepseek_operator.scaling.decision import ReplicaDecision, ReplicaReason
from model_factories import make_deployment
from plan_values import plan_with

ROOT = Path(__file__).resolve().parents[3]
CONFIGURATION = yaml.safe_load((ROOT / "manifests" / "gitops" / "argocd" / "argocd-cm.yaml").read_text())["data"]
KINDS = ("DeepSeekDeployment", "CapacityPlan")

NOW = "2026-01-01T00:00:00Z"
PLAN = plan_with(gpus=4)
ONE = ReplicaDecision(replicas=1, reason=ReplicaReason.PLANNED, message="the plan needs 1 replica")
COUNTS = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
SERVES = Situation(
    generation=1,
    deployment=make_deployment(),
    acceptance=Acceptance(accepted=AcceptedPlan(plan=PLAN, fingerprint="f"), current=True),
    decision=ONE,
    workload=Workload(generation=1, status=COUNTS),
)
STARTS = replace(SERVES, workload=Workload(generation=1, status={**COUNTS, "readyReplicas": 0}))
CRASHING = PodState(
    name="pod-1",
    node="n",
    phase="Running",
    ready=False,
    deleting=False,
    waiting_reason="CrashLoopBackOff",
    waiting_message="back-off 5m0s",
)
NO_MEMORY = Infeasible(reason=InfeasibleReason.MEMORY_INSUFFICIENT, message="needs 80 GiB", nearest="add a node")
REFUSED = replace(
    SERVES,
    acceptance=Acceptance(accepted=None, current=False, infeasible=NO_MEMORY),
    decision=None,
    workload=None,
)
AWAITS = replace(
    SERVES, acceptance=Acceptance(accepted=None, current=False, proposed=PLAN), decision=None, workload=None
)
AT_ZERO = replace(SERVES, decision=replace(ONE, replicas=0), workload=Workload(generation=1, status={}))

Object = dict[str, Any]


def recorded(situation: Situation, generation: int = 1) -> Object:
    """Return an object with the status that the operator writes in a situation."""
    return {"metadata": {"generation": generation}, "status": next_status({}, situation, NOW)}


def kstatus(found: Object) -> str:
    """Return what kstatus computes for a custom resource.

    Source: sigs.k8s.io/cli-utils, pkg/kstatus/status, checkGenericProperties and checkReadyCondition.
    """
    metadata, status = found["metadata"], found.get("status", {})
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    for condition in status.get("conditions", ()):
        if condition["status"] == "True" and condition["type"] in {"Reconciling", "Stalled"}:
            return "InProgress" if condition["type"] == "Reconciling" else "Failed"
    ready = [condition["status"] for condition in status.get("conditions", ()) if condition["type"] == "Ready"]
    return "InProgress" if ready and ready[0] != "True" else "Current"


def argocd(found: Object, kind: str = "DeepSeekDeployment") -> tuple[str, str]:
    """Return status and message that the Lua of the ConfigMap answers, in the Lua version that Argo CD embeds."""
    lua = LuaRuntime(register_eval=False, unpack_returned_tuples=True)
    script = CONFIGURATION[f"resource.customizations.health.deepseek-operator.io_{kind}"]
    answer = lua.execute(f"local obj = ...\n{script}", lua.table_from(found, recursive=True))
    return answer["status"], answer["message"]


CASES = {
    "not looked at": (
        {"metadata": {"generation": 1}, "status": {"observedGeneration": -1}},
        "InProgress",
        "Progressing",
    ),
    "serves": (recorded(SERVES), "Current", "Healthy"),
    "changed since": (recorded(SERVES, generation=2), "InProgress", "Progressing"),
    "starts": (recorded(STARTS), "InProgress", "Progressing"),
    "ends again and again": (recorded(replace(STARTS, pods=(CRASHING,))), "Failed", "Degraded"),
    "a wrong spec": (recorded(Situation(generation=1, invalid="spec.x: is wrong")), "Failed", "Degraded"),
    "no plan": (recorded(REFUSED), "Failed", "Degraded"),
    "a plan that waits for approval": (recorded(AWAITS), "Current", "Suspended"),
    "at zero on purpose": (recorded(AT_ZERO), "Current", "Healthy"),
    "the API server refuses a child": (recorded(replace(SERVES, failure="forbidden")), "InProgress", "Progressing"),
}


@pytest.mark.parametrize(("found", "computed", "health"), CASES.values(), ids=CASES)
def test_both_tools_see_the_same_progress(found: Object, computed: str, health: str) -> None:
    assert (kstatus(found), argocd(found)[0]) == (computed, health)


@pytest.mark.parametrize(("found", "computed", "health"), CASES.values(), ids=CASES)
def test_current_is_ready_and_settled_objects_have_no_condition_of_progress(
    found: Object, computed: str, health: str
) -> None:
    conditions = {each["type"]: each for each in found["status"].get("conditions", ())}
    if found["status"]["observedGeneration"] == found["metadata"]["generation"]:
        assert (computed == "Current") == (conditions["Ready"]["status"] == "True")
        assert ("Reconciling" in conditions) + ("Stalled" in conditions) == (computed != "Current")
    assert {each["observedGeneration"] for each in conditions.values()} <= {found["status"]["observedGeneration"]}


def test_argo_cd_tells_reason_and_sentence() -> None:
    assert argocd(recorded(REFUSED)) == ("Degraded", "MemoryInsufficient: needs 80 GiB; add a node")
    assert argocd(recorded(SERVES)) == ("Healthy", "ReplicasReady: 1 of 1 replica ready")


def test_an_object_without_status_is_not_healthy_yet() -> None:
    told = "the operator has not looked at this generation yet"
    for kind in KINDS:
        assert argocd({"metadata": {"generation": 1}}, kind) == ("Progressing", told)


def test_a_capacity_plan_is_healthy_once_it_is_answered() -> None:
    def answered(*said: Observation) -> Object:
        status = {"observedGeneration": 1, "conditions": set_conditions((), said, NOW, 1)}
        return {"metadata": {"generation": 1}, "status": status}

    yes = Observation(type=READY, holds=True, reason="Answered", message="the answer is in status")
    no = Observation(type=READY, holds=False, reason="InvalidQuestion", message="spec.x: is wrong")
    assert (kstatus(answered(yes)), argocd(answered(yes), "CapacityPlan")[0]) == ("Current", "Healthy")
    stalled = answered(no, replace(no, type=STALLED, holds=True))
    assert (kstatus(stalled), argocd(stalled, "CapacityPlan")[0]) == ("Failed", "Degraded")


@pytest.mark.parametrize("name", ["deepseekdeployments", "capacityplans"])
def test_the_definition_starts_with_a_generation_that_no_spec_has(name: str) -> None:
    definition = yaml.safe_load((ROOT / "crds" / f"{name}.deepseek-operator.io.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    default = version["schema"]["openAPIV3Schema"]["properties"]["status"]["default"]
    assert kstatus({"metadata": {"generation": 1}, "status": default}) == "InProgress"


def test_only_what_an_autoscaler_owns_is_ignored() -> None:
    ignored = yaml.safe_load(
        CONFIGURATION["resource.customizations.ignoreDifferences.deepseek-operator.io_DeepSeekDeployment"]
    )
    application = yaml.safe_load((ROOT / "manifests" / "gitops" / "argocd" / "application.yaml").read_text())
    (rule,) = application["spec"]["ignoreDifferences"]
    pointers = ["/spec/replicas"]
    assert (ignored, rule["jsonPointers"], rule["kind"]) == ({"jsonPointers": pointers}, pointers, "DeepSeekDeployment")


def keys(found: Mapping[str, Any]) -> set[str]:
    return {key for key in found if key.startswith("resource.customizations.health.")}


def test_both_kinds_have_the_same_check() -> None:
    scripts = {CONFIGURATION[key] for key in keys(CONFIGURATION)}
    assert len(scripts) == 1
    assert {key.rsplit("_", 1)[-1] for key in keys(CONFIGURATION)} == set(KINDS)
