"""Small models on parts of GPUs: nodes that offer MIG slices or time slices, as their plugins would show them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.deployments import condition, planned_by_command, small, status, wait_condition, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import OperatorProcess, running_operator
from cluster.polling import eventually
from deepseek_operator.sandbox.nodes import FakeNode

POOL = {"example.com/pool": "shares"}
MIG = FakeNode(
    "share-mig",
    "h100-sxm5-80gb",
    gpus=2,
    labels={"nvidia.com/mig.strategy": "mixed", "nvidia.com/mig-1g.20gb.memory": "20096", **POOL},
    capacity={"nvidia.com/gpu": "0", "nvidia.com/mig-1g.20gb": "2"},
)
SLICED = FakeNode(
    "share-sliced",
    "l40s",
    gpus=1,
    labels={
        "nvidia.com/gpu.product": "NVIDIA-L40S-SHARED",
        "nvidia.com/gpu.replicas": "2",
        "nvidia.com/gpu.sharing-strategy": "time-slicing",
        **POOL,
    },
    capacity={"nvidia.com/gpu": "2"},
)
WHOLE = FakeNode("share-none", "l40s", gpus=1, labels=POOL)


@pytest.fixture
def shares(cluster_kubectl: Kubectl) -> Iterator[None]:
    """One node of each kind, which no other test looks for and which are gone afterwards."""
    nodes = [node.manifest() for node in (MIG, SLICED, WHOLE)]
    items = {"apiVersion": "v1", "kind": "List", "items": nodes}
    cluster_kubectl("create", "--validate=false", "--filename=-", stdin=items)  # a fake node tells no boot id
    try:
        cluster_kubectl("wait", "--for=condition=Ready", *(f"node/{each['metadata']['name']}" for each in nodes))
        yield
    finally:
        cluster_kubectl("delete", "node", *(each["metadata"]["name"] for each in nodes))


@pytest.fixture
def operator(shares: None, kubectl: Kubectl, tmp_path: Path, resource_definition: None) -> Iterator[OperatorProcess]:
    with running_operator(kubectl, tmp_path) as process:
        yield process


def distill(name: str = "small", **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of the spec
    """Return a deployment of the smallest distilled model on the nodes of this module."""
    hardware = {"nodeSelector": POOL, **spec.pop("hardware", {})}
    made = small(name, **{"hardware": hardware, "sharing": "Shared"} | spec)
    made["spec"]["model"] = {"name": "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"}
    return made


def pods(kubectl: Kubectl) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kubectl("get", "pods", "-o", "json")["items"]
    return found


def test_a_small_model_runs_on_a_mig_slice(operator: OperatorProcess, kubectl: Kubectl, tmp_path: Path) -> None:
    asked = distill(hardware={"migProfile": "1g.20gb"})
    kubectl.apply(asked)
    wait_ready(kubectl, "small")

    plan = status(kubectl, "small")["plan"]
    assert plan["share"] == {
        "mechanism": "MIG",
        "resource": "nvidia.com/mig-1g.20gb",
        "profile": "1g.20gb",
        "slicesPerGpu": 4,
    }
    assert plan == planned_by_command(kubectl, asked, tmp_path)["plan"]
    assert condition(kubectl, "small", "Planned")["reason"] == "Planned"
    [pod] = pods(kubectl)
    assert pod["spec"]["nodeName"] == "share-mig"
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/mig-1g.20gb": "1"}
    assert "1 x h100-sxm5-80gb (MIG 1g.20gb)" in kubectl("get", "dsd", "small")


def test_time_slices_carry_a_fixed_cache_and_a_warning(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(distill(hardware={"gpus": ["l40s"]}, scaling={"minReplicas": 2, "maxReplicas": 2}))
    wait_ready(kubectl, "small")

    planned = condition(kubectl, "small", "Planned")
    assert (planned["status"], planned["reason"]) == ("True", "MemoryNotIsolated")
    assert "time slicing 1/2 does not isolate memory" in planned["message"]
    plan = status(kubectl, "small")["plan"]
    found = pods(kubectl)
    assert {pod["spec"]["nodeName"] for pod in found} == {"share-sliced"}
    for pod in found:
        arguments = pod["spec"]["containers"][0]["args"]
        assert f"--kv-cache-memory-bytes={plan['memoryPerGpu']['kvCacheBytes']}" in arguments
        assert "--gpu-memory-utilization=0.46" in arguments


def test_a_third_pod_finds_no_slice_and_the_numbers_are_said(operator: OperatorProcess, kubectl: Kubectl) -> None:
    slices = {"hardware": {"migProfile": "1g.20gb"}}
    kubectl.apply(distill("first", **slices, scaling={"minReplicas": 2, "maxReplicas": 2}))
    wait_ready(kubectl, "first")
    kubectl.apply(distill(**slices))

    found = wait_condition(kubectl, "small", "CapacityAvailable", "False", "InsufficientFreeGpus")
    assert found["message"] == (
        "needs 1 free h100-sxm5-80gb (MIG 1g.20gb) on one node; the freest node share-mig has 0 of 2"
    )


@pytest.mark.parametrize(
    ("profile", "reason", "words"),
    [
        ("3g.30gb", "InvalidSpec", "spec.hardware.migProfile: unknown MIG profile '3g.30gb'"),
        ("3g.40gb", "NoSuchGpu", "hardware.migProfile asks for 3g.40gb, and h100-sxm5-80gb (MIG 1g.20gb) is no such"),
    ],
    ids=["of no GPU", "not offered"],
)
def test_a_profile_that_does_not_exist_is_refused_by_name(
    operator: OperatorProcess, kubectl: Kubectl, profile: str, reason: str, words: str
) -> None:
    kubectl.apply(distill(hardware={"migProfile": profile, "gpus": ["h100-sxm5-80gb"]}))
    found = wait_condition(kubectl, "small", "Planned", "False", reason)
    assert words in found["message"]
    assert kubectl("get", "deployments", "-o", "json")["items"] == []


def test_exclusive_moves_to_a_whole_gpu(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(distill(hardware={"gpus": ["l40s"]}))
    wait_condition(kubectl, "small", "Planned", "True", "MemoryNotIsolated")
    kubectl.apply(distill(hardware={"gpus": ["l40s"]}, sharing="Exclusive"))
    wait_condition(kubectl, "small", "Planned", "True", "Planned")
    wait_ready(kubectl, "small")

    assert "share" not in status(kubectl, "small")["plan"]
    eventually(
        lambda: {pod["spec"].get("nodeName") for pod in pods(kubectl)},
        lambda nodes: nodes == {"share-none"},
        what="the pod on a whole GPU",
    )
