"""A node more takes no split and no layout away from those that were there."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from deepseek_operator.planner.choose import cheapest
from deepseek_operator.planner.engine_features import EngineFeatures
from deepseek_operator.planner.node_pin import LeftOut
from deepseek_operator.planner.request import GpuPool, PinnedParallelism
from deepseek_operator.planner.splits import splits
from deepseek_operator.units import GIB
from planner_values import CHAT_67B, H100, pool, request, supply

OFFLOADING = request(
    CHAT_67B,
    sla=None,
    parallelism=PinnedParallelism(tensor=4, pipeline=2),
    features=EngineFeatures(weight_offload_bytes=16 * GIB),
)


def nodes(*triples: tuple[int, int, int]) -> GpuPool:
    """Return H100 nodes: GPUs of each, GiB of host memory and their number."""
    return replace(
        pool(H100),
        nodes_by_gpu_count=tuple(sorted((gpus, number) for gpus, _, number in triples)),
        host_memory_by_node=tuple(sorted((gpus, size * GIB, number) for gpus, size, number in triples)),
    )


def test_a_larger_node_leaves_replicas_on_two_smaller_nodes_possible_where_its_host_memory_is_too_little():
    before, after = nodes((4, 400, 2)), nodes((4, 400, 2), (16, 32, 1))
    for available in (before, after):
        best = cheapest(OFFLOADING, supply(available))
        assert best is not None
        assert (best.candidate.nodes, best.replicas) == (2, 1)


def test_a_larger_node_leaves_data_parallelism_over_whole_smaller_nodes():
    asked = request("deepseek-ai/DeepSeek-V2")
    before = splits(asked, pool(H100, 5), None)
    mixed = replace(pool(H100, 5), nodes_by_gpu_count=((8, 5), (16, 1)))
    assert 40 in {split.data for split in before}
    assert set(before) <= set(splits(asked, mixed, None))


@pytest.mark.parametrize(
    ("budget", "left_out"),
    [
        pytest.param(None, 0, id="no limit"),
        pytest.param("16.00", 0, id="a limit that the dearest keeps"),
        pytest.param("12.00", 2, id="a limit that the middle price keeps"),
        pytest.param("8.00", 3, id="a limit that only the lowest price keeps"),
    ],
)
def test_the_widest_pool_that_keeps_the_limit_of_money_is_planned_on(budget: str | None, left_out: int):
    tiers = [priced(price, number, out) for price, number, out in (("2", 1, 3), ("3", 2, 2), ("4", 4, 0))]
    asked = request(CHAT_67B, max_cost_per_hour_usd=None if budget is None else Decimal(budget))
    best = cheapest(asked, supply(*tiers))
    assert best is not None
    assert best.candidate.pool.left_out.dearer == left_out


def priced(price: str, number: int, left_out: int) -> GpuPool:
    wide = pool(H100, number)
    return replace(wide, gpu=replace(wide.gpu, price_per_hour_usd=Decimal(price)), left_out=LeftOut(dearer=left_out))
