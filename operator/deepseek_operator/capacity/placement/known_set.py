"""Places a known set of pods as well as it can be done, and says how far from the best that may be.

First the nodes that are alike are looked upon as one (`kinds_of_nodes`), which proves a bound and, dealt out, may reach
it. Else they are filled with patterns, sets of pods that one node holds; `column_generation` finds them, chooses whole
numbers of nodes and proves another bound. All begin with what placing the pods one by one gives, so the answer is never
worse than that. Pods without GPUs find their places last, where they cost none.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_operator.capacity.placement.bound import allocation_bound_gpus
from deepseek_operator.capacity.placement.column_generation import CLOSE_ENOUGH, ROUNDING, ColumnGeneration
from deepseek_operator.capacity.placement.dealing import dealt
from deepseek_operator.capacity.placement.filling import best_order, gpus_of, refilled
from deepseek_operator.capacity.placement.kinds_of_nodes import choose_for_kinds
from deepseek_operator.capacity.placement.node_pattern import NodePattern
from deepseek_operator.capacity.placement.polish import better_of, columns_of, polished
from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room, Spot

KINDS_TRIES = ((1.0, 0), (0.95, 8), (0.97, 8), (0.93, 8), (0.9, 8))
"""Shares of the nodes' CPU and memory with which kinds of nodes are filled, and GPUs of a kind up to which each node is
looked upon alone; the first one proves the bound.

Source: on ten samples of 40 nodes of the Alibaba trace 0, 8, 16 and 32 GPUs and shares from 0.84 to 1 were tried; the
bound is quickest without singles, and 0.95 with singles of 8 reaches it for all ten.
"""

KINDS_SHARE = 0.2
"""Share of the time for filling kinds of nodes."""

DIVE_SHARE = 0.3
"""Share of the time that is left for the dive."""

WHOLE_NUMBERS_SHARE = 0.25
"""Share of the time that is left for choosing whole numbers of nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The answer.

    Args:
        spots: where the pods of each shape go; node indices are those of the question.
        unplaced: shapes and how many of their pods found no place.
        allocated_gpus: of all that were placed.
        bound_gpus: no placement allocates more.
    """

    spots: Mapping[PodShape, Sequence[Spot]]
    unplaced: Mapping[PodShape, int]
    allocated_gpus: float
    bound_gpus: float

    @property
    def gap_percent(self) -> float:
        """How much more the best placement could allocate at most, in percent of the bound."""
        return max(0.0, 100 * (1 - self.allocated_gpus / self.bound_gpus)) if self.bound_gpus else 0.0


def place_known_set(
    rooms: Sequence[Room], pods: Mapping[PodShape, int], *, seconds: float = 60.0, close_enough: float = CLOSE_ENOUGH
) -> Placed:
    """Return where the pods go.

    Args:
        rooms: what is free on each node.
        pods: shapes and how many pods have them, 1 or more.
        seconds: to spend; within them more time gives a better answer, and a set that is placed whole ends at once.
        close_enough: relative distance to the bound at which the search ends.
    """
    deadline = time.monotonic() + seconds
    problem = _Problem(rooms=rooms, pods=pods, close_enough=close_enough)
    bound = allocation_bound_gpus(Counter(rooms), pods)
    nodes = best_order(rooms, pods)
    if not problem.is_solved(nodes, bound):
        bound, nodes = _improved(problem, nodes, bound, deadline)
    return _answer(rooms, nodes, pods, bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    rooms: Sequence[Room]
    pods: Mapping[PodShape, int]
    close_enough: float

    @property
    def with_gpus(self) -> dict[PodShape, int]:
        return {shape: count for shape, count in self.pods.items() if shape.gpus}

    def enough(self, bound: float) -> float:
        """Return the GPUs at which the search ends."""
        return bound * (1 - self.close_enough)

    def is_solved(self, nodes: Sequence[NodePattern], bound: float) -> bool:
        return gpus_of(nodes) >= self.enough(bound) - ROUNDING


def _improved(
    problem: _Problem, nodes: list[NodePattern], bound: float, deadline: float
) -> tuple[float, list[NodePattern]]:
    """Return a bound and patterns of the nodes that are at least as good as those given."""
    rooms, pods, with_gpus = problem.rooms, problem.pods, problem.with_gpus
    seconds = deadline - time.monotonic()
    bound, nodes = _by_kinds(problem, nodes, bound, deadline - seconds * (1 - KINDS_SHARE))
    if problem.is_solved(nodes, bound):
        return bound, nodes
    seconds = deadline - time.monotonic()
    search = ColumnGeneration(Counter(rooms), with_gpus, columns_of(rooms, nodes))
    proven = search.generate(deadline - seconds * (DIVE_SHARE + WHOLE_NUMBERS_SHARE), bound)
    bound = min(bound, _reachable(proven, with_gpus))
    if not problem.is_solved(nodes, bound):
        nodes = better_of(rooms, pods, nodes, search.dive(deadline - seconds * WHOLE_NUMBERS_SHARE))
    if not problem.is_solved(nodes, bound):
        start = columns_of(rooms, nodes)
        search.columns |= dict.fromkeys(start)
        chosen = search.choice(seconds=max(1.0, (deadline - time.monotonic()) / 2), start=start)
        nodes = better_of(rooms, pods, nodes, chosen)
    return bound, polished(rooms, pods, nodes, problem.enough(bound), deadline)


def _by_kinds(
    problem: _Problem, nodes: list[NodePattern], bound: float, deadline: float
) -> tuple[float, list[NodePattern]]:
    """Return a bound and patterns of the nodes, found by filling all nodes of a kind together."""
    rooms, pods, with_gpus = problem.rooms, problem.pods, problem.with_gpus
    alike = Counter(room for room in rooms if any(room.free_milli))
    for number, (share, single_gpus) in enumerate(KINDS_TRIES):
        left = deadline - time.monotonic()
        if left <= 0 or problem.is_solved(nodes, bound):
            break
        each = left / min(2, len(KINDS_TRIES) - number)
        found = choose_for_kinds(alike, with_gpus, host_share=share, single_gpus=single_gpus, seconds=each)
        if found is None:
            break
        if number == 0:
            bound = min(bound, _reachable(min(bound, found.bound_gpus), with_gpus))
        nodes = max(nodes, refilled(rooms, dealt(rooms, found, deadline), pods), key=gpus_of)
    return bound, nodes


def _reachable(bound: float, pods: Mapping[PodShape, int]) -> float:
    """Return a bound rounded down to what sums of the pods' GPUs can be.

    >>> _reachable(2.349, {PodShape(gpus=1, gpu_milli=500): 3, PodShape(gpus=1, gpu_milli=200): 1})
    2.3
    """
    step = math.gcd(*(shape.demand_milli for shape in pods)) or 1
    return math.floor(bound * WHOLE_GPU_MILLI / step + ROUNDING) * step / WHOLE_GPU_MILLI


def _answer(rooms: Sequence[Room], nodes: Sequence[NodePattern], pods: Mapping[PodShape, int], bound: float) -> Placed:
    spots: dict[PodShape, list[Spot]] = {}
    for index, (room, node) in enumerate(zip(rooms, nodes, strict=True)):
        for gpu, shapes in node.parts:
            for shape in shapes:
                spots.setdefault(shape, []).append(Spot(node=index, gpus=(gpu,)))
        shared = {gpu for gpu, _ in node.parts}
        whole = [g for g, milli in enumerate(room.free_milli) if milli == WHOLE_GPU_MILLI and g not in shared]
        for shape, count in node.counts:
            for _ in range(0 if shape.takes_part else count):
                taken, whole = whole[: shape.gpus], whole[shape.gpus :]
                spots.setdefault(shape, []).append(Spot(node=index, gpus=tuple(taken)))
    unplaced = {shape: count - len(spots.get(shape, ())) for shape, count in pods.items()}
    return Placed(
        spots=spots,
        unplaced={shape: count for shape, count in unplaced.items() if count},
        allocated_gpus=gpus_of(nodes),
        bound_gpus=bound,
    )
