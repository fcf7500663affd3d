"""Deals what the nodes of a kind hold together out to single nodes, so that none takes more CPU or memory than it has.

The pods are put together to GPUs, the heaviest first, each into the lightest fill with an open slot of its size; the
GPUs go to nodes the same way (Graham, "Bounds on multiprocessing timing anomalies", 1969), and then GPUs are exchanged
between nodes as long as that takes load off those that have too much.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepseek_operator.capacity.placement.kinds_of_nodes import KindsChoice, Sizes, host_use
from deepseek_operator.capacity.placement.node_pattern import NodePattern
from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room

FULL = 1 + 1e-9
"""Share of a node's CPU or memory above which it has too much; less than a thousandth of a core or a MiB beyond."""

LEAST_GAIN = 1e-12
"""Load that an exchange must take off."""

NODES_LOOKED_AT = 100
"""Lightest nodes with which a node exchanges. Source: judgement; samples of the Alibaba trace have fewer of a kind."""


Load = tuple[float, float]
"""Shares of a node's CPU and memory."""


@dataclass(slots=True)
class _Unit:
    """Pods that stay together on GPUs of one node.

    Args:
        level: free thousandths of each of these GPUs.
        gpus: how many, 1 or more.
        shapes: of the pods.
        open: slots of a fill that nobody has yet.
        load: of all pods.
    """

    level: int
    gpus: int
    shapes: list[PodShape] = field(default_factory=list)
    open: list[int] = field(default_factory=list)
    load: Load = (0.0, 0.0)

    def add(self, room: Room, shape: PodShape) -> None:
        self.shapes.append(shape)
        self.load = _sum(self.load, host_use(room, [shape]))


def dealt(rooms: Sequence[Room], choice: KindsChoice, deadline: float) -> list[NodePattern]:
    """Return a pattern for each node; what finds no node is left out.

    Args:
        rooms: what is free on each node.
        choice: what the nodes of each kind hold.
        deadline: of the monotonic clock, after which nothing is exchanged any more.
    """
    by_kind: dict[Room, list[int]] = {}
    for index, room in enumerate(rooms):
        by_kind.setdefault(room, []).append(index)
    found = [NodePattern(())] * len(rooms)
    for group in choice.groups:
        held = _lightest_first(group.room, group.nodes, _units(group.room, group.pods, group.fills))
        _exchange(held, deadline)
        for units in held:
            found[by_kind[group.room].pop()] = _pattern(group.room, _within(units))
    return found


def _units(room: Room, pods: Mapping[PodShape, int], fills: Mapping[tuple[int, Sizes], int]) -> list[_Unit]:
    """Return the pods as they stay together, the heaviest put into the lightest fill first."""
    shared = [
        _Unit(level=level, gpus=1, open=list(sizes)) for (level, sizes), count in fills.items() for _ in range(count)
    ]
    whole: list[_Unit] = []
    heaviest = sorted(pods, key=lambda shape: (-max(host_use(room, [shape])), shape))
    for shape in (each for each in heaviest for _ in range(pods[each])):
        if not shape.takes_part:
            whole.append(_Unit(level=WHOLE_GPU_MILLI, gpus=shape.gpus))
            whole[-1].add(room, shape)
            continue
        able = [unit for unit in shared if shape.gpu_milli in unit.open]
        if able:
            lightest = min(able, key=lambda unit: max(unit.load))
            lightest.open.remove(shape.gpu_milli)
            lightest.add(room, shape)
    return [*whole, *(unit for unit in shared if unit.shapes)]


def _lightest_first(room: Room, nodes: int, units: Sequence[_Unit]) -> list[list[_Unit]]:
    """Return the units of each node: the heaviest first, each on the lightest node with free GPUs for it."""
    held: list[list[_Unit]] = [[] for _ in range(nodes)]
    left = [Counter(room.free_milli) for _ in range(nodes)]
    heap: list[tuple[float, int, Load]] = [(0.0, node, (0.0, 0.0)) for node in range(nodes)]
    for unit in sorted(units, key=lambda unit: (-unit.gpus, -max(unit.load))):
        passed = []
        while heap:
            _, node, load = heapq.heappop(heap)
            if left[node][unit.level] >= unit.gpus:
                held[node].append(unit)
                left[node][unit.level] -= unit.gpus
                load = _sum(load, unit.load)
                passed.append((max(load), node, load))
                break
            passed.append((max(load), node, load))
        for each in passed:
            if any(left[each[1]].values()):
                heapq.heappush(heap, each)
    return held


def _exchange(held: Sequence[list[_Unit]], deadline: float) -> None:
    """Exchange units of the same GPUs between nodes until none has too much or no exchange helps."""
    loads = [_load(units) for units in held]
    while time.monotonic() < deadline:
        worst = max(range(len(held)), key=lambda node: _excess(loads[node]))
        if _excess(loads[worst]) <= 0:
            return
        best = (LEAST_GAIN, worst, 0, 0)
        for other in heapq.nsmallest(NODES_LOOKED_AT, range(len(held)), key=lambda node: (max(loads[node]), node)):
            before = _excess(loads[worst]) + _excess(loads[other])
            for (mine, one), (theirs, two) in itertools.product(enumerate(held[worst]), enumerate(held[other])):
                if other != worst and (one.level, one.gpus) == (two.level, two.gpus):
                    change = _difference(two.load, one.load)
                    after = _excess(_sum(loads[worst], change)) + _excess(_difference(loads[other], change))
                    best = max(best, (before - after, other, mine, theirs))
        _, other, mine, theirs = best
        if other == worst:
            return
        held[worst][mine], held[other][theirs] = held[other][theirs], held[worst][mine]
        loads[worst], loads[other] = _load(held[worst]), _load(held[other])


def _within(units: Sequence[_Unit]) -> list[_Unit]:
    """Return the units of a node without the smallest ones that are too much for it."""
    kept = sorted(units, key=lambda unit: -sum(shape.demand_milli for shape in unit.shapes))
    while _excess(_load(kept)) > 0:
        kept.pop()
    return kept


def _load(units: Sequence[_Unit]) -> Load:
    return math.fsum(unit.load[0] for unit in units), math.fsum(unit.load[1] for unit in units)


def _excess(load: Load) -> float:
    return sum(max(0.0, each - FULL) for each in load)


def _sum(one: Load, two: Load) -> Load:
    return one[0] + two[0], one[1] + two[1]


def _difference(one: Load, two: Load) -> Load:
    return one[0] - two[0], one[1] - two[1]


def _pattern(room: Room, units: Sequence[_Unit]) -> NodePattern:
    """Return the pods of a node, those with parts of GPUs on GPUs from the last one on."""
    free = {level: [gpu for gpu, milli in enumerate(room.free_milli) if milli == level] for level in room.free_milli}
    parts = {}
    for unit in units:
        if unit.shapes[0].takes_part:
            parts[free[unit.level].pop()] = tuple(sorted(unit.shapes))
    counts = Counter(shape for unit in units for shape in unit.shapes)
    return NodePattern(counts=tuple(sorted(counts.items())), parts=tuple(sorted(parts.items())))
