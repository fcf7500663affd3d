"""From a quantization's name to the bytes of the linear layers it stores."""

from __future__ import annotations

from deepseek_operator.errors import UnknownQuantizationError
from deepseek_operator.memory.tensors import LinearFormat

NATIVE = "Native"


def linear_format(quantization: str) -> LinearFormat | None:
    """Return the format of the linear layers, or None when the checkpoint runs as stored."""
    if quantization == NATIVE:
        return None
    raise UnknownQuantizationError("quantization", quantization, (NATIVE,))
