"""Where replicas land and who keeps GPUs: the real scheduler's and the real API server's decisions on fake nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.deployments import condition, small, status, uids, wait_condition, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import OperatorProcess, running_operator
from cluster.polling import eventually
from deepseek_operator.capacity.node_price import PRICE_LABEL
from deepseek_operator.sandbox.nodes import FakeNode

TEAM = "example.com/spot-team"
HALF_NODE: dict[str, Any] = {"hardware": {"gpus": ["l40s"]}, "parallelism": {"tensor": 4}}
"""Four replicas of this fill both L40S nodes."""


@pytest.fixture
def operator(kubectl: Kubectl, tmp_path: Path, resource_definition: None) -> Iterator[OperatorProcess]:
    with running_operator(kubectl, tmp_path) as process:
        yield process


@pytest.fixture
def spot_node(kubectl: Kubectl) -> Iterator[str]:
    """An interruptible node of its own, tainted as its cloud does, beside one lasting node of another product."""
    spot = FakeNode(
        "spot-rtx4090",
        "rtx-4090",
        labels={"kubernetes.azure.com/scalesetpriority": "spot", TEAM: "chat"},
        taints=({"key": "kubernetes.azure.com/scalesetpriority", "value": "spot", "effect": "NoSchedule"},),
    )
    kubectl("create", "--validate=false", "--filename=-", stdin=spot.manifest())  # its kubelet writes what is missing
    kubectl("label", "node", "l40s-0", f"{TEAM}=chat")
    try:
        yield spot.name
    finally:
        kubectl("label", "node", "l40s-0", f"{TEAM}-")
        kubectl("delete", "node", spot.name, "--ignore-not-found")


def pods(kubectl: Kubectl, name: str) -> list[dict[str, Any]]:
    selector = f"deepseek-operator.io/deployment={name}"
    items: list[dict[str, Any]] = kubectl("get", "pods", "-l", selector, "-o", "json")["items"]
    return [each for each in items if "deletionTimestamp" not in each["metadata"]]


def placed(kubectl: Kubectl, name: str) -> list[str]:
    return [each["spec"]["nodeName"] for each in pods(kubectl, name) if each["spec"].get("nodeName")]


def test_replicas_of_a_model_lie_on_different_nodes(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(small(hardware={"gpus": ["l40s"]}, scaling={"minReplicas": 2, "maxReplicas": 2}))
    wait_ready(kubectl, "small")
    assert sorted(placed(kubectl, "small")) == ["l40s-0", "l40s-1"]


@pytest.fixture
def dear_node(kubectl: Kubectl) -> Iterator[str]:
    """The second L40S node at another price than the first."""
    kubectl("label", "node", "l40s-0", f"{PRICE_LABEL}=1.00")
    kubectl("label", "node", "l40s-1", f"{PRICE_LABEL}=9.00")
    try:
        yield "l40s-1"
    finally:
        kubectl("label", "node", "l40s-0", "l40s-1", f"{PRICE_LABEL}-")


def test_a_limit_of_money_keeps_pods_on_the_cheaper_nodes_and_a_new_price_moves_none(
    operator: OperatorProcess, kubectl: Kubectl, dear_node: str
) -> None:
    hardware = {"gpus": ["l40s"], "maxCostPerHourUsd": "4.00"}
    kubectl.apply(small(hardware=hardware, scaling={"minReplicas": 2, "maxReplicas": 2}))
    wait_ready(kubectl, "small")
    plan = status(kubectl, "small")["plan"]
    assert (plan["nodes"], plan["costPerHourUsd"]) == (f"{PRICE_LABEL} in (1.00)", "2.00")
    assert placed(kubectl, "small") == ["l40s-0", "l40s-0"]
    running = uids(kubectl, "pods")

    kubectl("label", "node", dear_node, f"{PRICE_LABEL}=0.50", "--overwrite")
    wait_condition(kubectl, "small", "Planned", "True", "PlanProposed")
    found = status(kubectl, "small")
    assert (found["plan"], "nodes" in found["proposedPlan"]) == (plan, False)
    assert uids(kubectl, "pods") == running


def test_when_a_spot_node_vanishes_what_is_left_is_proposed_and_the_missing_gpus_are_told(
    operator: OperatorProcess, kubectl: Kubectl, spot_node: str
) -> None:
    kubectl.apply(small(hardware={"nodeSelector": {TEAM: "chat"}, "spot": "Allow"}))
    wait_ready(kubectl, "small")
    assert placed(kubectl, "small") == [spot_node]
    before = status(kubectl, "small")["plan"]
    workload = uids(kubectl, "deployments")

    kubectl("delete", "node", spot_node)
    kubectl("delete", "pods", "--all", "--force", "--grace-period=0")

    found = wait_condition(kubectl, "small", "Planned", "True", "PlanProposed")
    lost = wait_condition(kubectl, "small", "CapacityAvailable", "False", "InsufficientFreeGpus")
    now = status(kubectl, "small")
    assert "l40s" in found["message"]
    assert "rtx-4090" in lost["message"]
    assert (before["gpu"], now["plan"], now["proposedPlan"]["gpu"]) == ("rtx-4090", before, "l40s")
    assert uids(kubectl, "deployments") == workload

    kubectl.apply(small(hardware={"nodeSelector": {TEAM: "chat"}, "spot": "Allow"}, replan="Auto"))
    wait_ready(kubectl, "small")
    assert placed(kubectl, "small") == ["l40s-0"]


def test_standard_waits_for_batch_and_critical_takes_its_gpus(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(small("batch", **HALF_NODE, priority="Batch", scaling={"minReplicas": 4, "maxReplicas": 4}))
    wait_ready(kubectl, "batch")

    kubectl.apply(small("standard", **HALF_NODE))
    wait_condition(kubectl, "standard", "CapacityAvailable", "False", "InsufficientFreeGpus")
    assert len(placed(kubectl, "batch")) == 4

    kubectl.apply(small("critical", **HALF_NODE, priority="Critical"))
    wait_ready(kubectl, "critical")

    assert len(placed(kubectl, "critical")) == 1
    left = eventually(lambda: placed(kubectl, "batch"), lambda found: len(found) == 3, what="a Batch replica gave way")
    assert len(left) == 3
    assert placed(kubectl, "standard") == []
    assert condition(kubectl, "batch", "CapacityAvailable")["status"] == "False"


def test_pods_of_priority_none_get_the_clusters_default(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(small(priority="None"))
    wait_ready(kubectl, "small")
    [pod] = pods(kubectl, "small")
    assert (pod["spec"].get("priorityClassName"), pod["spec"]["priority"]) == (None, 0)
