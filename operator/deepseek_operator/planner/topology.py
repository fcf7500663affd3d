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


def nodes_per_replica(pool: GpuPool, split: Parallelism) -> int:
    """Return how many equal nodes a replica needs, fewest first; 0 when the pool cannot hold one replica.

    A tensor-parallel group never leaves a node; every node of a replica holds the same whole number of groups.

    Args:
        pool: nodes of one GPU product.
        split: the cut of one replica.
    """
    groups = split.pipeline * split.data
    for nodes in range(1, groups + 1):
        if groups % nodes == 0 and _slots(pool, split.world_size // nodes) >= nodes:
            return nodes
    return 0


def replicas_held(pool: GpuPool, split: Parallelism) -> int:
    """Return how many replicas the pool's nodes hold when nothing else runs on them."""
    nodes = nodes_per_replica(pool, split)
    return _slots(pool, split.world_size // nodes) // nodes if nodes else 0


def _slots(pool: GpuPool, gpus: int) -> int:
    """How often that many GPUs of one node fit into the pool."""
    return sum(nodes * (count // gpus) for count, nodes in pool.nodes_by_gpu_count)
