"""Weights of a stand-in of which only the number of parameters is stated: that number times the bits, exactly."""

from __future__ import annotations

from deepseek_operator.catalog.linear_formats import LinearFormat
from deepseek_operator.units import ceil_div


def stated_bytes(parameters: int, linear: LinearFormat) -> int:
    """Return the bytes of that many parameters, embeddings and norms in the same format as the rest.

    >>> stated_bytes(13_000_000_000, LinearFormat(weight_bits=16))
    26000000000
    """
    bits = parameters * linear.bits_per_weight
    return ceil_div(bits.numerator, 8 * bits.denominator)


def stated_share(total_bytes: int, layers: int, all_layers: int, tensor: int) -> int:
    """Return one rank's share: its stage's share of the layers, cut evenly by tensor parallelism.

    >>> stated_share(134_000_000_000, 80, 80, 8)
    16750000000
    """
    return ceil_div(total_bytes * layers, all_layers * tensor)
