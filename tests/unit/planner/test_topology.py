from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.request import GpuPool, PinnedParallelism
from deepseek_operator.planner.topology import layouts, most_tensor
from planner_values import A100, H100, L40S, R1, planned, pool, request, supply


def _nodes(*by_count: tuple[int, int]) -> GpuPool:
    return replace(pool(H100), nodes_by_gpu_count=by_count)


@pytest.mark.parametrize(
    ("nodes", "split", "expected"),
    [
        pytest.param(((8, 1),), Parallelism(tensor=4), [(1, 2)], id="two groups of four in a node of eight"),
        pytest.param(((8, 1),), Parallelism(tensor=8, pipeline=2), [], id="two groups of eight need two nodes"),
        pytest.param(((8, 2),), Parallelism(tensor=8, pipeline=2), [(2, 1)], id="a stage per node"),
        pytest.param(((4, 8),), Parallelism(tensor=8), [], id="a tensor group never leaves a node"),
        pytest.param(((8, 3),), Parallelism(tensor=4, pipeline=5), [], id="five equal nodes are not there"),
        pytest.param(
            ((8, 4), (16, 1)),
            Parallelism(tensor=8, pipeline=2),
            [(1, 1), (2, 3)],
            id="more replicas fit when they may span nodes",
        ),
    ],
)
def test_a_replica_lies_on_equal_nodes(
    nodes: tuple[tuple[int, int], ...], split: Parallelism, expected: list[tuple[int, int]]
):
    assert layouts(_nodes(*nodes), split) == expected


@pytest.mark.parametrize(
    ("gpu", "most"),
    [
        pytest.param(A100, 8, id="NVLink joins the whole node"),
        pytest.param(L40S, 4, id="PCIe is limited to four"),
        pytest.param("a100-pcie-80gb", 4, id="a bridge of two does not join the node"),
    ],
)
def test_tensor_groups_follow_the_fast_link(gpu: str, most: int):
    assert most_tensor(pool(gpu)) == most


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        pytest.param("rdma/hca", "between nodes by RDMA (rdma/hca)", id="rdma"),
        pytest.param(
            None,
            "between nodes by TCP (not every node offers the same RDMA resource, and the predicted speed counts that)",
            id="tcp",
        ),
    ],
)
def test_the_reasons_say_how_nodes_are_joined(resource: str | None, said: str):
    nodes = replace(pool(H100, 2), rdma_resource=resource, rdma_devices=8)
    found = planned(request(R1, parallelism=PinnedParallelism(tensor=8, pipeline=2)), supply(nodes))
    assert any(said in reason for reason in found.reasons)
