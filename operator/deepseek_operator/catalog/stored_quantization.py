"""What a reader of ``quantization_config`` found out."""

from __future__ import annotations

from dataclasses import dataclass

from deepseek_operator.catalog.config_fields import ConfigFields
from deepseek_operator.catalog.linear_formats import LinearFormat
from deepseek_operator.catalog.module_patterns import Matcher, nothing
from deepseek_operator.catalog.shapes import StoredPrecision

GROUP_SIZES = (32, 64, 128)
"""Columns per group that the engine's 4- and 8-bit kernels run, beside whole rows (-1).

Source: vLLM 0.32.0 ``quantization/utils/marlin_utils.py`` ``MARLIN_SUPPORTED_GROUP_SIZES``.
"""
WHOLE_ROW = -1
"""How configs write that a whole row shares one scale."""


@dataclass(frozen=True, kw_only=True)
class StoredQuantization:
    """How a checkpoint stores its linear layers.

    Args:
        precision: the family, which decides what runs it.
        linear: bytes of the linear layers.
        is_ignored: whether a module is left unquantized, by its full name.
        ignore_field: the field that lists those modules.
    """

    precision: StoredPrecision
    linear: LinearFormat
    is_ignored: Matcher = nothing
    ignore_field: str = "ignore"


def group_size(fields: ConfigFields, name: str = "group_size") -> int | None:
    """Return the columns of a group; None when a whole row is one.

    Raises:
        UnsupportedModelError: no kernel runs that size.
    """
    size = fields.choice(name, (*GROUP_SIZES, WHOLE_ROW))
    return None if size == WHOLE_ROW else size
