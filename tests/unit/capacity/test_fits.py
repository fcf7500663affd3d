from __future__ import annotations

from typing import Any

import pytest

from cluster_objects import A100_LABELS, gpu_node, gpu_pod
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.fits import FitsNow, OwnPods, count_in, fits_now
from deepseek_operator.capacity.inventory import Inventory, inventory
from plan_values import plan_with

OWN = {"deepseek-operator.io/deployment": "r1"}


def inventory_of(nodes: list[dict[str, Any]], pods: list[dict[str, Any]]) -> Inventory:
    return inventory([read_node(node) for node in nodes], [read_pod(pod) for pod in pods])


def nodes_with_free(*free: int) -> Inventory:
    """Return the inventory of nodes of 8 H100 that have that many free."""
    nodes = [gpu_node(f"h100-{index}") for index in range(1, len(free) + 1)]
    pods = [
        gpu_pod(f"p{index}", gpus=8 - count, node=f"h100-{index}")
        for index, count in enumerate(free, start=1)
        if count < 8
    ]
    return inventory_of(nodes, pods)


@pytest.mark.parametrize(
    ("gpus", "nodes", "replicas", "free", "count", "limiting"),
    [
        pytest.param(4, 1, 1, (4,), 1, "", id="exactly enough on one node"),
        pytest.param(4, 1, 3, (8, 5), 3, "", id="several replicas share a node"),
        pytest.param(4, 1, 0, (0,), 0, "", id="no replica always fits"),
        pytest.param(
            4, 1, 1, (1, 2), 0,
            "needs 4 free h100-sxm5-80gb on one node; the freest node h100-2 has 2 of 8",
            id="the freest node is named with its numbers",
        ),
        pytest.param(
            4, 1, 1, (3, 3), 0,
            "needs 4 free h100-sxm5-80gb on one node; the freest node h100-1 has 3 of 8",
            id="free GPUs of two nodes do not add up and ties go by name",
        ),
        pytest.param(
            4, 1, 3, (8, 3), 2,
            "needs 3 times 4 free h100-sxm5-80gb on one node; there is room for 2: "
            "8 of 8 free on h100-1, 3 of 8 free on h100-2",
            id="what does fit is told",
        ),
        pytest.param(
            8, 1, 9, (8, 7, 6, 5, 4), 1,
            "needs 9 times 8 free h100-sxm5-80gb on one node; there is room for 1: "
            "8 of 8 free on h100-1, 7 of 8 free on h100-2, 6 of 8 free on h100-3 and on 2 more",
            id="a long list of nodes is cut",
        ),
        pytest.param(16, 2, 1, (8, 8), 1, "", id="a group on two nodes"),
        pytest.param(
            16, 2, 1, (8, 7), 0,
            "needs 8 free h100-sxm5-80gb on each of 2 nodes; 1 node has that many "
            "and the freest node h100-1 has 8 of 8",
            id="a group needs every one of its nodes",
        ),
        pytest.param(8, 2, 2, (8, 8), 2, "", id="two groups share two nodes"),
        pytest.param(
            8, 2, 1, (8, 0), 0,
            "needs 4 free h100-sxm5-80gb on each of 2 nodes; 1 node has that many "
            "and the freest node h100-1 has 8 of 8",
            id="a group never doubles up on one node",
        ),
    ],
)  # fmt: skip
def test_fits_now(gpus: int, nodes: int, replicas: int, free: tuple[int, ...], count: int, limiting: str):
    answer = fits_now(plan_with(gpus=gpus, nodes=nodes), nodes_with_free(*free), replicas=replicas)
    assert answer == FitsNow(fits=not limiting, count=count, needed=replicas, limiting=limiting)


def test_without_any_node_of_the_product_the_sentence_says_so():
    answer = fits_now(plan_with(gpus=4), inventory_of([gpu_node("a100-1", labels=A100_LABELS)], []))
    assert answer.limiting == ("needs 4 free h100-sxm5-80gb on one node; no node with h100-sxm5-80gb takes its pods")


def test_nodes_that_do_not_count_are_told_with_the_commonest_reasons():
    nodes = [
        gpu_node("a", unschedulable=True),
        gpu_node("b", unschedulable=True),
        gpu_node("c", taints=({"key": "team", "effect": "NoSchedule"},)),
        gpu_node("d"),
    ]
    answer = fits_now(plan_with(gpus=8), inventory_of(nodes, [gpu_pod("p", gpus=1, node="d")]))
    assert answer.limiting == (
        "needs 8 free h100-sxm5-80gb on one node; the freest node d has 7 of 8; "
        "left out: it is cordoned (2 nodes), its taint team:NoSchedule is not tolerated (1 node)"
    )


def test_selector_and_tolerations_decide_which_nodes_count():
    taint = {"key": "team", "effect": "NoSchedule"}
    there = inventory_of([gpu_node("a", taints=(taint,), more_labels={"pool": "gold"}), gpu_node("b", gpus=2)], [])
    assert not fits_now(plan_with(gpus=8), there).fits
    assert fits_now(
        plan_with(gpus=8), there, node_selector={"pool": "gold"}, tolerations=[{"key": "team", "operator": "Exists"}]
    ).fits


@pytest.mark.parametrize(
    ("node", "pod", "count"),
    [
        pytest.param({}, {"gpus": 8}, 1, id="own pods give back what they hold"),
        pytest.param({}, {"gpus": 8, "deleting": True}, 1, id="terminating own pods too, because they go"),
        pytest.param({}, {"gpus": 2}, 1, id="whatever their size where new pods may land"),
        pytest.param({}, {"gpus": 8, "namespace": "other"}, 0, id="a namesake of another namespace gives nothing"),
        pytest.param({}, {"gpus": 8, "labels": {}}, 0, id="a stranger gives nothing"),
        pytest.param({"unschedulable": True}, {"gpus": 8}, 1, id="a replica on a cordoned node stays"),
        pytest.param({"unschedulable": True}, {"gpus": 4}, 0, id="but not one that must be replaced"),
        pytest.param({"unschedulable": True}, {"gpus": 8, "deleting": True}, 0, id="nor one that goes"),
    ],
)
def test_own_pods_are_added_back(node: dict[str, Any], pod: dict[str, Any], count: int):
    there = inventory_of([gpu_node("a", **node)], [gpu_pod("r1-0", node="a", **{"labels": OWN, **pod})])
    answer = fits_now(plan_with(gpus=8), there, own=OwnPods.of("default", "r1"))
    assert (answer.fits, answer.count) == (count == 1, count)


def test_free_gpus_beside_an_own_pod_on_a_cordoned_node_do_not_count():
    there = inventory_of([gpu_node("a", unschedulable=True)], [gpu_pod("r1-0", gpus=4, node="a", labels=OWN)])
    assert fits_now(plan_with(gpus=4), there, own=OwnPods.of("default", "r1"), replicas=2).count == 1


def test_slices_of_shared_gpus_that_own_pods_hold_are_no_gpus():
    shared = gpu_node("a", allocatable={"nvidia.com/gpu": "32"}, more_labels={"nvidia.com/gpu.replicas": "4"})
    there = inventory_of([shared], [gpu_pod("r1-0", gpus=8, node="a", labels=OWN)])
    assert fits_now(plan_with(gpus=8), there, own=OwnPods.of("default", "r1")).count == 0


def test_without_labels_no_pod_is_own():
    there = inventory_of([gpu_node("a")], [gpu_pod("p", gpus=8, node="a")])
    assert fits_now(plan_with(gpus=8), there, own=OwnPods(namespace="default", labels={})).count == 0


def test_gpus_that_failed_under_an_own_pod_are_not_added_back():
    there = inventory_of(
        [gpu_node("a", allocatable={"nvidia.com/gpu": "7"})], [gpu_pod("r1-0", gpus=8, node="a", labels=OWN)]
    )
    assert fits_now(plan_with(gpus=8), there, own=OwnPods.of("default", "r1")).count == 0


def test_counting_groups_takes_the_best_pairing_of_nodes():
    assert count_in([24, 8, 8, 8], 8, 2) == 3
