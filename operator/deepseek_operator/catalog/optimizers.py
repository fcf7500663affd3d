"""Optimizers and what they remember of every parameter; bytes of a whole model lie in ``memory/training``."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.errors import UnknownOptimizerError


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """One optimizer.

    Args:
        name: as ``--optimizer`` takes it.
        states_per_parameter: moments that it keeps of every parameter.
        bits_per_state: bits of one moment: 32 or 8.
        block_size: elements that share one FP32 scale; 0 when moments have none.
        smallest_quantized_tensor: elements below which a tensor's moments stay in FP32; 0 when none are quantized.
        factored: whether a matrix has one row and one column vector in place of a full moment.
        notes: what else to know.
        source: where the row comes from.
    """

    name: str
    states_per_parameter: int
    bits_per_state: int
    block_size: int
    smallest_quantized_tensor: int
    factored: bool
    notes: str
    source: str


@functools.cache
def optimizers() -> tuple[Optimizer, ...]:
    """Return every known optimizer, the most common first."""
    rows = read_json("optimizers.json")["optimizers"]
    if not isinstance(rows, list):
        raise TypeError("optimizers.json holds no list")
    return tuple(Optimizer(**row) for row in rows)


def optimizer(name: str) -> Optimizer:
    """Return an optimizer by its name.

    Raises:
        UnknownOptimizerError: no such name; the text lists them.

    >>> optimizer("adamw").states_per_parameter
    2
    """
    for known in optimizers():
        if known.name == name:
            return known
    names = [known.name for known in optimizers()]
    raise UnknownOptimizerError("optimizer", name, (), f"known are {', '.join(names)}")
