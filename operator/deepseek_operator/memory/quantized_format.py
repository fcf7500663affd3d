"""From a quantization's name to the bytes of the linear layers it stores."""

from __future__ import annotations

from deepseek_operator.catalog.linear_formats import LinearFormat
from deepseek_operator.catalog.quantizations import named_quantization


def linear_format(name: str) -> LinearFormat | None:
    """Return the format of the linear layers, or None when the checkpoint runs as stored.

    Args:
        name: of a format in ``catalog.quantizations``, with its parameter, such as ``AWQ:64``.

    Raises:
        UnknownQuantizationError: no such name; the text lists them.

    >>> linear_format("NVFP4Experts").covers
    <Coverage.ROUTED_EXPERTS: 'routed-experts'>
    """
    return named_quantization(name).linear
