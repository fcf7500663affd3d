"""Linear and integer programs, solved by HiGHS.

HiGHS is the solver that has both at the quality needed here, as one wheel of 5 MB with types; OR-Tools' CP-SAT needs
pandas and protobuf beside it (30 MB), SciPy brings the same HiGHS inside 35 MB. One thread and a fixed seed: the same
program gives the same answer unless the time limit ends it.
Source: Huangfu and Hall, "Parallelizing the dual revised simplex method", 2018; wheel sizes of November 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import highspy
import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(slots=True)
class Program:
    """Maximize ``gain`` times the variables, each between 0 and its ``most``, under rows of "at most"."""

    gain: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    _columns: list[list[tuple[int, float]]] = field(default_factory=list)

    def row(self, limit: float) -> int:
        """Add a row "sum of its entries at most ``limit``" and return its index."""
        self.limits.append(limit)
        return len(self.limits) - 1

    def variable(self, gain: float, most: float, entries: Iterable[tuple[int, float]]) -> int:
        """Add a variable with its entries (row, factor) and return its index."""
        self.gain.append(gain)
        self.most.append(most)
        self._columns.append(list(entries))
        return len(self.gain) - 1

    def arrays(self) -> tuple[NDArray[np.int32], NDArray[np.int32], Numbers]:
        """Return start, row index and factor of the columns."""
        lengths = [len(column) for column in self._columns]
        flat = [entry for column in self._columns for entry in column]
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        rows = np.fromiter((row for row, _ in flat), dtype=np.int32, count=len(flat))
        factors = np.fromiter((factor for _, factor in flat), dtype=np.float64, count=len(flat))
        return start, rows, factors


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What the solver found.

    Args:
        values: of the variables; empty when it found nothing.
        objective: gain of these values.
        bound: no values can gain more.
        prices: what one more unit of each row's limit would gain; empty for integer programs.
    """

    values: Numbers
    objective: float
    bound: float
    prices: Numbers


def solve(
    program: Program,
    *,
    whole: bool = False,
    seconds: float = 60.0,
    gap: float = 0.0,
    start: Sequence[float] | None = None,
) -> Solution:
    """Return the best values of a program.

    Args:
        program: to be solved; values of 0 are allowed in every program.
        whole: whether every variable must be a whole number.
        seconds: after which the best that was found is returned.
        gap: relative distance to the bound that is good enough, for whole numbers.
        start: values to begin with, for whole numbers.
    """
    solver = highspy.Highs()  # type: ignore[no-untyped-call]  # - the constructor lacks types in its stub
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("time_limit", max(0.01, seconds))
    solver.setOptionValue("mip_rel_gap", gap)
    solver.passModel(_model(program, whole=whole))
    if start is not None:
        given = highspy.HighsSolution()
        given.col_value = list(start)
        solver.setSolution(given)
    solver.run()
    solution, info = solver.getSolution(), solver.getInfo()
    found = bool(solution.value_valid)
    objective = info.objective_function_value if found else 0.0
    return Solution(
        values=np.array(solution.col_value) if found else np.zeros(0),
        objective=objective,
        bound=info.mip_dual_bound if whole else objective,
        prices=np.zeros(0) if whole else np.array(solution.row_dual),
    )


def _model(program: Program, *, whole: bool) -> highspy.HighsLp:
    start, rows, factors = program.arrays()
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(program.gain), len(program.limits)
    model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_ = np.array(program.gain, dtype=np.float64)
    model.col_lower_ = np.zeros(len(program.gain))
    model.col_upper_ = np.array(program.most, dtype=np.float64)
    model.row_lower_ = np.full(len(program.limits), -highspy.kHighsInf)
    model.row_upper_ = np.array(program.limits, dtype=np.float64)
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = start
    model.a_matrix_.index_ = rows
    model.a_matrix_.value_ = factors
    if whole:
        model.integrality_ = [highspy.HighsVarType.kInteger] * len(program.gain)
    return model
