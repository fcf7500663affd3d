"""GPUs that are given by claims: ResourceSlices win over labels and resources, and what pods claim is not free."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster_objects import H100_LABELS, gpu_node
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.capacity.dra import DraDevices, SliceFacts, devices_of, read_slice
from deepseek_operator.capacity.fits import OwnPods, fits_now
from deepseek_operator.capacity.inventory import Inventory, NodeInventory, inventory
from deepseek_operator.capacity.snapshot import load_snapshot, snapshot
from deepseek_operator.capacity.supply import supply
from deepseek_operator.errors import InventoryError
from deepseek_operator.planner.gpu_share import ShareMechanism, Sharing
from deepseek_operator.planner.request import PinnedParallelism
from deepseek_operator.units import MIB
from planner_values import planned, request

DISTILL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
L40S = "NVIDIA L40S"
CLAIM = {"resourceClaims": [{"name": "gpu"}]}


def device(index: int, product: str = L40S, mib: int = 46068, profile: str = "", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    attributes: dict[str, Any] = {
        "type": {"string": "mig" if profile else "gpu"},
        "productName": {"string": product},
        "uuid": {"string": f"GPU-{index}"},
    }
    if profile:
        attributes |= {"profile": {"string": profile}, "parentUUID": {"string": "GPU-0"}}
    return {"name": f"d{index}", "attributes": attributes, "capacity": {"memory": {"value": f"{mib}Mi"}}} | more


def slice_of(node: str, *devices: dict[str, Any], generation: int = 1, name: str = "") -> dict[str, Any]:
    return {
        "kind": "ResourceSlice",
        "metadata": {"name": name or f"{node}-gpus"},
        "spec": {
            "driver": "gpu.nvidia.com",
            "nodeName": node,
            "pool": {"name": node, "generation": generation, "resourceSliceCount": 1},
            "devices": list(devices),
        },
    }


def claiming_pod(name: str, node: str = "n", gpus: str = "", **labels: str) -> dict[str, Any]:
    annotations = {"deepseek-operator.io/claimed-gpus": gpus} if gpus else {}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations, "labels": labels},
        "spec": {"nodeName": node, "containers": [], **CLAIM},
    }


def seen(*objects: dict[str, Any]) -> Inventory:
    """Return the inventory of what ``kubectl get nodes,pods,resourceslices -o json`` prints."""
    return inventory(*load_snapshot({"kind": "List", "items": list(objects)}))


def only(*objects: dict[str, Any]) -> NodeInventory:
    (found,) = seen(*objects).nodes
    return found


def bare(name: str = "n", **more_labels: str) -> dict[str, Any]:
    """Return a node without any resource or product label of GPUs."""
    return gpu_node(name, labels={"nvidia.com/gpu.present": "true"}, more_labels=more_labels, allocatable={"cpu": "8"})


def test_whole_gpus_by_claim():
    node = only(bare(), slice_of("n", device(1), device(2)))
    assert node.gpu is not None
    assert (node.gpu.id, node.physical_gpus, node.allocatable_gpus, node.plannable) == ("l40s", 2, 0, False)
    (offer,) = node.shares
    assert (offer.share.mechanism, offer.share.is_part, offer.slices) == (ShareMechanism.DRA, False, 2)
    assert offer.share.memory_bytes == node.gpu.usable_memory_bytes
    assert node.warnings == ()


def test_slices_win_over_labels_and_resources_from_before():
    node = only(gpu_node("n", labels=H100_LABELS), slice_of("n", device(1), device(2)))
    assert node.gpu is not None
    assert (node.gpu.id, node.physical_gpus) == ("l40s", 2)
    assert node.warnings == (
        "its device plugin offers 8 nvidia.com/gpu as well; the GPUs of its ResourceSlices count once, by claim",
        "its labels say 'NVIDIA-H100-80GB-HBM3' and its ResourceSlices 'NVIDIA L40S', which count",
    )


def test_a_gpu_that_is_cut_is_not_offered_whole():
    cut = device(0, "NVIDIA H100 80GB HBM3", 81559)
    slices = [device(index, "NVIDIA H100 80GB HBM3", 20096, "1g.20gb") for index in (1, 2)]
    node = only(bare(), slice_of("n", cut, *slices))
    assert [(str(offer.share), offer.slices) for offer in node.shares] == [("DRA 1g.20gb", 2)]


def test_slices_that_are_made_on_demand_never_count_for_more_than_the_gpu_holds():
    counters = {"consumesCounters": [{"counterSet": "gpu-0"}]}
    whole = device(0, "NVIDIA H100 80GB HBM3", 81559, **counters)
    places = [device(index, "NVIDIA H100 80GB HBM3", 40448, "3g.40gb", **counters) for index in range(1, 8)]
    node = only(bare(), slice_of("n", whole, *places))
    assert [(str(offer.share), offer.slices) for offer in node.shares] == [("DRA", 1), ("DRA 3g.40gb", 2)]


def test_consumable_capacity_is_divided_evenly_and_isolates_nothing():
    node = only(bare(), slice_of("n", device(1, allowMultipleAllocations=True)))
    assert [str(offer.share) for offer in node.shares] == [f"DRA 1/{slices}" for slices in range(2, 9)]
    assert {offer.share.isolates_memory for offer in node.shares} == {False}


@pytest.mark.parametrize(
    ("devices", "why"),
    [
        ([device(1, "NVIDIA Q900")], "its label 'NVIDIA Q900' names no product that can be planned on"),
        ([device(1), device(2, "NVIDIA L4")], "it has GPUs of several products (NVIDIA L4, NVIDIA L40S)"),
        ([device(1, mib=20000)], "its label gives 18.5 GiB per GPU where l40s has 44.3 GiB"),
        ([device(1, profile="1g.10gb")], "l40s cannot be cut into slices"),
    ],
    ids=["unknown", "several", "half the memory", "a slice of what has none"],
)
def test_slices_that_cannot_be_planned_on(devices: list[dict[str, Any]], why: str):
    node = only(bare(), slice_of("n", *devices))
    assert node.shares == ()
    assert "nothing is planned on it: " in node.warnings[-1]
    assert why in node.warnings[-1]


def test_slices_of_an_older_generation_and_of_other_drivers_are_stale():
    other = slice_of("n", device(9), name="other")
    other["spec"]["driver"] = "nic.example.com"
    facts = [
        read_slice(each)
        for each in (
            slice_of("n", device(1), device(2), generation=1, name="old"),
            slice_of("n", device(1), generation=2, name="new"),
            other,
        )
    ]
    assert devices_of(facts) == (DraDevices(product=L40S, memory_bytes=46068 * MIB, count=1),)
    assert facts[2] == SliceFacts(name="other", node="n", pool="n", generation=1, devices=())


def test_a_damaged_slice_is_refused_by_name():
    wrong = slice_of("n", device(1))
    wrong["spec"]["devices"][0]["capacity"] = {"memory": {"value": "much"}}
    with pytest.raises(InventoryError, match="ResourceSlice n-gpus: memory: "):
        read_slice(wrong)
    with pytest.raises(InventoryError, match=r"a ResourceSlice has no metadata\.name"):
        read_slice({})


def test_a_snapshot_keeps_devices_and_claims():
    nodes, pods = load_snapshot(
        {"kind": "List", "items": [bare(), slice_of("n", device(1)), claiming_pod("p", gpus="2")]}
    )
    again = load_snapshot(json.loads(json.dumps(snapshot(nodes, pods))))
    assert again == (nodes, pods)


def test_the_state_follows_slices_that_come_and_go():
    state = ClusterState()
    state.set_node(bare())
    assert state.inventory().nodes[0].shares == ()
    assert state.set_slice(slice_of("n", device(1))) is True
    assert state.set_slice(slice_of("n", device(1))) is False
    assert state.inventory().nodes[0].shares[0].slices == 1
    assert state.slice_names() == ["n-gpus"]
    assert (state.remove_slice("n-gpus"), state.remove_slice("n-gpus")) == (True, False)
    assert state.inventory().nodes[0].shares == ()


def test_claimed_gpus_are_not_free():
    objects = [bare(), slice_of("n", *(device(index) for index in range(8)))]
    plan = planned(request(DISTILL, sla=None, parallelism=PinnedParallelism(tensor=2)), supply(seen(*objects)))
    assert plan.gpu_name == "l40s (DRA)"
    pods = [claiming_pod("a"), claiming_pod("b", gpus="4"), claiming_pod("c", gpus="2")]
    assert fits_now(plan, seen(*objects)).count == 4
    assert fits_now(plan, seen(*objects, *pods)).count == 0
    ours = {"deepseek-operator.io/deployment": "small"}
    own = OwnPods.of("default", "small")
    assert fits_now(plan, seen(*objects, *pods[:2], claiming_pod("c", gpus="2", **ours)), own=own).count == 1
    objects[0]["spec"]["unschedulable"] = True
    assert fits_now(plan, seen(*objects, *pods[:2], claiming_pod("c", gpus="2", **ours)), own=own).count == 1


def test_auto_and_exclusive_take_whole_gpus_by_claim():
    objects = [bare(), slice_of("n", device(1))]
    for sharing in (Sharing.AUTO, Sharing.EXCLUSIVE):
        assert planned(request(DISTILL, sharing=sharing), supply(seen(*objects))).gpu_name == "l40s (DRA)"


def test_a_slice_that_moves_to_another_node_leaves_the_first():
    state = ClusterState()
    state.set_node(bare("a"))
    state.set_node(bare("b"))
    state.set_slice(slice_of("a", device(1), name="s"))
    state.set_slice(slice_of("b", device(1), device(2), name="s"))
    assert [[offer.slices for offer in node.shares] for node in state.inventory().nodes] == [[], [2]]
