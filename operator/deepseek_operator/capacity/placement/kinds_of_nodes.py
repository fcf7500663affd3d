"""How many pods of each shape the nodes of each kind hold together: a small integer program, and a sharp bound.

The GPUs of a kind of node are taken one by one: each carries a fill, sizes of pods that go on one GPU together. CPU and
host memory are counted for all nodes of the kind as if they were one, so the best choice of whole numbers is a bound on
every placement; it misses only what the borders between nodes cost. `dealing` looks for nodes that realize it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepseek_operator.capacity.placement.bound import fits_an_empty
from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room
from deepseek_operator.capacity.placement.solver import Program, solve

MOST_VARIABLES = 20_000
"""Of the program; larger ones are left out. Source: judgement; 40 nodes of the Alibaba trace need some 1,500."""

LOOKED_AT_PER_FILL = 10
"""Sets that are looked at for each one that may be kept; of those of the Alibaba trace every fourth is."""

Sizes = tuple[int, ...]
"""Thousandths of a GPU that pods take of it, one entry per pod, the largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What some nodes of a kind hold together.

    Args:
        room: what is free on each of them.
        nodes: how many they are, 1 or more.
        pods: shapes and how many of their pods.
        fills: by free thousandths of a GPU, how many GPUs carry which sizes at most.
    """

    room: Room
    nodes: int
    pods: Counter[PodShape] = field(default_factory=Counter)
    fills: Counter[tuple[int, Sizes]] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindsChoice:
    """What all nodes hold.

    Args:
        bound_gpus: no placement allocates more.
        allocated_gpus: of all pods of the groups.
        groups: of nodes with free GPUs; those of one kind may be in several.
    """

    bound_gpus: float
    allocated_gpus: float
    groups: tuple[Group, ...]


def fullest_fills(free_milli: int, pods: Mapping[int, int], most: int) -> list[Sizes] | None:
    """Return the sets of sizes for a GPU to which nothing can be added; None where there are too many.

    Args:
        free_milli: free thousandths of the GPU.
        pods: sizes below a whole GPU, and how many pods have them.
        most: sets that are too many.

    >>> fullest_fills(1000, {700: 1, 300: 2, 200: 9}, 10)
    [(700, 300), (700, 200), (300, 300, 200, 200), (300, 200, 200, 200), (200, 200, 200, 200, 200)]
    """
    found: list[Sizes] = []
    looked_at = 0
    sizes = sorted((size for size in pods if size <= free_milli), reverse=True)
    stack: list[tuple[int, int, Sizes]] = [(0, free_milli, ())]
    while stack:
        index, left, held = stack.pop()
        if index == len(sizes):
            looked_at += 1
            if looked_at > most * LOOKED_AT_PER_FILL:
                return None
            if held and all(size > left or held.count(size) == pods[size] for size in sizes):
                found.append(held)
            continue
        size = sizes[index]
        stack += [
            (index + 1, left - copies * size, held + (size,) * copies)
            for copies in range(min(pods[size], left // size) + 1)
        ]
    return found if len(found) <= most else None


def choose_for_kinds(
    alike: Mapping[Room, int],
    pods: Mapping[PodShape, int],
    *,
    host_share: float = 1.0,
    single_gpus: int = 0,
    seconds: float,
) -> KindsChoice | None:
    """Return the best choice that was found and its bound; None where the question is too large or the time too short.

    Args:
        alike: kinds of nodes, and how many of each there are.
        pods: shapes with GPUs, and how many pods have them.
        host_share: share of the CPU and memory that several nodes may use together; the bound holds for 1 only.
        single_gpus: GPUs of all nodes of a kind up to which each node is looked upon alone, so that its borders count.
        seconds: longest search.
    """
    sizes = Counter[int]()
    for shape, count in pods.items():
        if shape.takes_part:
            sizes[shape.gpu_milli] += count
    levels = {free for room in alike for free in room.free_milli if free}
    fills: dict[int, list[Sizes]] = {}
    for level in sorted(levels):
        few = fullest_fills(level, sizes, MOST_VARIABLES // len(alike))
        if few is None:
            return None
        fills[level] = few
    groups = [group for room, nodes in alike.items() for group in _groups(room, nodes, single_gpus)]
    if sum(len(fills[level]) for group in groups for level in set(group.room.free_milli) if level) > MOST_VARIABLES:
        return None
    return _Question(groups, pods, fills, host_share).answer(seconds)


def _groups(room: Room, nodes: int, single_gpus: int) -> list[Group]:
    if nodes * len(room.free_milli) <= single_gpus:
        return [Group(room=room, nodes=1) for _ in range(nodes)]
    return [Group(room=room, nodes=nodes)]


class _Question:
    def __init__(
        self, groups: Sequence[Group], pods: Mapping[PodShape, int], fills: Mapping[int, list[Sizes]], share: float
    ) -> None:
        self._program, self._share, self._fills, self._groups = Program(), share, fills, groups
        self._of_pods = {shape: self._program.row(count) for shape, count in pods.items()}
        self._chosen: list[tuple[Group, PodShape | tuple[int, Sizes]]] = []
        for group in groups:
            self._add(group, pods)

    def _add(self, group: Group, pods: Mapping[PodShape, int]) -> None:
        """Add nodes: pods by shape, fills by GPU, and what they may take together."""
        room, nodes = group.room, group.nodes
        share = self._share if nodes > 1 else 1.0
        levels = Counter(free for free in room.free_milli if free)
        gpus = {level: self._program.row(nodes * count) for level, count in levels.items()}
        cpu = self._program.row(share * nodes * room.cpu_milli / 1000)
        memory = self._program.row(share * nodes * room.memory_mib / 1024)
        usable = [shape for shape in pods if fits_an_empty(room, shape)]
        slots = {size: self._program.row(0.0) for size in {shape.gpu_milli for shape in usable if shape.takes_part}}
        for shape in usable:
            entries = [(self._of_pods[shape], 1.0), (cpu, shape.cpu_milli / 1000), (memory, shape.memory_mib / 1024)]
            if shape.takes_part:
                entries.append((slots[shape.gpu_milli], 1.0))
            else:
                entries.append((gpus[WHOLE_GPU_MILLI], float(shape.gpus)))
            most = min(pods[shape], nodes * _most_on_one(room, shape))
            self._program.variable(shape.demand_milli / WHOLE_GPU_MILLI, most, entries)
            self._chosen.append((group, shape))
        for level, row in gpus.items() if slots else ():
            for fill in self._fills[level]:
                held = [(slots[size], -float(count)) for size, count in Counter(fill).items() if size in slots]
                self._program.variable(0.0, nodes * levels[level], [(row, 1.0), *held])
                self._chosen.append((group, (level, fill)))

    def answer(self, seconds: float) -> KindsChoice | None:
        found = solve(self._program, whole=True, seconds=seconds)
        if not found.values.size:
            return None
        for (group, chosen), value in zip(self._chosen, found.values, strict=True):
            if round(value) and isinstance(chosen, PodShape):
                group.pods[chosen] = round(value)
            elif round(value) and not isinstance(chosen, PodShape):
                group.fills[chosen] = round(value)
        return KindsChoice(bound_gpus=found.bound, allocated_gpus=found.objective, groups=tuple(self._groups))


def _most_on_one(room: Room, shape: PodShape) -> int:
    """Return how many pods of a shape one node holds at most."""
    each = [sum(free // shape.gpu_milli for free in room.free_milli)]
    if not shape.takes_part:
        each = [sum(free == WHOLE_GPU_MILLI for free in room.free_milli) // shape.gpus]
    if shape.cpu_milli:
        each.append(room.cpu_milli // shape.cpu_milli)
    if shape.memory_mib:
        each.append(room.memory_mib // shape.memory_mib)
    return min(each)


def host_use(room: Room, shapes: Sequence[PodShape]) -> tuple[float, float]:
    """Return the shares of a node's CPU and memory that pods take."""
    cpu = sum(shape.cpu_milli for shape in shapes) / max(1, room.cpu_milli)
    return cpu, sum(shape.memory_mib for shape in shapes) / max(1, room.memory_mib)
