"""Every physical GPU counts once, whole or divided."""

from __future__ import annotations

from typing import Any

import pytest

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.capacity.gpu_states import GPU_STATES, gpu_states
from deepseek_operator.capacity.report import gpu_products
from share_nodes import hami_node, inventory_of, mig_node, only_node, share_pod, single_mig_node, sliced_node

CORDONED = gpu_node("n", unschedulable=True)


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param((gpu_node("n"), gpu_pod("p", gpus=3, node="n")), {"used": 3, "free": 5}, id="whole"),
        pytest.param((CORDONED, gpu_pod("p", gpus=3, node="n")), {"used": 3, "unusable": 5}, id="cordoned"),
        pytest.param(
            (gpu_node("n", allocatable={"nvidia.com/gpu": "7"}),), {"free": 7, "unhealthy": 1}, id="unhealthy"
        ),
        pytest.param((gpu_node("n", allocatable={"nvidia.com/gpu": "9"}),), {"unusable": 8}, id="contradicting"),
        pytest.param((mig_node("n", {"3g.40gb": 4, "1g.10gb": 14}),), {"shared": 8}, id="MIG mixed"),
        pytest.param(
            (mig_node("n", {"1g.10gb": 14}, whole=6), gpu_pod("p", gpus=2, node="n")),
            {"used": 2, "free": 4, "shared": 2},
            id="whole GPUs beside MIG slices",
        ),
        pytest.param(
            (mig_node("n", {"3g.40gb": 3}, whole=4, counted=False),),
            {"free": 4, "shared": 2},
            id="no label counts them",
        ),
        pytest.param((single_mig_node("n"),), {"shared": 8}, id="MIG single"),
        pytest.param((single_mig_node("n", profile="3g.40gb", slices=5),), {"shared": 3}, id="the fewest for slices"),
        pytest.param((sliced_node("n"), share_pod("p", "n", {"nvidia.com/gpu": "5"})), {"shared": 8}, id="time slices"),
        pytest.param((hami_node("n"),), {"shared": 8}, id="HAMi"),
    ],
)
def test_states_make_up_the_gpus_of_a_node(objects: tuple[dict[str, Any], ...], expected: dict[str, int]):
    node = only_node(*objects)
    assert gpu_states(node) == dict.fromkeys(GPU_STATES, 0) | expected
    assert sum(expected.values()) == node.physical_gpus


def test_the_states_of_a_product_make_up_its_total():
    nodes = (gpu_node("a"), mig_node("b", {"1g.10gb": 7}), single_mig_node("c"), gpu_node("d", unschedulable=True))
    (row,) = gpu_products(inventory_of(*nodes, gpu_pod("p", gpus=2, node="a")))
    assert row == {
        "gpu": "h100-sxm5-80gb",
        "nodes": 4,
        "total": 32,
        "used": 2,
        "free": 6,
        "unusable": 8,
        "shared": 16,
        "unhealthy": 0,
        "costPerHourUsd": "63.68",
    }
