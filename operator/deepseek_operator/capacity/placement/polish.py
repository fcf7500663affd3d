"""Makes a placement better a few nodes at a time: what lies on them is taken off and placed again as well as it can be.

Large neighbourhood search: Shaw, "Using constraint programming and local search methods to solve vehicle routing
problems", 1998. The nodes are drawn with a fixed seed.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from deepseek_operator.capacity.placement.column_generation import ROUNDING, UNBOUNDED, Column, ColumnGeneration
from deepseek_operator.capacity.placement.filling import gpu_part, gpus_of, refilled
from deepseek_operator.capacity.placement.node_pattern import NodePattern
from deepseek_operator.capacity.placement.problem import PodShape, Room

NODES_AT_ONCE = 10
"""Source: 6, 10 and 16 were tried on samples of 40 nodes of the Alibaba trace."""

SECONDS_EACH = 2.0
"""Longest search for patterns of one neighbourhood."""

SECONDS_WHOLE = 1.0
"""Longest search for whole numbers of one neighbourhood."""

SEED = 1


def polished(
    rooms: Sequence[Room], pods: Mapping[PodShape, int], nodes: list[NodePattern], bound: float, deadline: float
) -> list[NodePattern]:
    """Return patterns of the nodes that allocate at least as much.

    Args:
        rooms: what is free on each node.
        pods: shapes and how many pods have them.
        nodes: patterns that are held.
        bound: GPUs at which nothing better is to be found.
        deadline: of the monotonic clock.
    """
    chance = random.Random(SEED)  # noqa: S311 - repeatable, no secret
    while gpus_of(nodes) < bound - ROUNDING and time.monotonic() < deadline:
        some = chance.sample(range(len(rooms)), min(NODES_AT_ONCE, len(rooms)))
        elsewhere = Counter[PodShape]()
        for index in set(range(len(rooms))).difference(some):
            elsewhere.update(dict(nodes[index].counts))
        loose = Counter({shape: count - elsewhere[shape] for shape, count in pods.items()})
        again = _placed_again([rooms[index] for index in some], +loose, [nodes[index] for index in some], deadline)
        nodes = list(nodes)
        for index, pattern in zip(some, again, strict=True):
            nodes[index] = pattern
    return nodes


def _placed_again(
    rooms: Sequence[Room], pods: Mapping[PodShape, int], nodes: list[NodePattern], deadline: float
) -> list[NodePattern]:
    """Return patterns of a few nodes that allocate at least as much."""
    with_gpus = {shape: count for shape, count in pods.items() if shape.gpus}
    search = ColumnGeneration(Counter(rooms), with_gpus, columns_of(rooms, nodes))
    until = min(deadline, time.monotonic() + SECONDS_EACH)
    proven = search.generate(until, UNBOUNDED)
    if proven < gpus_of(nodes) + ROUNDING:
        return nodes
    nodes = better_of(rooms, pods, nodes, search.dive(until))
    start = columns_of(rooms, nodes)
    search.columns |= dict.fromkeys(start)
    return better_of(rooms, pods, nodes, search.choice(seconds=SECONDS_WHOLE, start=start))


def better_of(
    rooms: Sequence[Room], pods: Mapping[PodShape, int], nodes: list[NodePattern], choice: Mapping[Column, int]
) -> list[NodePattern]:
    """Return the nodes as chosen, filled up with what is left, where that allocates more than they do now."""
    return max(nodes, refilled(rooms, _dealt(rooms, choice), pods), key=gpus_of)


def columns_of(rooms: Sequence[Room], nodes: Sequence[NodePattern]) -> Counter[Column]:
    """Return how many nodes of each kind hold which pattern."""
    return Counter((room, gpu_part(node)) for room, node in zip(rooms, nodes, strict=True))


def _dealt(rooms: Sequence[Room], choice: Mapping[Column, int]) -> list[NodePattern]:
    """Return a pattern for each node."""
    stock: dict[Room, list[NodePattern]] = {}
    for (room, pattern), count in choice.items():
        stock.setdefault(room, []).extend([pattern] * count)
    return [stock[room].pop() if stock.get(room) else NodePattern(()) for room in rooms]
