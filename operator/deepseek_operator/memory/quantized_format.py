"""From a quantization's name to the bytes of the linear layers it stores."""

from __future__ import annotations

from functools import lru_cache

from deepseek_operator.catalog.quantizations import NATIVE, quantization
from deepseek_operator.memory.tensors import LinearFormat


@lru_cache(maxsize=64)
def linear_format(name: str) -> LinearFormat | None:
    """Return the format of the linear layers, or None when the checkpoint runs as stored.

    Args:
        name: of a rung in ``catalog.quantizations``.

    Raises:
        UnknownQuantizationError: no such name; the text lists them.

    >>> linear_format("AWQ")
    LinearFormat(weight_bits=4, group_rows=1, group_columns=128, scale_bits=20)
    """
    rung = quantization(name)
    if name == NATIVE:
        return None
    if not rung.group_size:
        return LinearFormat(weight_bits=rung.weight_bits)
    return LinearFormat(
        weight_bits=rung.weight_bits,
        group_rows=1,
        group_columns=rung.group_size,
        scale_bits=rung.scale_bits_per_group,
    )
