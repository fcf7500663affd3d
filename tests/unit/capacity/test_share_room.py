"""How many shares are free: by resource where slices have one, else by laying what is held into the GPUs."""

from __future__ import annotations

from typing import Any

import pytest

from cluster_objects import gpu_node
from deepseek_operator.capacity.fits import FitsNow, OwnPods, fits_now
from deepseek_operator.capacity.supply import supply
from deepseek_operator.planner.gpu_share import Sharing
from deepseek_operator.planner.request import Supply
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.features import ClusterFeatures
from planner_values import planned, request
from share_nodes import L40S_LABELS, hami_node, inventory_of, mig_node, share_pod, sliced_node

DISTILL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
KAI = ClusterFeatures(kai=True)
OURS = {"labels": {"deepseek-operator.io/deployment": "small"}}
SLICE = {"nvidia.com/mig-1g.20gb": "1"}


def plan_on(*objects: dict[str, Any], kai: bool = False) -> Plan:
    """Return the plan of a small model on a share of what the nodes offer."""
    inventory = inventory_of(*objects, features=ClusterFeatures(kai=kai))
    return planned(request(DISTILL, sla=None, sharing=Sharing.SHARED), supply(inventory))


def free(plan: Plan, *objects: dict[str, Any], kai: bool = False, replicas: int = 1) -> FitsNow:
    inventory = inventory_of(*objects, features=ClusterFeatures(kai=kai))
    return fits_now(plan, inventory, own=OwnPods.of("default", "small"), replicas=replicas)


def test_slices_that_pods_hold_are_not_free():
    nodes = mig_node("a", {"1g.20gb": 4, "3g.40gb": 2}), mig_node("b", {"1g.20gb": 2})
    plan = plan_on(*nodes)
    pods = [
        share_pod("x", "a", SLICE),
        share_pod("y", "a", SLICE),
        share_pod("other", "a", {"nvidia.com/mig-3g.40gb": "2"}),
    ]
    assert free(plan, *nodes).count == 6
    assert free(plan, *nodes, *pods).count == 4
    assert free(plan, *nodes, *pods, replicas=5).limiting == (
        "needs 5 times 1 free h100-sxm5-80gb (MIG 1g.20gb) on one node; there is room for 4: 2 of 4 free on a, "
        "2 of 2 free on b"
    )


def test_own_pods_give_their_slices_back():
    node = mig_node("a", {"1g.20gb": 2})
    pods = [share_pod("x", "a", SLICE, **OURS), share_pod("y", "a", SLICE)]
    assert free(plan_on(node), node, *pods).count == 1


def test_on_a_cordoned_node_only_own_pods_stay():
    node = mig_node("a", {"1g.20gb": 4})
    plan = plan_on(node)
    node["spec"]["unschedulable"] = True
    assert free(plan, node, share_pod("x", "a", SLICE, **OURS), share_pod("y", "a", SLICE)).count == 1
    assert free(plan, node).limiting == (
        "needs 1 free h100-sxm5-80gb (MIG 1g.20gb) on one node; no node with h100-sxm5-80gb (MIG 1g.20gb) takes its "
        "pods; left out: it is cordoned (1 node)"
    )


def test_time_slices_are_counted_as_the_scheduler_counts_them():
    node = sliced_node("n")
    pods = [share_pod(f"p{index}", "n", {"nvidia.com/gpu": "1"}) for index in range(30)]
    assert free(plan_on(node), node, *pods).count == 2


@pytest.mark.parametrize(
    ("limits", "count"),
    [
        pytest.param({}, 14, id="an empty node"),
        pytest.param({"nvidia.com/gpu": "1", "nvidia.com/gpumem": "6000"}, 13, id="one small pod"),
        pytest.param({"nvidia.com/gpu": "1", "nvidia.com/gpumem": "7000"}, 12, id="a pod larger than one share"),
        pytest.param({"nvidia.com/gpu": "2", "nvidia.com/gpumem": "6000"}, 12, id="a pod with a part of both GPUs"),
        pytest.param({"nvidia.com/gpu": "1", "nvidia.com/gpumem-percentage": "50"}, 10, id="half a GPU"),
        pytest.param({"nvidia.com/gpu": "1"}, 7, id="a pod that names no memory has the whole GPU"),
        pytest.param({"nvidia.com/gpu": "999999999999999999999"}, 0, id="a pod that names more GPUs than there are"),
    ],
)
def test_hami_gives_what_one_gpu_has_left(limits: dict[str, str], count: int):
    node = hami_node("n", gpus=2)
    plan = plan_on(node)
    assert plan.share is not None
    assert plan.share.slices_per_gpu == 7
    pods = [share_pod("p", "n", limits)] if limits else []
    assert free(plan, node, *pods).count == count


def test_own_shares_of_hami_are_given_back():
    node = hami_node("n", gpus=1)
    plan = plan_on(node)
    assert plan.share is not None
    mine = {"nvidia.com/gpu": "1", "nvidia.com/gpumem": str(plan.share.memory_bytes // 2**20)}
    assert free(plan, node, share_pod("p", "n", mine, **OURS), share_pod("q", "n", mine)).count == 6


def test_kai_divides_what_no_pod_holds_whole():
    node = gpu_node("n", gpus=3, labels=L40S_LABELS)
    plan = plan_on(node, kai=True)
    assert plan.share is not None
    slices = plan.share.slices_per_gpu
    whole = share_pod("whole", "n", {"nvidia.com/gpu": "1"})
    half = share_pod("half", "n", {}, annotations={"gpu-fraction": "0.5"})
    reservation = share_pod("gpu-reservation-1", "n", {"nvidia.com/gpu": "1"})
    reservation["metadata"]["namespace"] = "kai-resource-reservation"
    assert free(plan, node, kai=True).count == 3 * slices
    assert free(plan, node, whole, half, reservation, kai=True).count == slices + slices // 2


def test_shares_of_nodes_that_are_not_chosen_are_told_with_the_nodes_reason():
    node = mig_node("a", {"1g.20gb": 4}, unschedulable=True)
    assert supply(inventory_of(node)) == Supply(pools=(), excluded="1 GPU node is left out (it is cordoned)")


def test_the_pool_of_all_shares_carries_the_weakest_node():
    nodes = (
        mig_node("a", {"1g.20gb": 4}),
        mig_node("b", {"1g.20gb": 4}, more_labels={"nvidia.com/mig-1g.20gb.memory": "20000"}),
    )
    _, pool = supply(inventory_of(*nodes)).pools
    assert pool.share is not None
    assert (pool.nodes_by_gpu_count, pool.usable_memory_bytes) == (((4, 2),), pool.share.memory_bytes)
    assert pool.usable_memory_bytes < 20000 * 2**20
