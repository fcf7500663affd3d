"""GPUs that are given by claims: the real scheduler allocates what the operator's claim asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.claimed_gpus import device, device_class, resource_slice
from cluster.deployments import condition, planned_by_command, small, status, wait_condition, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import OperatorProcess, running_operator
from deepseek_operator.sandbox.nodes import FakeNode

POOL = {"example.com/pool": "claims"}
STALE = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.memory": "81559",
    **POOL,
}
"""Labels of feature discovery from before the node was changed; nobody renews them."""


OTHER_DRIVER = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceSlice",
    "metadata": {"name": "claims-whole-nic.example.com"},
    "spec": {
        "driver": "nic.example.com",
        "nodeName": "claims-whole",
        "pool": {"name": "claims-whole-nics", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "nic-0"}],
    },
}
"""Devices without any of the attributes that the claim compares; a reference to one would abort the allocation."""

OBJECTS = (
    device_class("gpu.nvidia.com", "gpu"),
    device_class("mig.nvidia.com", "mig"),
    resource_slice("claims-whole", *(device(f"gpu-{index}", "NVIDIA L40S", "46068Mi") for index in range(4))),
    resource_slice(
        "claims-mig", *(device(f"mig-{index}", "NVIDIA H100 80GB HBM3", "20096Mi", "1g.20gb") for index in range(2))
    ),
    OTHER_DRIVER,
)
NODES = (
    FakeNode("claims-whole", labels=STALE),
    FakeNode("claims-mig", labels={"nvidia.com/gpu.present": "true", **POOL}),
)


@pytest.fixture
def claims(cluster_kubectl: Kubectl) -> Iterator[None]:
    """Two nodes whose GPUs are given by claims only, gone afterwards."""
    nodes = [node.manifest() for node in NODES]
    items = {"apiVersion": "v1", "kind": "List", "items": nodes}
    cluster_kubectl("create", "--validate=false", "--filename=-", stdin=items)  # a fake node tells no boot id
    try:
        cluster_kubectl.apply(*OBJECTS)
        cluster_kubectl("wait", "--for=condition=Ready", *(f"node/{node.name}" for node in NODES))
        yield
    finally:
        cluster_kubectl("delete", "node", *(node.name for node in NODES))
        for each in OBJECTS:
            cluster_kubectl("delete", each["kind"].lower(), each["metadata"]["name"], "--ignore-not-found")


@pytest.fixture
def operator(claims: None, kubectl: Kubectl, tmp_path: Path, resource_definition: None) -> Iterator[OperatorProcess]:
    with running_operator(kubectl, tmp_path) as process:
        yield process


def allocated(kubectl: Kubectl) -> list[tuple[str, str]]:
    """Return pool and device of every allocation of the namespace, sorted."""
    found = kubectl("get", "resourceclaims", "-o", "json")["items"]
    results = [each["status"]["allocation"]["devices"]["results"] for each in found if "allocation" in each["status"]]
    return sorted((each["pool"], each["device"]) for result in results for each in result)


def test_whole_gpus_by_a_claim_although_labels_are_stale(
    operator: OperatorProcess, kubectl: Kubectl, tmp_path: Path
) -> None:
    asked = small(hardware={"nodeSelector": POOL, "gpus": ["l40s"]}, parallelism={"tensor": 2})
    kubectl.apply(asked)
    wait_ready(kubectl, "small")

    plan = status(kubectl, "small")["plan"]
    assert plan["gpu"] == "l40s"
    assert plan["share"] == {"mechanism": "DRA", "resource": "", "profile": "", "slicesPerGpu": 1}
    assert plan == planned_by_command(kubectl, asked, tmp_path)["plan"]
    devices = allocated(kubectl)
    assert [pool for pool, _ in devices] == ["claims-whole", "claims-whole"]
    assert len(set(devices)) == 2


def test_a_mig_slice_by_a_claim_until_none_is_left(operator: OperatorProcess, kubectl: Kubectl) -> None:
    slices = {"hardware": {"nodeSelector": POOL, "migProfile": "1g.20gb"}, "sharing": "Shared"}
    model = {"name": "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"}
    kubectl.apply(small("first", model=model, scaling={"minReplicas": 2, "maxReplicas": 2}, **slices))
    wait_ready(kubectl, "first")
    assert allocated(kubectl) == [("claims-mig", "mig-0"), ("claims-mig", "mig-1")]

    kubectl.apply(small(model=model, **slices))
    found = wait_condition(kubectl, "small", "CapacityAvailable", "False", "InsufficientFreeGpus")
    assert "needs 1 free h100-sxm5-80gb (DRA 1g.20gb) on one node" in found["message"]
    assert condition(kubectl, "small", "Ready")["status"] == "False"
