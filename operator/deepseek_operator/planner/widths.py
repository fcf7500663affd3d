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

    Some nodes serve nothing that all of them at the same price would not. So of pools that differ by price alone those
    are left out at whose price not even all nodes of the dearest would serve; that price is found by halving.

    Args:
        pools: of one product, the widest first, 1 or more.
        serves: whether a pool has a choice.
    """
    alike: dict[object, list[GpuPool]] = {}
    for pool in pools:
        alike.setdefault((pool.usable_memory_bytes, _network(pool)), []).append(pool)
    kept = {id(pool) for family in alike.values() for pool in _affordable(family, serves)}
    narrower = [pool for pool in pools[1:] if id(pool) in kept]
    return [list(group) for _, group in groupby(narrower, key=_left_out)]


def _affordable(family: Sequence[GpuPool], serves: Callable[[GpuPool], bool]) -> list[GpuPool]:
    """Return the pools of a family at whose price its widest would serve.

    Args:
        family: pools that differ by price alone, the widest first.
        serves: whether a pool has a choice.
    """
    if len(family) < ASKED_FIRST:
        return list(family)
    cheapest_first = sorted(family, key=lambda pool: ranking_price(pool.gpu))
    low, high, middle = 0, len(cheapest_first), 0
    while low < high:
        if serves(replace(family[0], gpu=cheapest_first[middle].gpu)):
            low = middle + 1
        else:
            high = middle
        middle = (low + high) // 2
    return cheapest_first[:low]


def _left_out(pool: GpuPool) -> int:
    return pool.left_out.nodes


def _network(pool: GpuPool) -> tuple[object, ...]:
    return pool.rdma_resource, pool.rdma_network
