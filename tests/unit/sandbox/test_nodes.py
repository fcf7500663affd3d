from __future__ import annotations

import pytest

from deepseek_operator.sandbox.nodes import DEFAULT_NODES, FakeNode, GpuFacts, alike, gpu_labels

H100 = GpuFacts("nvidia.com/gpu", "nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3", 81559, (9, 0))


def nvidia(capability: tuple[int, int]) -> GpuFacts:
    return GpuFacts("nvidia.com/gpu", "nvidia.com/gpu.product", "some-product", 1, capability)


def test_labels_are_those_of_the_gpu_feature_discovery():
    assert gpu_labels(H100, 8) == {
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": "8",
        "nvidia.com/gpu.replicas": "1",
        "nvidia.com/gpu.sharing-strategy": "none",
        "nvidia.com/gpu.memory": "81559",
        "nvidia.com/gpu.compute.major": "9",
        "nvidia.com/gpu.compute.minor": "0",
        "nvidia.com/gpu.family": "hopper",
    }


@pytest.mark.parametrize(
    ("capability", "family"),
    [
        pytest.param((7, 0), "volta", id="V100"),
        pytest.param((7, 5), "turing", id="T4"),
        pytest.param((8, 0), "ampere", id="A100"),
        pytest.param((8, 9), "ada-lovelace", id="L40S"),
        pytest.param((10, 0), "blackwell", id="B200"),
        pytest.param((12, 0), "blackwell", id="RTX 5090"),
        pytest.param((99, 0), "undefined", id="not known to the feature discovery"),
    ],
)
def test_the_family_follows_from_the_compute_capability(capability: tuple[int, int], family: str):
    assert gpu_labels(nvidia(capability), 1)["nvidia.com/gpu.family"] == family


def test_facts_that_are_not_known_leave_their_labels_out():
    labels = gpu_labels(GpuFacts("nvidia.com/gpu", "nvidia.com/gpu.product", "new-product"), 4)
    assert not {"nvidia.com/gpu.memory", "nvidia.com/gpu.family"} & set(labels)


def test_another_vendor_gets_only_its_product_label():
    assert gpu_labels(GpuFacts("amd.com/gpu", "amd.com/gpu.product-name", "MI300X"), 8) == {
        "amd.com/gpu.product-name": "MI300X"
    }


def test_a_node_offers_its_gpus_as_capacity_and_allocatable():
    status = FakeNode("one", gpu_facts=H100, gpus=4, memory_gib=512).manifest()["status"]
    assert status["capacity"] == status["allocatable"]
    assert status["capacity"]["nvidia.com/gpu"] == "4"
    assert status["capacity"]["memory"] == "524288Mi"


def test_a_node_is_untainted_and_marked_for_kwok():
    manifest = FakeNode("one").manifest()
    assert manifest["spec"] == {}
    assert manifest["metadata"]["annotations"] == {"kwok.x-k8s.io/node": "fake"}


def test_what_the_caller_gives_wins_over_what_is_computed():
    node = FakeNode(
        "one",
        gpu_facts=H100,
        labels={"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-SHARED"},
        capacity={"rdma/hca": "8", "nvidia.com/gpu": "16"},
        taints=({"key": "nvidia.com/gpu", "effect": "NoSchedule"},),
    )
    manifest = node.manifest()
    assert manifest["metadata"]["labels"]["nvidia.com/gpu.product"].endswith("-SHARED")
    assert manifest["status"]["allocatable"]["rdma/hca"] == "8"
    assert manifest["status"]["allocatable"]["nvidia.com/gpu"] == "16"
    assert manifest["spec"]["taints"] == [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]


def test_a_node_without_gpus_has_no_gpu_label():
    assert not any("gpu" in key for key in FakeNode("cpu-only").manifest()["metadata"]["labels"])


def test_copies_of_a_node_are_numbered():
    assert [node.name for node in alike(2, FakeNode("a"))] == ["a-0", "a-1"]


def test_every_default_node_is_in_the_catalogue_and_has_its_own_name():
    assert {node.manifest()["status"]["capacity"]["nvidia.com/gpu"] for node in DEFAULT_NODES} == {"8"}
    assert len({node.name for node in DEFAULT_NODES}) == len(DEFAULT_NODES)
    assert sum(node.gpu_id == "h100-sxm5-80gb" for node in DEFAULT_NODES) >= 2  # a two-node replica fits
