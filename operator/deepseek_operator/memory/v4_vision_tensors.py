"""Weights of the image encoder and projector of V4-Flash-Vision-Exp and V4.1, to the last parameter.

They keep 16 bits under every quantization. Source: vLLM 0.32.0 ``models/deepseek_v4/common/vision.py``.
"""

from __future__ import annotations

from deepseek_operator.catalog.shapes import VisionTower
from deepseek_operator.memory.tensors import Axis, Component, Storage, WeightTensor

COLOURS = 3
"""Channels of an image."""


def v4_vision_tensors(vision: VisionTower, hidden_size: int) -> tuple[tuple[WeightTensor, int], ...]:
    """Return the tensors of an image encoder and its projector, each with how often it is repeated.

    Args:
        vision: the encoder's dimensions.
        hidden_size: width of the language model.

    Every pipeline stage holds them. Tensor parallelism cuts attention by heads and the gated MLPs; patches, norms and
    the vectors around an image are replicated.
    """
    width = vision.hidden_size
    head = width // vision.num_heads
    layer = (
        _vector(2 * width),
        _matrix(3 * width, width, Axis.ROWS, head),
        _vector(3 * width, Axis.ROWS, head),
        _matrix(width, width, Axis.COLUMNS, head),
        _vector(width),
        _matrix(2 * vision.intermediate_size, width, Axis.ROWS),
        _matrix(width, vision.intermediate_size, Axis.COLUMNS),
    )
    once = (
        _matrix(width, COLOURS * vision.patch_size**2),
        _vector(width),
        _vector(width),
        *_projector(vision, hidden_size),
    )
    return (*((tensor, vision.num_layers) for tensor in layer), *((tensor, 1) for tensor in once))


def _projector(vision: VisionTower, hidden_size: int) -> tuple[WeightTensor, ...]:
    """Two linear layers over ``downsample_ratio`` x ``downsample_ratio`` joined patches, and the learned vectors."""
    joined = vision.hidden_size * vision.downsample_ratio**2
    component = Component.PROJECTOR
    return (
        _matrix(hidden_size, joined, Axis.ROWS, component=component),
        _vector(hidden_size, Axis.ROWS, component=component),
        _matrix(hidden_size, hidden_size, Axis.COLUMNS, component=component),
        _vector(hidden_size, component=component),
        _vector(vision.num_marker_vectors * hidden_size, component=component),
    )


def _matrix(
    rows: int, columns: int, axis: Axis = Axis.NONE, unit: int = 1, component: Component = Component.VISION
) -> WeightTensor:
    return WeightTensor(
        component=component,
        row_parts=((rows, unit if axis is Axis.ROWS else 1),),
        columns=columns,
        column_unit=unit if axis is Axis.COLUMNS else 1,
        axis=axis,
        storage=Storage.MODEL,
    )


def _vector(rows: int, axis: Axis = Axis.NONE, unit: int = 1, component: Component = Component.VISION) -> WeightTensor:
    return _matrix(rows, 1, axis, unit, component)
