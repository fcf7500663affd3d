"""What runs when the asked model has no plan: a fallback or the nearest, never silently, never back by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.deployments import condition, planned_by_command, small, status, uids, wait_condition, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import OperatorProcess, running_operator
from cluster.polling import eventually

R1 = "deepseek-ai/DeepSeek-R1"
FALLBACK = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
TEAM = "example.com/team"


@pytest.fixture
def operator(kubectl: Kubectl, tmp_path: Path, resource_definition: None) -> Iterator[OperatorProcess]:
    with running_operator(kubectl, tmp_path) as process:
        yield process


@pytest.fixture
def team(kubectl: Kubectl) -> Iterator[str]:
    """A label value that only L40S nodes carry; all nodes lose the label afterwards."""
    kubectl("label", "nodes", "-l", "nvidia.com/gpu.product=NVIDIA-L40S", f"{TEAM}=chat")
    try:
        yield "chat"
    finally:
        kubectl("label", "nodes", "--all", f"{TEAM}-")


def told(kubectl: Kubectl) -> set[str]:
    return {each["reason"] for each in kubectl("get", "events", "-o", "json")["items"]}


def test_a_fallback_runs_by_name_and_returning_capacity_only_proposes_the_asked_model(
    operator: OperatorProcess, kubectl: Kubectl, tmp_path: Path, team: str
) -> None:
    asked = small(
        "chat",
        model={"name": R1},
        hardware={"nodeSelector": {TEAM: team}},
        fallbacks=[{"model": "deepseek-ai/DeepSeek-V3"}, {"model": FALLBACK}],
    )
    kubectl.apply(asked)
    wait_ready(kubectl, "chat")

    planned = condition(kubectl, "chat", "Planned")
    assert (planned["status"], planned["reason"]) == ("True", "FallbackPlanned")
    assert [word for word in (R1, FALLBACK, "MemoryInsufficient", "GiB") if word not in planned["message"]] == []
    plan = status(kubectl, "chat")["plan"]
    assert (plan["modelName"], plan["compromise"]["kind"]) == (FALLBACK, "Fallback")
    assert plan == planned_by_command(kubectl, asked, tmp_path)["plan"]
    [pod] = kubectl("get", "pods", "-o", "json")["items"]
    assert pod["spec"]["containers"][0]["args"][:4] == [FALLBACK, "--served-model-name", FALLBACK, R1]
    eventually(lambda: told(kubectl), lambda found: "FallbackPlanned" in found, what="an event")

    before = uids(kubectl)
    kubectl("label", "nodes", "-l", "nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3", f"{TEAM}={team}")
    found = wait_condition(kubectl, "chat", "Planned", "True", "PlanProposed")

    assert FALLBACK in found["message"]
    assert status(kubectl, "chat")["proposedPlan"]["modelName"] == R1
    assert uids(kubectl) == before


def test_the_nearest_plan_runs_where_its_owner_takes_one(operator: OperatorProcess, kubectl: Kubectl) -> None:
    too_fast = {"ttftMilliseconds": 1, "tpotMilliseconds": 1}
    kubectl.apply(small("reported", sla=too_fast), small("deployed", sla=too_fast, onInfeasible="DeployNearest"))
    wait_ready(kubectl, "deployed")

    planned = condition(kubectl, "deployed", "Planned")
    assert (planned["status"], planned["reason"]) == ("True", "NearestPlanned")
    plan = status(kubectl, "deployed")["plan"]
    assert plan["compromise"]["kind"] == "Nearest"
    assert plan["compromise"]["reason"] == "SlaUnreachable"
    assert plan["compromise"]["change"] in planned["message"]
    assert plan["compromise"]["change"] in plan["reasons"][0]
    eventually(lambda: told(kubectl), lambda found: "NearestPlanned" in found, what="an event")

    wait_condition(kubectl, "reported", "Planned", "False", "SlaUnreachable")
    near = status(kubectl, "reported")["infeasible"]["nearestPlans"]
    assert "ServiceLevel" in [each["axis"] for each in near]
    assert plan["compromise"]["change"].endswith(near[0]["change"])
