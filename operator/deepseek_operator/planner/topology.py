"""How many nodes a split spans and how many replicas of it a pool holds."""

from __future__ import annotations

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.request import GpuPool

MOST_TENSOR_WITHOUT_LINK = 4
"""Largest tensor-parallel group that is planned by itself over PCIe.

A stated policy: two all-reduces per layer cross the host's root complexes beyond four boards (seen in the field as TP 8
over PCIe failing and TP 4 curing it). A pinned tensor size is obeyed.
"""


def is_geforce(gpu: Gpu) -> bool:
    """Whether the product is a GeForce board."""
    return gpu.product.startswith("GeForce")


def has_fast_link(gpu: Gpu) -> bool:
    """Whether one link joins all GPUs of a node (a bridge joins two and does not count)."""
    return bool(gpu.link_gb_per_second) and gpu.link_spans_node


def most_tensor(pool: GpuPool) -> int:
    """Return the largest tensor-parallel group that is planned by itself on a pool's nodes."""
    if has_fast_link(pool.gpu):
        return pool.largest_node
    return min(pool.largest_node, MOST_TENSOR_WITHOUT_LINK)


def layouts(pool: GpuPool, split: Parallelism) -> list[tuple[int, int]]:
    """Return how a replica can lie on a pool: pairs of nodes per replica and replicas held, fewest nodes first.

    A tensor-parallel group never leaves a node, and every node of a replica holds the same whole number of groups. A
    layout over more nodes is listed only when the pool holds more replicas that way. Empty: not one replica fits.

    Args:
        pool: nodes of one GPU product, counted as if nothing else ran on them.
        split: the cut of one replica.

    >>> from deepseek_operator.catalog.gpus import gpu
    >>> pool = GpuPool(gpu=gpu("h100-sxm5-80gb"), usable_memory_bytes=1, nodes_by_gpu_count=((4, 1), (8, 2)))
    >>> layouts(pool, Parallelism(tensor=4)), layouts(pool, Parallelism(tensor=8, pipeline=2))
    ([(1, 5)], [(2, 1)])
    """
    groups = split.pipeline * split.data
    found: list[tuple[int, int]] = []
    for nodes in range(1, groups + 1):
        if groups % nodes:
            continue
        held = replicas_held(pool, split.world_size // nodes, nodes)
        if held > (found[-1][1] if found else 0):
            found.append((nodes, held))
    return found


def further_layouts(pool: GpuPool, split: Parallelism, nodes: int) -> list[tuple[int, int]]:
    """Return every layout over more than so many nodes, also those that hold no more replicas; see ``layouts``.

    >>> from deepseek_operator.catalog.gpus import gpu
    >>> pool = GpuPool(gpu=gpu("h100-sxm5-80gb"), usable_memory_bytes=1, nodes_by_gpu_count=((4, 2), (16, 1)))
    >>> split = Parallelism(tensor=4, pipeline=2)
    >>> layouts(pool, split), further_layouts(pool, split, 1)
    ([(1, 2)], [(2, 2)])
    """
    groups = split.pipeline * split.data
    wider = [more for more in range(nodes + 1, groups + 1) if groups % more == 0]
    found = [(more, replicas_held(pool, split.world_size // more, more)) for more in wider]
    return [(more, held) for more, held in found if held]


def replicas_held(pool: GpuPool, gpus: int, nodes: int, host_bytes: int = 0) -> int:
    """Return how many replicas the pool holds at once.

    Args:
        pool: nodes of one product.
        gpus: that a replica takes on each of its nodes.
        nodes: different nodes of a replica.
        host_bytes: host memory that it takes on each; 0 does not look at host memory.
    """
    if host_bytes and pool.host_memory_by_node:
        slots = [
            (min(count // gpus, size // host_bytes) if size else count // gpus, number)
            for count, size, number in pool.host_memory_by_node
        ]
    else:
        slots = [(count // gpus, number) for count, number in pool.nodes_by_gpu_count]
    most = sum(per_node * number for per_node, number in slots) // nodes
    for replicas in range(most, 0, -1):
        if sum(min(per_node, replicas) * number for per_node, number in slots) >= replicas * nodes:
            return replicas
    return 0
