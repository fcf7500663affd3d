from __future__ import annotations

from typing import Any

import pytest

from cluster_objects import A100_LABELS, H100_LABELS, gpu_node, gpu_pod
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.host_use import HostUse
from deepseek_operator.capacity.inventory import Inventory, NodeInventory, inventory
from deepseek_operator.catalog.gpu_labels import GpuSharing
from deepseek_operator.catalog.gpus import gpu

H100_BYTES = gpu("h100-sxm5-80gb").usable_memory_bytes
MIG_LABEL = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", "nvidia.com/gpu.memory": "9856"}


def inventory_of(nodes: list[dict[str, Any]], pods: list[dict[str, Any]]) -> Inventory:
    return inventory([read_node(node) for node in nodes], [read_pod(pod) for pod in pods])


def only_node(node: dict[str, Any], *pods: dict[str, Any]) -> NodeInventory:
    (found,) = inventory_of([node], list(pods)).nodes
    return found


def test_a_healthy_node_tells_product_memory_pods_and_what_is_free():
    taint = {"key": "nvidia.com/gpu", "effect": "NoSchedule"}
    node = gpu_node("h100-1", taints=(taint,))
    pods = [gpu_pod("b", gpus=2, node="h100-1"), gpu_pod("a", gpus=1, node="h100-1")]
    facts = read_node(node)
    assert only_node(node, *pods) == NodeInventory(
        name="h100-1",
        gpu=gpu("h100-sxm5-80gb"),
        product="NVIDIA-H100-80GB-HBM3",
        resource="nvidia.com/gpu",
        sharing=GpuSharing.WHOLE,
        physical_gpus=8,
        allocatable_gpus=8,
        usable_memory_bytes=H100_BYTES,
        requested_gpus=3,
        free_gpus=5,
        pods=(read_pod(pods[1]), read_pod(pods[0])),
        exclusions=(),
        schedulable=True,
        taints=facts.taints,
        labels=facts.labels,
        warnings=(),
        host=HostUse(cpu_milli=190_000, memory_bytes=2000 * 2**30),
    )


@pytest.mark.parametrize(
    ("pod", "requested"),
    [
        pytest.param(gpu_pod("p", gpus=4, node="n"), 4, id="a running pod holds its GPUs"),
        pytest.param(gpu_pod("p", gpus=4, node="n", phase="Pending"), 4, id="a pod that pulls its image holds them"),
        pytest.param(gpu_pod("p", gpus=4, node="n", deleting=True), 4, id="a terminating pod still holds them"),
        pytest.param(gpu_pod("p", gpus=4, node="n", phase="Succeeded"), 0, id="a pod that succeeded holds none"),
        pytest.param(gpu_pod("p", gpus=4, node="n", phase="Failed"), 0, id="a pod that failed holds none"),
        pytest.param(gpu_pod("p", gpus=4, phase="Pending"), 0, id="a pod without a node holds none"),
        pytest.param(gpu_pod("p", gpus=4, node="other"), 0, id="a pod of another node holds none here"),
        pytest.param(gpu_pod("p", gpus=4, node="n", resource="cpu"), 0, id="a pod without GPUs holds none"),
        pytest.param(gpu_pod("p", gpus=4, node="n", resource="amd.com/gpu"), 0, id="another resource holds none"),
    ],
)
def test_which_pods_hold_gpus(pod: dict[str, Any], requested: int):
    node = only_node(gpu_node("n"), pod)
    assert (node.requested_gpus, node.free_gpus) == (requested, 8 - requested)


@pytest.mark.parametrize(
    ("node", "physical", "allocatable", "exclusions"),
    [
        pytest.param(
            gpu_node("n", unschedulable=True),
            8,
            8,
            ("it is cordoned",),
            id="a cordoned node is listed",
        ),
        pytest.param(gpu_node("n", ready="Unknown"), 8, 8, ("it is NotReady",), id="a node that is not ready"),
        pytest.param(
            gpu_node("n", deleting=True, unschedulable=True),
            8,
            8,
            ("it is being deleted", "it is cordoned"),
            id="a node that is being deleted",
        ),
        pytest.param(
            gpu_node(
                "n",
                allocatable={"nvidia.com/gpu": "32"},
                more_labels={
                    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-SHARED",
                    "nvidia.com/gpu.replicas": "4",
                    "nvidia.com/gpu.sharing-strategy": "time-slicing",
                },
            ),
            8,
            0,
            ("its GPUs are shared (time-slicing) and not offered whole",),
            id="time slices are never counted as GPUs",
        ),
        pytest.param(
            gpu_node(
                "n",
                allocatable={"nvidia.com/gpu.shared": "32"},
                more_labels={"nvidia.com/gpu.replicas": "4", "nvidia.com/gpu.sharing-strategy": "mps"},
            ),
            8,
            0,
            ("its GPUs are shared (mps) and not offered whole",),
            id="renamed shares are never counted as GPUs",
        ),
        pytest.param(
            gpu_node("n", gpus=56, more_labels=MIG_LABEL),
            8,
            0,
            ("its GPUs are cut into MIG slices and not offered whole",),
            id="MIG slices under the plain resource name are never counted as GPUs",
        ),
        pytest.param(
            gpu_node("n", allocatable={"nvidia.com/gpu": "80"}, more_labels={"nvidia.com/gpu.count": "8"}),
            8,
            0,
            ("it offers 80 nvidia.com/gpu but its label counts 8 GPUs",),
            id="allocatable that somebody multiplied contradicts the label",
        ),
        pytest.param(
            gpu_node("n", gpus=80, annotations={"hami.io/node-nvidia-register": "GPU-1"}),
            80,
            0,
            ("its GPUs are shared (HAMi) and not offered whole",),
            id="HAMi multiplies allocatable",
        ),
        pytest.param(
            gpu_node("n", allocatable={"cpu": "8"}),
            8,
            0,
            ("its device plugin offers no nvidia.com/gpu",),
            id="a node whose device plugin is down",
        ),
        pytest.param(
            gpu_node(
                "n",
                labels={"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"},
            ),
            8,
            8,
            ("it lacks the value of nvidia.com/gpu.product by which pods select their GPU product",),
            id="a node that pods built for its product could not land on",
        ),
        pytest.param(
            gpu_node("n", labels={}), 8, 8, ("no label names its GPU product",), id="a node without product label"
        ),
        pytest.param(
            gpu_node("n", more_labels={"nvidia.com/gpu.product": "NVIDIA-Q900"}),
            8,
            8,
            ("its label 'NVIDIA-Q900' names no product that can be planned on",),
            id="a product that is not in the catalogue",
        ),
        pytest.param(
            gpu_node("n", more_labels={"nvidia.com/gpu.compute.major": "8"}),
            8,
            8,
            ("its label 'NVIDIA-H100-80GB-HBM3' names no product that can be planned on",),
            id="a product whose compute capability contradicts its name",
        ),
        pytest.param(
            gpu_node("n", more_labels={"nvidia.com/gpu.memory": "40960"}),
            8,
            8,
            (
                "its label gives 39.0 GiB per GPU where h100-sxm5-80gb has 79.1 GiB, "
                "so it is a slice, a vGPU or another product",
            ),
            id="half the memory is not this product",
        ),
    ],
)
def test_nodes_that_are_listed_but_not_planned_on(
    node: dict[str, Any], physical: int, allocatable: int, exclusions: tuple[str, ...]
):
    found = only_node(node)
    assert (found.physical_gpus, found.allocatable_gpus, found.exclusions, found.plannable) == (
        physical,
        allocatable,
        exclusions,
        False,
    )


def test_an_unhealthy_gpu_is_not_counted_and_said():
    node = only_node(gpu_node("n", allocatable={"nvidia.com/gpu": "7"}), gpu_pod("p", gpus=4, node="n"))
    assert (node.physical_gpus, node.allocatable_gpus, node.free_gpus, node.plannable) == (8, 7, 3, True)
    assert node.warnings == (
        "1 of 8 GPUs are not offered as nvidia.com/gpu, as if unhealthy; planning counts the others",
    )


def test_pods_that_hold_more_than_is_left_do_not_make_free_negative():
    node = only_node(gpu_node("n", allocatable={"nvidia.com/gpu": "6"}), gpu_pod("p", gpus=8, node="n"))
    assert (node.requested_gpus, node.free_gpus) == (8, 0)
    assert node.warnings[-1].startswith("its pods hold 8 GPUs but only 6 are allocatable now")


def test_a_shared_node_warns_that_nothing_is_planned_on_it():
    shared = {"nvidia.com/gpu.replicas": "4"}
    warnings = inventory_of([gpu_node("n", allocatable={"nvidia.com/gpu": "32"}, more_labels=shared)], []).warnings
    assert warnings == (
        "n: nothing is planned on it: its GPUs are shared and not offered whole; no label says how they are "
        "shared (nvidia.com/gpu.sharing-strategy)",
    )


def test_memory_of_a_gpu_that_uses_the_hosts_is_bounded_by_what_the_host_leaves():
    labels = {"nvidia.com/gpu.product": "NVIDIA-GB10", "nvidia.com/gpu.count": "1"}
    node = gpu_node("n", gpus=1, labels=labels, allocatable={"nvidia.com/gpu": "1", "memory": "100Gi"})
    assert only_node(node).usable_memory_bytes == 100 * 2**30


def test_nodes_are_sorted_and_those_without_gpus_only_counted():
    nodes = [gpu_node("b"), gpu_node("cpu", labels={}, allocatable={"cpu": "8"}), gpu_node("a", labels=A100_LABELS)]
    found = inventory_of(nodes, [])
    assert ([node.name for node in found.nodes], found.nodes_without_gpus) == (["a", "b"], 1)


def test_a_node_without_conditions_is_taken_as_ready():
    node = gpu_node("n", labels=H100_LABELS)
    del node["status"]["conditions"]
    assert only_node(node).plannable


@pytest.mark.parametrize("count", [257, 2**63 - 1])
def test_a_node_with_an_impossible_number_of_gpus_is_not_planned_on(count: int):
    node = gpu_node("liar", labels={**H100_LABELS}, gpus=count)
    found = only_node(node)
    assert (found.physical_gpus, found.allocatable_gpus, found.free_gpus, found.plannable) == (0, 0, 0, False)
    assert f"it counts {count:,} GPUs, and no node has more than 256" in found.exclusions
