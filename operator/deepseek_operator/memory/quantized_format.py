"""From a quantization's name to the bytes of the linear layers it stores."""

from __future__ import annotations

from dataclasses import replace

from deepseek_operator.catalog.linear_formats import LinearFormat, on_hopper
from deepseek_operator.catalog.quantizations import named_quantization
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.weights import StageWeights, stage_weights

HOPPER = (9, 0)
"""Compute capability of H100, H200, H800, H20 and GH200."""


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


def quantized_weights(
    shape: ModelShape,
    parallelism: Parallelism,
    name: str,
    compute_capability: tuple[int, int] | None,
    *,
    with_draft: bool = False,
) -> tuple[StageWeights, ...]:
    """Return ``stage_weights`` in a named quantization, as the kernels of a GPU keep them.

    Args:
        shape: the model.
        parallelism: how one replica is split.
        name: what ``linear_format`` takes.
        compute_capability: of the GPU; None assumes none in particular.
        with_draft: whether the checkpoint's draft layers are loaded too.

    Routed experts run on another kernel, and only dense models are treated apart.

    Raises:
        UnknownQuantizationError: no such name; the text lists them.
    """
    linear = linear_format(name)
    if compute_capability == HOPPER and shape.experts is None:
        if linear is not None:
            linear = on_hopper(linear)
        elif shape.stored_linear is not None:
            shape = replace(shape, stored_linear=on_hopper(shape.stored_linear))
    return stage_weights(shape, parallelism, linear, with_draft=with_draft)
