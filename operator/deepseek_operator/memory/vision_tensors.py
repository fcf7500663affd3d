"""Weights of image encoders and of the projectors behind them, to the last parameter.

They keep 16 bits under every quantization, as published quantized checkpoints leave them. Under tensor parallelism the
engine cuts only the linear layers that it builds itself (vLLM 0.32 ``models/deepseek_vl2.py`` ``patch_vit_for_tp``,
``models/clip.py``); everything else is replicated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from deepseek_operator.catalog.shapes import VisionTower, VisionTowerKind
from deepseek_operator.memory.tensors import Axis, Component, Storage, WeightTensor
from deepseek_operator.memory.v4_vision_tensors import v4_vision_tensors

COLOURS = 3
"""Channels of an image."""

SAM_HIDDEN = 768
SAM_LAYERS = 12
SAM_HEADS = 12
SAM_PATCH = 16
SAM_GRID = 64
"""Patches along an edge: 1,024 pixels of 16 each."""
SAM_GLOBAL_LAYERS = 4
SAM_WINDOW = 14
SAM_NECK = 256
SAM_MIDDLE = 512
SAM_KERNEL = 3
"""SAM ViT-B as vLLM 0.32 ``models/deepencoder.py`` ``build_sam_vit_b`` builds it, whatever the config says."""

QWEN2_KV_WIDTH = 128
"""Two key-value heads of 64 (vLLM 0.32 ``models/deepencoder2.py``)."""
QWEN2_QUERIES = (144, 256)
"""Learned queries for images of 768 and of 1,024 pixels (``query_768``, ``query_1024``)."""

Repeated = tuple[WeightTensor, int]


def vision_tensors(vision: VisionTower, hidden_size: int) -> tuple[Repeated, ...]:
    """Return the tensors of an image encoder and its projector, each with how often it is repeated.

    Args:
        vision: which encoder, and its dimensions.
        hidden_size: width of the language model.

    Every pipeline stage holds all of them: vLLM 0.32 ``models/interfaces.py`` ``_mark_tower_model`` builds the encoder
    on each rank, though only the first stage runs it.
    """
    if vision.kind is VisionTowerKind.DEEPSEEK_V4:
        return v4_vision_tensors(vision, hidden_size)
    return (*_TOWERS[vision.kind](vision), *_projector(vision, hidden_size))


def cut_by_tensor_parallelism(vision: VisionTower | None) -> tuple[int, str]:
    """Return how many indivisible units tensor parallelism deals out, and what they are; 0 where nothing is cut.

    >>> cut_by_tensor_parallelism(None)
    (0, '')
    """
    if vision is not None and vision.kind is VisionTowerKind.SIGLIP:
        return vision.intermediate_size, "MLP rows"
    if vision is not None and vision.kind is VisionTowerKind.SAM_CLIP:
        return vision.num_heads, "attention heads"
    return 0, ""


def _siglip(vision: VisionTower) -> Iterator[Repeated]:
    """SigLIP-so400m of timm with its attention pooling, which is stored and loaded though never run."""
    hidden = vision.hidden_size
    patches = (vision.image_size // vision.patch_size) ** 2
    yield from _linear(COLOURS * vision.patch_size**2, hidden)
    yield _table(patches, hidden), 1
    for tensor, _ in (*_norm(2 * hidden), *_linear(hidden, 3 * hidden), *_linear(hidden, hidden)):
        yield tensor, vision.num_layers
    for tensor, _ in _cut_mlp(hidden, vision.intermediate_size):
        yield tensor, vision.num_layers
    yield from _norm(hidden)
    yield _table(1, hidden), 1
    yield from (*_linear(hidden, hidden), *_linear(hidden, 2 * hidden), *_linear(hidden, hidden))
    yield from (*_norm(hidden), *_cut_mlp(hidden, vision.intermediate_size))


def _sam_clip(vision: VisionTower) -> Iterator[Repeated]:
    """SAM ViT-B, whose features CLIP-L reads instead of its own patches (the patch layer is stored all the same)."""
    hidden = vision.hidden_size
    head = hidden // vision.num_heads
    yield from _sam(output=hidden)
    yield _table(1, hidden), 1
    yield _table(COLOURS * vision.patch_size**2, hidden), 1
    yield _table((vision.image_size // vision.patch_size) ** 2 + 1, hidden), 1
    yield from _norm(hidden)
    layer = (
        *_norm(2 * hidden),
        *_linear(hidden, 3 * hidden, axis=Axis.ROWS, unit=head),
        *_linear(hidden, hidden, axis=Axis.COLUMNS, unit=head),
        *_cut_mlp(hidden, vision.intermediate_size),
    )
    for tensor, repeats in layer:
        yield tensor, repeats * vision.num_layers


def _sam_qwen2(vision: VisionTower) -> Iterator[Repeated]:
    """SAM ViT-B and a Qwen2-0.5B decoder without vocabulary, run as an encoder; nothing is cut."""
    hidden = vision.hidden_size
    yield from _sam(output=hidden)
    layer = (
        *_linear(hidden, hidden),
        *_linear(hidden, QWEN2_KV_WIDTH),
        *_linear(hidden, QWEN2_KV_WIDTH),
        (_table(hidden, hidden), 1),
        (_table(3 * vision.intermediate_size, hidden), 1),
        (_table(2, hidden), 1),
    )
    for tensor, repeats in layer:
        yield tensor, repeats * vision.num_layers
    yield _table(1, hidden), 1
    yield from ((_table(queries, hidden), 1) for queries in QWEN2_QUERIES)


def _sam(output: int) -> Iterator[Repeated]:
    """SAM ViT-B with decomposed relative positions, and the convolutions that shrink its grid to a sixteenth."""
    hidden, head = SAM_HIDDEN, SAM_HIDDEN // SAM_HEADS
    yield from _linear(COLOURS * SAM_PATCH**2, hidden)
    yield _table(SAM_GRID**2, hidden), 1
    layer = (
        *_norm(2 * hidden),
        *_linear(hidden, 3 * hidden),
        *_linear(hidden, hidden),
        *_linear(hidden, 4 * hidden),
        *_linear(4 * hidden, hidden),
    )
    for tensor, repeats in layer:
        yield tensor, repeats * SAM_LAYERS
    yield _table(2 * (2 * SAM_GRID - 1), head), SAM_GLOBAL_LAYERS
    yield _table(2 * (2 * SAM_WINDOW - 1), head), SAM_LAYERS - SAM_GLOBAL_LAYERS
    yield _table(SAM_NECK, hidden), 1
    for rows, columns in ((SAM_NECK, SAM_NECK), (SAM_MIDDLE, SAM_NECK), (output, SAM_MIDDLE)):
        yield _table(rows, columns * SAM_KERNEL**2), 1
    yield from _norm(2 * SAM_NECK)


def _projector(vision: VisionTower, hidden_size: int) -> Iterator[Repeated]:
    """One linear layer, or two after ``downsample_ratio`` x ``downsample_ratio`` patches are joined; and separators.

    The separators ``image_newline`` and ``view_seperator`` are vectors of the language model's width; OCR-2 has only
    the second.
    """
    if vision.downsample_ratio:
        yield from _linear(vision.projector_input * vision.downsample_ratio**2, hidden_size, Component.PROJECTOR)
        yield from _linear(hidden_size, hidden_size, Component.PROJECTOR)
    else:
        yield from _linear(vision.projector_input, hidden_size, Component.PROJECTOR)
    separators = 1 if vision.kind is VisionTowerKind.SAM_QWEN2 else 2
    yield _table(separators, hidden_size, Component.PROJECTOR), 1


def _cut_mlp(hidden: int, intermediate: int) -> Iterator[Repeated]:
    yield from _linear(hidden, intermediate, axis=Axis.ROWS)
    yield from _linear(intermediate, hidden, axis=Axis.COLUMNS)


def _linear(
    inputs: int,
    outputs: int,
    component: Component = Component.VISION,
    axis: Axis = Axis.NONE,
    unit: int = 1,
) -> Iterator[Repeated]:
    """A matrix with its bias; the bias is cut only along with the rows."""
    matrix = WeightTensor(
        component=component,
        row_parts=((outputs, unit if axis is Axis.ROWS else 1),),
        columns=inputs,
        column_unit=unit if axis is Axis.COLUMNS else 1,
        axis=axis,
        storage=Storage.MODEL,
    )
    bias = WeightTensor(
        component=component,
        row_parts=matrix.row_parts,
        axis=Axis.ROWS if axis is Axis.ROWS else Axis.NONE,
        storage=Storage.MODEL,
    )
    yield matrix, 1
    yield bias, 1


def _norm(width: int) -> Iterator[Repeated]:
    """Weight and bias of a layer normalization."""
    yield _table(2, width), 1


def _table(rows: int, columns: int, component: Component = Component.VISION) -> WeightTensor:
    """Anything that is replicated whole: positions, kernels, matrices without bias."""
    return WeightTensor(component=component, row_parts=((rows, 1),), columns=columns, storage=Storage.MODEL)


_TOWERS: Mapping[VisionTowerKind, Callable[[VisionTower], Iterator[Repeated]]] = {
    VisionTowerKind.SIGLIP: _siglip,
    VisionTowerKind.SAM_CLIP: _sam_clip,
    VisionTowerKind.SAM_QWEN2: _sam_qwen2,
}
