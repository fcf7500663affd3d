"""The main job: from `kubectl apply` to Ready pods on the planned nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.deployments import condition, planned_by_command, sample, small, status, wait_condition, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import OperatorProcess, running_operator
from cluster.polling import eventually


@pytest.fixture
def operator(kubectl: Kubectl, tmp_path: Path, resource_definition: None) -> Iterator[OperatorProcess]:
    with running_operator(kubectl, tmp_path) as process:
        yield process


def test_67b_is_planned_on_data_centre_gpus_of_one_node_and_runs_there(
    operator: OperatorProcess, kubectl: Kubectl, tmp_path: Path
) -> None:
    kubectl.apply(sample("deepseek-67b"))
    wait_ready(kubectl, "deepseek-67b")

    found = status(kubectl, "deepseek-67b")
    plan = found["plan"]
    assert plan["gpu"] in {"a100-sxm4-80gb", "h100-sxm5-80gb", "l40s"}
    assert plan["gpusPerReplica"] >= 2
    assert plan["nodesPerReplica"] == 1
    assert plan["quantization"] == "Native"
    assert plan == planned_by_command(kubectl, sample("deepseek-67b"), tmp_path)["plan"]

    [pod] = kubectl("get", "pods", "-o", "json")["items"]
    node = kubectl("get", "node", pod["spec"]["nodeName"], "-o", "json")
    product = {
        "a100-sxm4-80gb": "NVIDIA-A100-SXM4-80GB",
        "h100-sxm5-80gb": "NVIDIA-H100-80GB-HBM3",
        "l40s": "NVIDIA-L40S",
    }
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == product[plan["gpu"]]
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == str(plan["gpusPerReplica"])
    assert found["summary"]["ready"] == "1/1"
    assert found["observedGeneration"] == 1


def test_kubectl_get_shows_model_gpus_split_readiness_and_reason(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(sample("deepseek-67b"))
    wait_ready(kubectl, "deepseek-67b")

    heading, row = kubectl("get", "dsd").splitlines()

    assert heading.split() == ["NAME", "MODEL", "GPUS", "PARALLEL", "READY", "SLA", "REASON", "AGE"]
    assert "deepseek-ai/deepseek-llm-67b-chat" in row
    assert "4 x h100-sxm5-80gb" in row
    assert "TP4" in row
    assert "1/1" in row


def test_r1_is_planned_over_two_nodes_and_runs_there_as_one_group(
    operator: OperatorProcess, kubectl: Kubectl, tmp_path: Path
) -> None:
    r1 = sample("deepseek-r1")
    r1["spec"]["apply"] = "Auto"
    del r1["spec"]["model"]["cache"]  # nobody makes volumes here
    kubectl.apply(r1)
    planned = wait_condition(kubectl, "deepseek-r1", "Planned", "True", "Planned")

    plan = status(kubectl, "deepseek-r1")["plan"]
    assert (plan["gpu"], plan["gpusPerReplica"], plan["nodesPerReplica"]) == ("h100-sxm5-80gb", 16, 2)
    assert plan["parallelism"] == {"tensor": 8, "pipeline": 2, "data": 1, "expert": False}
    assert "16 x h100-sxm5-80gb over 2 nodes" in planned["message"]
    assert plan == planned_by_command(kubectl, r1, tmp_path)["plan"]
    wait_ready(kubectl, "deepseek-r1")
    pods = kubectl("get", "pods", "-o", "json")["items"]
    assert [pod["metadata"]["labels"]["deepseek-operator.io/role"] for pod in pods] == ["leader", "worker"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2
    assert status(kubectl, "deepseek-r1")["summary"]["ready"] == "1/1"


def test_what_no_node_can_hold_is_refused_with_the_limit_and_the_nearest(
    operator: OperatorProcess, kubectl: Kubectl, tmp_path: Path
) -> None:
    refused = sample("deepseek-r1")
    refused["spec"]["hardware"] = {"gpus": ["l40s"], "maxGpusTotal": 8}
    kubectl.apply(refused)

    found = eventually(lambda: condition(kubectl, "deepseek-r1", "Planned"), what="the object is judged")

    assert found["status"] == "False"
    assert "GiB" in found["message"]
    assert "l40s" in found["message"]
    assert condition(kubectl, "deepseek-r1", "Stalled")["status"] == "True"
    assert status(kubectl, "deepseek-r1")["infeasible"]["message"] in found["message"]


def test_events_tell_what_was_decided(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(small())
    wait_ready(kubectl, "small")

    def reasons() -> set[str]:
        items = kubectl("get", "events", "-o", "json")["items"]
        return {each["reason"] for each in items if each["involvedObject"]["kind"] == "DeepSeekDeployment"}

    eventually(reasons, lambda found: {"Planned", "ReplicasReady"} <= found, what="events of the decisions")


def test_the_page_shows_metrics_and_health(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(small())
    wait_ready(kubectl, "small")

    assert operator.page("/healthz") == "ok\n"
    assert operator.metric("deepseek_operator_leading") == 1
    assert operator.metric("deepseek_operator_deployments") == 1
    passes = operator.metric('deepseek_operator_reconciles_total{result="ok"}')
    assert 1 <= passes <= operator.metric("deepseek_operator_reconcile_seconds_count")
    gpu = status(kubectl, "small")["plan"]["gpu"]
    assert operator.metric(f'deepseek_operator_planned_gpus{{gpu="{gpu}"}}') == 1
    assert operator.metric('deepseek_operator_reconciles_total{result="bug"}') == 0


def test_no_finalizer_is_added_and_the_spec_is_not_written(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(small())
    wait_ready(kubectl, "small")

    found = kubectl("get", "dsd", "small", "-o", "json", "--show-managed-fields")

    assert "finalizers" not in found["metadata"]
    ours = [each for each in found["metadata"]["managedFields"] if each["manager"] == "deepseek-operator"]
    assert [(each["operation"], each.get("subresource")) for each in ours] == [("Apply", "status")]


def test_a_change_of_the_demand_is_planned_anew(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(small())
    wait_ready(kubectl, "small")
    before = status(kubectl, "small")["plan"]["maxModelLen"]

    changed = small()
    changed["spec"]["workload"]["maxContextTokens"] = 8192
    kubectl.apply(changed)

    after = eventually(lambda: status(kubectl, "small")["plan"]["maxModelLen"], lambda found: found != before)
    assert (before, after) == (4096, 8192)
    eventually(
        lambda: kubectl("get", "pods", "-o", "json")["items"],
        lambda pods: len(pods) == 1 and "--max-model-len=8192" in str(pods[0]["spec"]["containers"][0]["args"]),
        what="one pod with the new context",
        within_seconds=90,
    )


def test_manual_apply_waits_for_the_hash(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(small(apply="Manual"))
    wait_condition(kubectl, "small", "Ready", "True", "AwaitingApproval")
    proposed = status(kubectl, "small")["proposedPlan"]["hash"]
    assert kubectl("get", "deployments", "-o", "json")["items"] == []

    kubectl.apply(small(apply="Manual", approvedPlan=proposed))

    wait_condition(kubectl, "small", "Ready", "True", "ReplicasReady")
    assert status(kubectl, "small")["plan"]["hash"] == proposed
