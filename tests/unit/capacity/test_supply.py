from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from cluster_objects import A100_LABELS, gpu_node, gpu_pod
from deepseek_operator.api.spec_hardware import Spot
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.inventory import Inventory, inventory
from deepseek_operator.capacity.supply import supply
from deepseek_operator.catalog.gpu_rows import usable_bytes_from_label
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.planner.request import GpuPool, Supply

H100, A100 = gpu("h100-sxm5-80gb"), gpu("a100-sxm4-80gb")
HOST_BYTES = 2000 * 2**30
NODES = [
    gpu_node("h100-1", more_labels={"pool": "gold"}),
    gpu_node("h100-2"),
    gpu_node("h100-3", gpus=4),
    gpu_node("h100-4", unschedulable=True),
    gpu_node("h100-5", allocatable={"nvidia.com/gpu": "32"}, more_labels={"nvidia.com/gpu.replicas": "4"}),
    gpu_node("a100-1", labels=A100_LABELS, taints=({"key": "team", "value": "ml", "effect": "NoSchedule"},)),
    gpu_node("cpu-1", labels={}, allocatable={"cpu": "8"}),
]


def inventory_of(nodes: list[dict[str, Any]], pods: tuple[dict[str, Any], ...] = ()) -> Inventory:
    return inventory([read_node(node) for node in nodes], [read_pod(pod) for pod in pods])


def pool(which: str, *sizes: tuple[int, int]) -> GpuPool:
    row = gpu(which)
    assert row.usable_memory_bytes is not None
    return GpuPool(
        gpu=row,
        usable_memory_bytes=row.usable_memory_bytes,
        nodes_by_gpu_count=sizes,
        host_memory_bytes=HOST_BYTES,
        host_memory_by_node=tuple((gpus, HOST_BYTES, nodes) for gpus, nodes in sizes),
    )


def test_supply_counts_whole_gpus_on_nodes_that_take_our_pods():
    assert supply(inventory_of(NODES)).pools == (pool("h100-sxm5-80gb", (4, 1), (8, 2)),)


def test_tolerations_open_tainted_nodes_and_pools_are_sorted_by_id():
    tolerations = [{"key": "team", "operator": "Exists"}]
    assert supply(inventory_of(NODES), tolerations=tolerations).pools == (
        pool("a100-sxm4-80gb", (8, 1)),
        pool("h100-sxm5-80gb", (4, 1), (8, 2)),
    )


def test_a_node_selector_narrows_the_supply():
    assert supply(inventory_of(NODES), {"pool": "gold"}).pools == (pool("h100-sxm5-80gb", (8, 1)),)


SPOT = gpu_node("spot-1", gpus=2, more_labels={"karpenter.sh/capacity-type": "spot"})


@pytest.mark.parametrize(
    ("spot", "sizes"),
    [
        pytest.param(Spot.NEVER, ((8, 1),), id="never"),
        pytest.param(Spot.ALLOW, ((2, 1), (8, 1)), id="allowed"),
    ],
)
def test_interruptible_nodes_are_supplied_where_the_owner_takes_them(spot: Spot, sizes: tuple[tuple[int, int], ...]):
    assert supply(inventory_of([NODES[0], SPOT]), spot=spot).pools[-1] == pool("h100-sxm5-80gb", *sizes)


def with_price(pool: GpuPool, price: str, as_of: str, origin: str) -> GpuPool:
    return replace(
        pool, gpu=replace(pool.gpu, price_per_hour_usd=Decimal(price), price_as_of=as_of, price_source=origin)
    )


def test_interruptible_nodes_alone_have_the_price_of_spot_capacity():
    (found,) = supply(inventory_of([NODES[0], SPOT]), spot=Spot.ONLY).pools
    assert found == with_price(
        pool("h100-sxm5-80gb", (2, 1)), "0.8", "", "the catalogue for spot, seen 2026-03..2026-07"
    )


def priced_node(name: str, price: str, **more: str) -> dict[str, Any]:
    return gpu_node(name, more_labels={"deepseek-operator.io/gpu-price-per-hour-usd": price, **more})


BY_LABEL = "the node label deepseek-operator.io/gpu-price-per-hour-usd"


@pytest.mark.parametrize(
    ("nodes", "price", "origin"),
    [
        pytest.param([priced_node("a", "1.10")], "1.10", BY_LABEL, id="the label wins over the catalogue"),
        pytest.param(
            [priced_node("a", "2.50"), priced_node("b", "3.10")], "3.10", BY_LABEL, id="the dearest counts for all"
        ),
        pytest.param([priced_node("a", "2.50"), gpu_node("b")], "2.50", BY_LABEL, id="also beside the catalogue's"),
        pytest.param(
            [priced_node("a", "0.30", **{"karpenter.sh/capacity-type": "spot"})],
            "0.30",
            BY_LABEL,
            id="the label wins over the catalogue's spot price",
        ),
    ],
)
def test_a_node_label_sets_the_price_of_its_gpus(nodes: list[dict[str, Any]], price: str, origin: str):
    *_, found = supply(inventory_of(nodes), spot=Spot.ALLOW).pools
    assert (found.gpu.price_per_hour_usd, found.gpu.price_source) == (Decimal(price), origin)


def test_a_node_selector_keeps_the_dearer_nodes_of_a_product_out_of_its_price():
    nodes = [priced_node("a", "2.50", rate="reserved"), priced_node("b", "3.10", rate="on-demand")]
    (found,) = supply(inventory_of(nodes), {"rate": "reserved"}).pools
    assert found.gpu.price_per_hour_usd == Decimal("2.50")


@pytest.mark.parametrize("text", ["free", "-1", "1e3", "1000.01", "99999", "2.3.4", ""])
def test_a_price_label_that_cannot_be_obeyed_is_named_and_ignored(text: str):
    found = inventory_of([priced_node("a", text)])
    assert found.warnings == (
        f"a: its label deepseek-operator.io/gpu-price-per-hour-usd={text} is ignored; write a number from 0 to 1000 "
        "such as 2.35",
    )
    assert supply(found).pools == (pool("h100-sxm5-80gb", (8, 1)),)


def test_interruptible_nodes_are_left_out_unless_asked_for():
    assert supply(inventory_of([NODES[0], SPOT])).pools == supply(inventory_of([NODES[0]])).pools


def test_what_runs_today_does_not_change_the_supply():
    busy = tuple(gpu_pod(f"p{index}", gpus=8, node=f"h100-{index}") for index in range(1, 4))
    assert supply(inventory_of(NODES, busy)) == supply(inventory_of(NODES))


def test_a_pool_of_all_nodes_carries_the_smallest_memory():
    smaller = gpu_node("h100-0", more_labels={"nvidia.com/gpu.memory": "77000"})
    _, found = supply(inventory_of([*NODES[:2], smaller])).pools
    assert found == GpuPool(
        gpu=H100,
        usable_memory_bytes=usable_bytes_from_label(77000),
        nodes_by_gpu_count=((8, 3),),
        host_memory_bytes=HOST_BYTES,
        host_memory_by_node=((8, HOST_BYTES, 3),),
    )


def test_an_empty_cluster_supplies_nothing():
    assert supply(inventory_of([])) == Supply(pools=())


def test_what_was_left_out_is_said():
    nodes = [read_node(gpu_node("a")), read_node(gpu_node("b"))]
    picky = supply(inventory(nodes, []), node_selector={"pool": "chat"})
    assert (picky.pools, picky.excluded) == ((), "2 GPU nodes are left out (it is not labelled pool=chat)")


@pytest.mark.parametrize(
    ("memories", "least_bytes", "by_node"),
    [
        pytest.param(
            ("2000Gi", "512Gi", "512Gi"),
            512 * 2**30,
            ((8, 512 * 2**30, 2), (8, HOST_BYTES, 1)),
            id="the node that has least",
        ),
        pytest.param(("2000Gi", "0"), 0, ((8, 0, 1), (8, HOST_BYTES, 1)), id="a node that does not tell"),
        pytest.param(("0", "0"), 0, (), id="no node tells"),
    ],
)
def test_a_pool_has_the_host_memory_of_its_nodes(
    memories: tuple[str, ...], least_bytes: int, by_node: tuple[tuple[int, int, int], ...]
):
    nodes = [
        gpu_node(f"h100-{index}", allocatable={"nvidia.com/gpu": "8", "memory": memory})
        for index, memory in enumerate(memories)
    ]
    (found,) = supply(inventory_of(nodes)).pools
    assert (found.host_memory_bytes, found.host_memory_by_node) == (least_bytes, by_node)


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        pytest.param(({"rdma/hca": "63"}, {"rdma/hca": "32"}), ("rdma/hca", 32), id="every node the same"),
        pytest.param(({"rdma/hca": "63"}, {}), (None, 0), id="a node without"),
        pytest.param(({"rdma/hca": "63"}, {"vpc.amazonaws.com/efa": "32"}), (None, 0), id="two kinds of network"),
        pytest.param(({}, {}), (None, 0), id="none at all"),
    ],
)
def test_a_pool_has_rdma_where_every_node_has_the_same(
    offered: tuple[dict[str, str], ...], expected: tuple[str | None, int]
):
    nodes = [
        gpu_node(f"h100-{index}", allocatable={"nvidia.com/gpu": "8", **more}) for index, more in enumerate(offered)
    ]
    *_, found = supply(inventory_of(nodes)).pools
    assert (found.rdma_resource, found.rdma_devices) == expected
