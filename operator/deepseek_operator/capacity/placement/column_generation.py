"""Which patterns of pods the nodes should hold: a linear program whose patterns are found as its prices ask for them.

The prices of the program tell what one more pod of a shape and one more node of a kind are worth; the pattern that
gains most at these prices is added, until none gains more than its node costs (column generation: Gilmore and Gomory,
"A linear programming approach to the cutting-stock problem", 1961, with the prices smoothed as in Wentges, "Weighted
Dantzig-Wolfe decomposition", 1997). What the best patterns gain also proves a bound on every placement.

Whole numbers of nodes come from diving: what the program chooses at least once is kept, else the patterns that are
nearest to once, and the rest is asked again with new prices (Waescher and Gau, "Heuristics for the integer
one-dimensional cutting stock problem", 1996).
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from deepseek_operator.capacity.placement.node_pattern import FillCache, NodePattern, best_pattern, quick_pattern
from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room
from deepseek_operator.capacity.placement.solver import Program, solve

Column = tuple[Room, NodePattern]
"""A pattern for a kind of node."""

SMOOTHING = 0.6
"""Weight of the best prices so far. Source: Wentges 1997 recommends the middle; 0.6 was quickest of 0.3, 0.6, 0.8."""

PATTERN_SECONDS = 0.5
"""Longest search for one pattern, at first."""

PATIENCE = 4
"""How many times longer a search may take whenever no pattern was found though a better one may exist."""

UNBOUNDED = float("inf")
"""Limit of a variable that rows bound already; a second limit would take the rows' prices."""

CLOSE_ENOUGH = 1e-3
"""Relative distance to the bound at which a placement is good enough."""

CONVERGED = 1e-6
"""Relative distance between program and bound at which no better bound is to be had."""

ROUNDING = 1e-6
"""How far from a whole number a value of the solver may lie."""

NO_BETTER = 1e-6
"""GPUs that a pattern must gain beyond the price of its node."""

DIVE_ROUNDS = 3
"""Rounds of new patterns after each step of a dive. Source: judgement; the first ones help most."""

DIVE_STEPS = 60
"""Steps that a dive is cut into at most; a large cluster keeps several patterns per step."""


class ColumnGeneration:
    """The choice of patterns for kinds of nodes.

    Args:
        alike: kinds of nodes, and how many of each there are.
        pods: shapes with GPUs, and how many pods have them.
        columns: patterns to begin with.
    """

    def __init__(self, alike: Mapping[Room, int], pods: Mapping[PodShape, int], columns: Iterable[Column] = ()) -> None:
        self._alike = dict(sorted(alike.items()))
        self._pods = dict(sorted(pods.items()))
        self._gain = {shape: shape.demand_milli / WHOLE_GPU_MILLI for shape in self._pods}
        self._objective, self._pattern_seconds = 0.0, PATTERN_SECONDS
        self.columns: dict[Column, None] = dict.fromkeys((*columns, *((room, NodePattern(())) for room in self._alike)))

    def generate(self, deadline: float, bound: float, rounds: int | None = None) -> float:
        """Add patterns until none helps, the time is over or the rounds are; return the best bound that was proven."""
        trusted: dict[PodShape, float] = {}
        while time.monotonic() < deadline and rounds != 0:
            rounds = None if rounds is None else rounds - 1
            now, per_node = self._prices()
            gains = {shape: SMOOTHING * trusted.get(shape, now[shape]) + (1 - SMOOTHING) * now[shape] for shape in now}
            helped, proven = self._price(gains, now, per_node, deadline)
            if proven < bound or not trusted:
                bound, trusted = min(bound, proven), gains
            if not helped:
                helped, proven = self._price(now, now, per_node, deadline)
                bound = min(bound, proven)
                trusted = now
            if not helped and bound <= self._objective + CONVERGED * max(1.0, self._objective):
                break
            if not helped:
                self._pattern_seconds *= PATIENCE
        return bound

    def choice(self, *, seconds: float, start: Mapping[Column, int]) -> Counter[Column]:
        """Return how many nodes get which of today's patterns: the best choice of whole numbers.

        Args:
            seconds: after which the best that was found is returned.
            start: a choice to begin with, of today's patterns.
        """
        program, columns, _, _ = self._program()
        values = [float(start.get(column, 0)) for column in columns]
        beyond = Counter[PodShape]()
        for (_, pattern), value in zip(columns, values, strict=True):
            beyond.update({shape: count * int(value) for shape, count in pattern.counts})
        values += [float(max(0, beyond[shape] - count)) for shape, count in self._pods.items()]
        found = solve(program, whole=True, seconds=seconds, start=values)
        return Counter(
            {column: round(value) for column, value in zip(columns, found.values, strict=False) if value > 0.5}
        )

    def dive(self, deadline: float) -> Counter[Column]:
        """Return whole numbers of nodes, by keeping what the program chooses step by step; the patterns stay known."""
        alike, pods, kept = Counter(self._alike), Counter(self._pods), Counter[Column]()
        steps = max(1, sum(alike.values()) // DIVE_STEPS)
        while alike and pods and time.monotonic() < deadline:
            rest = ColumnGeneration(alike, pods, (column for column in self.columns if column[0] in alike))
            rest.generate(deadline, UNBOUNDED, DIVE_ROUNDS)
            taken = rest._kept(steps)
            if not taken:
                break
            self.columns |= dict.fromkeys(taken)
            for (room, pattern), count in taken.items():
                kept[room, pattern] += count
                alike[room] -= count
                pods.subtract({shape: each * count for shape, each in pattern.counts})
            alike, pods = +alike, +pods
        return kept

    def _kept(self, steps: int) -> Counter[Column]:
        """Return the whole parts of the best fractions; where there is none, the fractions nearest to one node."""
        program, columns, _, _ = self._program()
        chosen = [
            (value, column) for value, column in zip(solve(program).values, columns, strict=False) if column[1].counts
        ]
        whole = Counter({column: math.floor(value + ROUNDING) for value, column in chosen if value > 1 - ROUNDING})
        if whole:
            return whole
        nearest = sorted((each for each in chosen if each[0] > ROUNDING), key=lambda each: (-each[0], each[1]))
        found, room_left = Counter[Column](), Counter(self._alike)
        for _, column in nearest[:steps]:
            if room_left[column[0]]:
                room_left[column[0]] -= 1
                found[column] += 1
        return found

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
        helped, cache = False, FillCache(gains)
        proven = sum((self._gain[shape] - gains[shape]) * count for shape, count in self._pods.items())
        for room, count in self._alike.items():
            gain, pattern = quick_pattern(room, gains, self._pods)
            most = UNBOUNDED
            if _worth(pattern, now) <= per_node[room] + NO_BETTER and time.monotonic() < deadline:
                gain, most, pattern = best_pattern(room, gains, self._pods, self._pattern_seconds, cache)
            proven += count * max(most, gain)
            if _worth(pattern, now) > per_node[room] + NO_BETTER:
                helped |= (room, pattern) not in self.columns
                self.columns[room, pattern] = None
        return helped, proven

    def _program(self) -> tuple[Program, list[Column], dict[Room, int], dict[PodShape, int]]:
        """Return the choice of patterns: pods beyond those that there are gain nothing."""
        program = Program()
        rows_of_rooms = {room: program.row(count) for room, count in self._alike.items()}
        rows_of_pods = {shape: program.row(count) for shape, count in self._pods.items()}
        columns = list(self.columns)
        for room, pattern in columns:
            there = [(shape, count) for shape, count in pattern.counts if shape in self._pods]
            gain = sum(self._gain[shape] * count for shape, count in there)
            entries = [(rows_of_pods[shape], float(count)) for shape, count in there]
            program.variable(gain, UNBOUNDED, [(rows_of_rooms[room], 1.0), *entries])
        for shape, row in rows_of_pods.items():
            program.variable(-self._gain[shape], UNBOUNDED, [(row, -1.0)])
        return program, columns, rows_of_rooms, rows_of_pods


def _worth(pattern: NodePattern, gains: Mapping[PodShape, float]) -> float:
    return sum(gains[shape] * count for shape, count in pattern.counts)
