"""Weights: exact parameter counts per component, and the bytes that each pipeline stage's ranks hold.

Families: Llama, Qwen2 and Qwen3 (dense), deepseek-moe-16b, DeepSeek V2, V3, V3.2, V4 and V4.1, VL2 and OCR.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from deepseek_operator.catalog.linear_formats import SIXTEEN_BIT
from deepseek_operator.catalog.shapes import (
    CompressedAttention,
    GroupedQueryAttention,
    ModelShape,
    StoredPrecision,
)
from deepseek_operator.memory.attention_tensors import norm
from deepseek_operator.memory.draft_tensors import draft_tensors, loaded_draft_tensors
from deepseek_operator.memory.layer_tensors import (
    ENGRAM_ROWS,
    engram_tables,
    hyper_connection_head,
    layer_tensors,
    vocabulary_table,
)
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.stages import Stage, kinds_of_stage, layer_kinds, stages
from deepseek_operator.memory.stated_weights import stated_bytes, stated_share
from deepseek_operator.memory.stored_formats import differences
from deepseek_operator.memory.tensors import (
    Component,
    LinearFormat,
    WeightTensor,
    allocated_bytes,
    covered,
)
from deepseek_operator.memory.vision_tensors import vision_tensors
from deepseek_operator.memory.weight_offload import Parameters, offloadable_parameters

WEIGHTS_ERROR_PERCENT = 1
"""Half width of the 90 % band of a rank's weights, measured on the recorded NVIDIA start-ups since vLLM 0.9."""


@dataclass(frozen=True, kw_only=True)
class StageWeights:
    """Bytes of one rank of a stage; components sorted by name.

    ``offloadable`` are the parameters that ``--cpu-offload-gb`` may move to the host; none for a stand-in of which
    only the number of parameters is known.
    """

    stage: Stage
    by_component: tuple[tuple[Component, int], ...]
    offloadable: Parameters = ()

    @property
    def total_bytes(self) -> int:
        """Bytes of all components together."""
        return sum(size for _, size in self.by_component)


def stored_format(shape: ModelShape) -> LinearFormat:
    """Return how the checkpoint stores its linear layers; a float32 checkpoint runs in 16 bits.

    Routed experts may be stored otherwise (``WeightTensor.stored``).

    Source: block scales are fp32, one per block (DeepSeek-V3 ``README_WEIGHTS``), or ue8m0 where the config says so
    (V4); ``--dtype auto`` of vLLM turns float32 checkpoints into a 16-bit type.
    """
    if shape.stored_linear is not None:
        return shape.stored_linear
    if shape.stored_precision is not StoredPrecision.FP8_BLOCK:
        return SIXTEEN_BIT
    rows, columns = shape.quantization_block or (128, 128)
    return LinearFormat(weight_bits=8, group_rows=rows, group_columns=columns, scale_bits=shape.quantization_scale_bits)


def parameter_counts(shape: ModelShape) -> dict[Component, int]:
    """Return the parameters of each component of the model, draft layers excluded, to the last parameter.

    Look-up tables in host memory are among them; the table of hash layers is listed with 0, as it holds no parameters.
    """
    if shape.stated_parameters:
        return {Component.STATED_PARAMETERS: shape.stated_parameters}
    return _counts(_model_tensors(shape))


def draft_parameter_counts(shape: ModelShape) -> dict[Component, int]:
    """Return the parameters of the multi-token-prediction layers or of the DSpark draft, by the model's components.

    V3's copies of both vocabulary tables are among them. A draft is loaded only for speculative decoding; the engine
    then shares the tables with the model.
    """
    return _counts(draft_tensors(shape))


def checkpoint_bytes(shape: ModelShape) -> int:
    """Return the bytes of all tensors that the checkpoint stores, draft layers included.

    Norms count as 16 bits; V3.2 stores them as float32, which adds 2 MB to its 642 GiB.
    """
    native = stored_format(shape)
    if shape.stated_parameters:
        return stated_bytes(shape.stated_parameters, native)
    main, draft = _model_tensors(shape), draft_tensors(shape)

    def size(tensor: WeightTensor, linear: LinearFormat) -> int:
        tensor, linear = covered(tensor, _own_format(tensor, linear, native))
        return 0 if tensor.derived else sum(tensor.whole().allocations(linear, in_checkpoint=True))

    exceptions = shape.format_exceptions
    main_layers = range(shape.num_layers)
    draft_layers = range(shape.num_layers, shape.num_layers + shape.num_draft_layers)
    return (
        sum(repeats * size(tensor, native) for tensor, repeats in (*main, *draft))
        + sum(differences(main, main_layers, native, exceptions, size).values())
        + sum(differences(draft, draft_layers, native, exceptions, size).values())
    )


def engram_table_bytes(shape: ModelShape) -> int:
    """Return the bytes of the look-up tables, scales included, that one engine keeps in pinned host memory.

    0 for a model without. They are no part of ``stage_weights``.

    Source: vLLM 0.32.0 ``config/engram.py``, ``EngramConfig.cpu_offload`` is true by default; ranks of tensor
    parallelism share the tables' heads between them, and data-parallel replicas on one node share one copy.
    """
    return sum(sum(tensor.whole().allocations(ENGRAM_ROWS)) for tensor in engram_tables(shape))


@lru_cache(maxsize=8192)
def stage_weights(
    shape: ModelShape, parallelism: Parallelism, quantized: LinearFormat | None = None, *, with_draft: bool = False
) -> tuple[StageWeights, ...]:
    """Return the weights of one rank of every pipeline stage, first stage first.

    Args:
        shape: the model.
        parallelism: how one replica is split.
        quantized: format of the linear layers; None runs the checkpoint as stored. Embedding, output head,
            norms and router keep 16 bits in either case.
        with_draft: whether the checkpoint's draft is loaded for speculative decoding. It lies on the last stage and
            shares both vocabulary tables with the model; behind a pipeline the last stage holds its own embedding.

    Look-up tables in host memory are left out. Measured error: 0.5 % or less on recorded NVIDIA start-ups of vLLM 0.9
    and later (``tests/accuracy``).
    """
    native = stored_format(shape)
    general = quantized or native

    def requested(tensor: WeightTensor, linear: LinearFormat) -> tuple[int, ...]:
        tensor, linear = covered(tensor, _own_format(tensor, linear, native))
        return tuple(tensor.rank_slice(parallelism).allocations(linear))

    def size(tensor: WeightTensor, linear: LinearFormat) -> int:
        return sum(map(allocated_bytes, requested(tensor, linear)))

    exceptions = () if quantized else shape.format_exceptions
    result = []
    for stage in stages(shape, parallelism.pipeline):
        drafting = with_draft and stage.is_last
        tensors = stage_tensors(shape, stage)
        sizes = {Component.ROTARY_TABLE: _rotary_table_bytes(shape, with_draft=drafting)}
        # By identity: hashing a tensor costs as much as cutting it, and ``tensors`` keeps them all alive.
        parts = {id(tensor): requested(tensor, general) for tensor, _ in tensors}
        for tensor, repeats in tensors:
            held = repeats * sum(map(allocated_bytes, parts[id(tensor)]))
            sizes[tensor.component] = sizes.get(tensor.component, 0) + held
        for tensor, repeats in _draft_on_last_stage(shape, stage) if drafting else ():
            sizes[tensor.component] = sizes.get(tensor.component, 0) + repeats * size(tensor, general)
        for component, difference in differences(tensors, stage.layers, general, exceptions, size).items():
            sizes[component] += difference
        if shape.stated_parameters:
            stated = stated_bytes(shape.stated_parameters, general)
            share = stated_share(stated, stage.num_layers, shape.num_layers, parallelism.tensor)
            sizes = {Component.STATED_PARAMETERS: share}
        result.append(
            StageWeights(
                stage=stage,
                by_component=tuple(sorted(sizes.items())),
                offloadable=()
                if shape.stated_parameters
                else offloadable_parameters(tensors, partial(_known_parts, parts)),
            )
        )
    return tuple(result)


def _known_parts(parts: Mapping[int, tuple[int, ...]], tensor: WeightTensor) -> tuple[int, ...]:
    return parts[id(tensor)]


def _own_format(tensor: WeightTensor, linear: LinearFormat, native: LinearFormat) -> LinearFormat:
    """Return the format of a tensor: its own in the checkpoint, unless another than the checkpoint's is asked for."""
    return tensor.stored or native if linear is native else linear


def _counts(tensors: Iterable[tuple[WeightTensor, int]]) -> dict[Component, int]:
    counts: dict[Component, int] = {}
    for tensor, repeats in tensors:
        counts[tensor.component] = counts.get(tensor.component, 0) + repeats * tensor.parameters
    return dict(sorted(counts.items()))


def _model_tensors(shape: ModelShape) -> list[tuple[WeightTensor, int]]:
    """Return all tensors of the model without its draft, with how often each is repeated."""
    (whole,) = stages(shape, 1)
    return [*stage_tensors(shape, whole), *((table, 1) for table in engram_tables(shape))]


def stage_tensors(shape: ModelShape, stage: Stage) -> list[tuple[WeightTensor, int]]:
    """Return the tensors of a stage with how often each is repeated."""
    tensors = [(tensor, count) for kind, count in kinds_of_stage(shape, stage) for tensor in layer_tensors(shape, kind)]
    if stage.is_first or (stage.is_last and shape.tie_word_embeddings):
        tensors.append((vocabulary_table(shape, Component.EMBEDDINGS), 1))
    if stage.is_last:
        tensors.append((norm(shape.hidden_size), 1))
        tensors += ((tensor, 1) for tensor in hyper_connection_head(shape))
        if not shape.tie_word_embeddings:
            tensors.append((vocabulary_table(shape, Component.LM_HEAD), 1))
    if shape.vision is not None:
        tensors += vision_tensors(shape.vision, shape.hidden_size)
    return tensors


def _draft_on_last_stage(shape: ModelShape, stage: Stage) -> list[tuple[WeightTensor, int]]:
    """Return what the draft adds to the last stage, which computes its input itself when the first stage is another.

    Source: vLLM 0.32.0 ``spec_decode_needs_target_embed`` in ``models/deepseek_v4/nvidia/model.py``.
    """
    drafted = list(loaded_draft_tensors(shape))
    if drafted and not stage.is_first and not shape.tie_word_embeddings:
        drafted.append((vocabulary_table(shape, Component.EMBEDDINGS), 1))
    return drafted


def _rotary_table_bytes(shape: ModelShape, *, with_draft: bool) -> int:
    """Return the engine's tables of rotary angles on one rank.

    16 bits each; attention over compressed states keeps float32, and one table for layers that compress beside one
    for layers (and drafts) with the window alone.

    Source: vLLM 0.32.0 ``rotary_embedding/deepseek_scaling_rope.py`` ``DeepseekV4ScalingRotaryEmbedding`` and
    ``models/deepseek_v4/common/rope.py``.
    """
    attention = shape.attention
    if isinstance(attention, CompressedAttention):
        compresses = {kind.compress_ratio > 0 for kind in layer_kinds(shape)}
        tables = len(compresses | {False}) if with_draft else len(compresses)
        return tables * allocated_bytes(4 * shape.max_position_embeddings * attention.qk_rope_head_dim)
    width = attention.head_dim if isinstance(attention, GroupedQueryAttention) else attention.qk_rope_head_dim
    return allocated_bytes(2 * shape.max_position_embeddings * width)
