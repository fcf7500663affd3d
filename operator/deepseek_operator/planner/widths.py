"""Pools of one product that leave out different nodes: in which order they are tried, and which need not be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from deepseek_operator.planner.price import ranking_price
from deepseek_operator.planner.request import GpuPool

ASKED_FIRST = 3
"""Prices from which one question for all of them is quicker than theirs."""


def by_product(pools: Iterable[GpuPool]) -> list[list[GpuPool]]:
    """Return the pools of each product and kind of share, in the order in which the first of them comes."""
    found: dict[object, list[GpuPool]] = {}
    for pool in pools:
        found.setdefault((pool.gpu.id, None if pool.share is None else pool.share.key), []).append(pool)
    return list(found.values())


def widest_first(pools: Sequence[GpuPool]) -> list[GpuPool]:
    """Return the pools by how many nodes they leave out; equal ones in their order."""
    return sorted(pools, key=_left_out)


def worth_narrowing(pools: Sequence[GpuPool], serves: Callable[[GpuPool], bool]) -> list[list[GpuPool]]:
    """Return the narrower pools that may serve where the widest does not: groups that leave out equally many nodes.

    Fewer nodes at a lower price serve nothing that all of them at the lowest price would not, which is asked once for
    all pools that differ by price alone.

    Args:
        pools: of one product, the widest first, 1 or more.
        serves: whether a pool has a choice.
    """
    alike: dict[object, list[GpuPool]] = {}
    for pool in pools:
        alike.setdefault((pool.usable_memory_bytes, _network(pool)), []).append(pool)
    kept: set[int] = set()
    for family in alike.values():
        lowest = min((pool.gpu for pool in family), key=ranking_price)
        if len(family) < ASKED_FIRST or serves(replace(family[0], gpu=lowest)):
            kept |= {id(pool) for pool in family}
    narrower = [pool for pool in pools[1:] if id(pool) in kept]
    return [list(group) for _, group in groupby(narrower, key=_left_out)]


def _left_out(pool: GpuPool) -> int:
    return pool.left_out.nodes


def _network(pool: GpuPool) -> tuple[object, ...]:
    return pool.rdma_resource, pool.rdma_network
