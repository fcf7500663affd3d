"""Places a known set of pods as well as it can be done, and says how far from the best that may be.

Nodes that are alike are filled with patterns, sets of pods that one node holds. A linear program chooses how many
nodes get which pattern; its prices tell which new pattern would help most, until none would (column generation:
Gilmore and Gomory, "A linear programming approach to the cutting-stock problem", 1961, with the prices smoothed as in
Wentges, "Weighted Dantzig-Wolfe decomposition", 1997). Whole numbers of nodes are chosen last, beginning with what
placing the pods one by one gives, so the answer is never worse than that.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_operator.capacity.placement.bound import allocation_bound_gpus
from deepseek_operator.capacity.placement.node_pattern import NodePattern, best_pattern, quick_pattern
from deepseek_operator.capacity.placement.one_by_one import OneByOne
from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room, Spot
from deepseek_operator.capacity.placement.solver import Program, Solution, solve

SMOOTHING = 0.6
"""Weight of the best prices so far. Source: Wentges 1997 recommends the middle; 0.6 was quickest of 0.3, 0.6, 0.8."""

GAIN_WITHOUT_GPU = 1e-3
"""GPUs that a pod without GPUs counts as, so that it gets a place where it costs no GPU."""

PATTERN_SECONDS = 0.5
"""Longest search for one pattern, at first."""

PATIENCE = 4
"""How many times longer a search may take whenever no pattern was found though a better one may exist."""

WHOLE_NUMBERS_SHARE = 0.25
"""Share of the time that is left for choosing whole numbers of nodes."""

UNBOUNDED = float("inf")
"""Limit of a variable that rows bound already; a second limit would take the rows' prices."""

CLOSE_ENOUGH = 1e-3
"""Relative distance to the bound at which the search ends."""


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
        return 100 * (1 - self.allocated_gpus / self.bound_gpus) if self.bound_gpus else 0.0


def place_known_set(rooms: Sequence[Room], pods: Mapping[PodShape, int], *, seconds: float = 60.0) -> Placed:
    """Return where the pods go.

    Args:
        rooms: what is free on each node.
        pods: shapes and how many pods have them, 1 or more.
        seconds: to spend; within them more time gives a better answer, and a set that is placed whole ends at once.
    """
    deadline = time.monotonic() + seconds
    alike = Counter(rooms)
    bound = allocation_bound_gpus(alike, pods)
    nodes = _one_by_one(rooms, pods)
    if _gpus(nodes) < bound * (1 - CLOSE_ENOUGH):
        search = _Search(alike, pods, nodes, rooms)
        bound = min(bound, search.generate(deadline - seconds * WHOLE_NUMBERS_SHARE, bound))
        found = search.chosen(max(1.0, deadline - time.monotonic()), rooms)
        better = _refilled(rooms, found, pods)
        nodes = max(nodes, better, key=_gpus)
    return _answer(rooms, nodes, pods, bound)


def evenly(pods: Mapping[PodShape, int]) -> list[PodShape]:
    """Return every pod by its shape, the shapes mixed as evenly as they go.

    >>> one, two = PodShape(gpus=1, gpu_milli=1000), PodShape(gpus=2, gpu_milli=1000)
    >>> [shape.gpus for shape in evenly({one: 4, two: 2})]
    [1, 2, 1, 1, 2, 1]
    """
    turns = [((turn + 0.5) / count, shape) for shape, count in pods.items() for turn in range(count)]
    return [shape for _, shape in sorted(turns)]


Node = tuple[NodePattern, ...]


def _one_by_one(rooms: Sequence[Room], pods: Mapping[PodShape, int]) -> list[NodePattern]:
    """Return the pattern of each node when the pods come one by one: the best of two orders."""
    largest_first = sorted(
        pods, key=lambda shape: (not shape.gpus, -bool(shape.products), -shape.gpus, -shape.gpu_milli, shape)
    )
    orders = [evenly(pods), [shape for shape in largest_first for _ in range(pods[shape])]]
    return max((_patterns(rooms, [NodePattern(())] * len(rooms), order, pods) for order in orders), key=_gpus)


def _patterns(
    rooms: Sequence[Room], nodes: Sequence[NodePattern], order: Sequence[PodShape], pods: Mapping[PodShape, int]
) -> list[NodePattern]:
    """Return the nodes' patterns after more pods were placed one by one beside those that are there."""
    counts = [Counter(dict(node.counts)) for node in nodes]
    parts = [{gpu: list(shapes) for gpu, shapes in node.parts} for node in nodes]
    placer = OneByOne([_left(room, node) for room, node in zip(rooms, nodes, strict=True)], pods)
    for shape in order:
        spot = placer.place(shape)
        if spot is not None:
            counts[spot.node][shape] += 1
            if shape.takes_part:
                parts[spot.node].setdefault(spot.gpus[0], []).append(shape)
    return [
        NodePattern(
            counts=tuple(sorted(count.items())),
            parts=tuple((gpu, tuple(sorted(shapes))) for gpu, shapes in sorted(part.items())),
        )
        for count, part in zip(counts, parts, strict=True)
    ]


def _left(room: Room, node: NodePattern) -> Room:
    """Return what a pattern leaves of a node."""
    free = list(room.free_milli)
    for gpu, shapes in node.parts:
        free[gpu] -= sum(shape.gpu_milli for shape in shapes)
    shared = {gpu for gpu, _ in node.parts}
    whole = [gpu for gpu, milli in enumerate(free) if milli == WHOLE_GPU_MILLI and gpu not in shared]
    taken = sum(shape.gpus * count for shape, count in node.counts if not shape.takes_part)
    for gpu in whole[:taken]:
        free[gpu] = 0
    return Room(
        product=room.product,
        free_milli=tuple(free),
        cpu_milli=room.cpu_milli - sum(shape.cpu_milli * count for shape, count in node.counts),
        memory_mib=room.memory_mib - sum(shape.memory_mib * count for shape, count in node.counts),
    )


def _gpus(nodes: Sequence[NodePattern]) -> float:
    return sum(shape.demand_milli * count for node in nodes for shape, count in node.counts) / WHOLE_GPU_MILLI


class _Search:
    """Column generation over groups of nodes that are alike."""

    def __init__(
        self,
        alike: Mapping[Room, int],
        pods: Mapping[PodShape, int],
        nodes: Sequence[NodePattern],
        rooms: Sequence[Room],
    ) -> None:
        self._alike = dict(sorted(alike.items()))
        self._pods = dict(sorted(pods.items()))
        self._gain = {shape: shape.demand_milli / WHOLE_GPU_MILLI or GAIN_WITHOUT_GPU for shape in self._pods}
        self._objective, self._pattern_seconds = 0.0, PATTERN_SECONDS
        self._patterns: dict[tuple[Room, NodePattern], int] = {}
        for room, node in zip(rooms, nodes, strict=True):
            self._patterns[(room, node)] = self._patterns.get((room, node), 0) + 1

    def generate(self, deadline: float, bound: float) -> float:
        """Add patterns until none helps or the time is over; return the best bound that was proven."""
        trusted: dict[PodShape, float] = {}
        while time.monotonic() < deadline:
            now, per_node = self._prices()
            gains = {shape: SMOOTHING * trusted.get(shape, now[shape]) + (1 - SMOOTHING) * now[shape] for shape in now}
            helped, proven = self._price(gains, now, per_node, deadline)
            if proven < bound or not trusted:
                bound, trusted = min(bound, proven), gains
            if not helped:
                helped, proven = self._price(now, now, per_node, deadline)
                bound = min(bound, proven)
                trusted = now
            if not helped and bound <= self._objective * (1 + CLOSE_ENOUGH):
                break
            if not helped:
                self._pattern_seconds *= PATIENCE
        return bound

    def _prices(self) -> tuple[dict[PodShape, float], dict[Room, float]]:
        """Return the price of one more pod of each shape, and of one more node of each kind."""
        program, _, rows_of_rooms, rows_of_pods = self._program()
        found = solve(program)
        self._objective, prices = found.objective, found.prices
        gains = {shape: max(0.0, self._gain[shape] - prices[row]) for shape, row in rows_of_pods.items()}
        return gains, {room: max(0.0, float(prices[row])) for room, row in rows_of_rooms.items()}

    def _price(
        self,
        gains: Mapping[PodShape, float],
        now: Mapping[PodShape, float],
        per_node: Mapping[Room, float],
        deadline: float,
    ) -> tuple[bool, float]:
        """Add the best pattern of each kind of node; return whether one helps at today's prices, and a bound."""
        helped = False
        proven = sum((self._gain[shape] - gains[shape]) * count for shape, count in self._pods.items())
        for room, count in self._alike.items():
            gain, pattern = quick_pattern(room, gains)
            most = UNBOUNDED
            if self._worth(pattern, now) <= per_node[room] + CLOSE_ENOUGH and time.monotonic() < deadline:
                gain, most, pattern = best_pattern(room, gains, self._pods, self._pattern_seconds)
            proven += count * max(most, gain)
            if self._worth(pattern, now) > per_node[room] + CLOSE_ENOUGH:
                helped |= (room, pattern) not in self._patterns
                self._patterns.setdefault((room, pattern), 0)
        return helped, proven

    def _worth(self, pattern: NodePattern, gains: Mapping[PodShape, float]) -> float:
        return sum(gains[shape] * count for shape, count in pattern.counts)

    def _program(self) -> tuple[Program, list[tuple[Room, NodePattern]], dict[Room, int], dict[PodShape, int]]:
        """Return the choice of patterns: pods beyond those that there are gain nothing."""
        program = Program()
        rows_of_rooms = {room: program.row(count) for room, count in self._alike.items()}
        rows_of_pods = {shape: program.row(count) for shape, count in self._pods.items()}
        columns = list(self._patterns)
        for room, pattern in columns:
            gain = sum(self._gain[shape] * count for shape, count in pattern.counts)
            entries = [(rows_of_pods[shape], float(count)) for shape, count in pattern.counts]
            program.variable(gain, UNBOUNDED, [(rows_of_rooms[room], 1.0), *entries])
        for shape, row in rows_of_pods.items():
            program.variable(-self._gain[shape], UNBOUNDED, [(row, -1.0)])
        return program, columns, rows_of_rooms, rows_of_pods

    def chosen(self, seconds: float, rooms: Sequence[Room]) -> list[NodePattern]:
        """Return a pattern for each node, in whole numbers."""
        program, columns, _, _ = self._program()
        start = [float(self._patterns[column]) for column in columns] + [0.0] * len(self._pods)
        found: Solution = solve(program, whole=True, seconds=seconds, gap=CLOSE_ENOUGH, start=start)
        stock: dict[Room, list[NodePattern]] = {}
        for (room, pattern), value in zip(columns, found.values, strict=False):
            stock.setdefault(room, []).extend([pattern] * round(value))
        return [stock[room].pop() if stock.get(room) else NodePattern(()) for room in rooms]


def _refilled(rooms: Sequence[Room], nodes: Sequence[NodePattern], pods: Mapping[PodShape, int]) -> list[NodePattern]:
    """Return the nodes without pods beyond those that there are, and with the others placed one by one."""
    left, kept = Counter(pods), []
    for node in nodes:
        parts, counts = [], Counter[PodShape]()
        for gpu, shapes in node.parts:
            stay = []
            for shape in shapes:
                if left[shape] > 0:
                    left[shape] -= 1
                    stay.append(shape)
            counts.update(stay)
            if stay:
                parts.append((gpu, tuple(stay)))
        for shape, count in node.counts:
            if not shape.takes_part:
                counts[shape] = min(count, left[shape])
                left[shape] -= counts[shape]
        kept.append(NodePattern(tuple(sorted((s, c) for s, c in counts.items() if c)), tuple(parts)))
    return _patterns(rooms, kept, evenly(+left), pods)


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
        allocated_gpus=_gpus(nodes),
        bound_gpus=bound,
    )
