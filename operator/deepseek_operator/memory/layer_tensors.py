"""Weights of one decoder layer of any kind, and of what stands before and after the layers."""

from __future__ import annotations

from functools import lru_cache

from deepseek_operator.catalog.shapes import CompressedAttention, ModelShape
from deepseek_operator.memory.attention_tensors import attention_tensors, norm
from deepseek_operator.memory.compressed_attention_tensors import compressed_attention_tensors
from deepseek_operator.memory.feed_forward_tensors import dense_mlp_tensors, mixture_tensors
from deepseek_operator.memory.stages import LayerKind
from deepseek_operator.memory.tensors import Axis, Component, LinearFormat, Storage, WeightTensor

VOCABULARY_PADDING = 64
"""Rows to which vLLM pads embedding and output head before it cuts them.

Source: vLLM 0.32 ``model_executor/layers/vocab_parallel_embedding.py``, ``DEFAULT_VOCAB_PADDING_SIZE``.
"""

ENGRAM_ROWS = LinearFormat(weight_bits=8, group_rows=1, group_columns=32, scale_bits=8)
"""FP8 with one ue8m0 scale per 32 elements of a row (vLLM 0.32.0 ``models/deepseek_v41/common/engram.py``)."""


@lru_cache(maxsize=1024)
def layer_tensors(shape: ModelShape, kind: LayerKind) -> tuple[WeightTensor, ...]:
    """Return the tensors of one decoder layer.

    Args:
        shape: the model.
        kind: the layer's kind.
    """
    hidden = shape.hidden_size
    if kind.is_moe and shape.experts is not None:
        feed_forward = mixture_tensors(
            shape.experts,
            hidden,
            table_rows=shape.vocab_size if kind.routes_by_table else 0,
            scale_bits=shape.quantization_scale_bits,
            shared_unit=shared_expert_unit(shape),
        )
    else:
        feed_forward = dense_mlp_tensors(hidden, shape.intermediate_size, shape.mlp_bias)
    if isinstance(shape.attention, CompressedAttention):
        attention = compressed_attention_tensors(shape.attention, hidden, kind)
    else:
        attention = attention_tensors(shape.attention, hidden)
    engram = _engram_projection(shape) if kind.reads_engram else ()
    return (norm(hidden), *attention, norm(hidden), *feed_forward, *_hyper_connections(shape), *engram)


def shared_expert_unit(shape: ModelShape) -> int:
    """Return the rows of shared experts that stay together: V4 deals out whole scale blocks and pads the last rank.

    Source: vLLM 0.32.0 ``models/deepseek_v4/nvidia/model.py`` ``DeepseekV4MLP``.
    """
    if isinstance(shape.attention, CompressedAttention) and shape.quantization_block:
        return shape.quantization_block[0]
    return 1


def vocabulary_table(shape: ModelShape, component: Component) -> WeightTensor:
    """Return the embedding or the output head: one row per vocabulary entry, cut by tensor parallelism."""
    return WeightTensor(
        component=component,
        row_parts=((shape.vocab_size, 1),),
        columns=shape.hidden_size,
        axis=Axis.ROWS,
        storage=Storage.MODEL,
        row_padding=VOCABULARY_PADDING,
    )


def hyper_connection_head(shape: ModelShape) -> tuple[WeightTensor, ...]:
    """Return the weights that merge the residual streams before the last norm; empty for a model without.

    The engine holds them on every pipeline stage; they are counted where they are used, on the last: 0.3 MB.

    Source: ``hc_head_*`` of vLLM 0.32.0 ``models/deepseek_v4/nvidia/model.py``.
    """
    if not shape.hyper_connection_head:
        return ()
    streams = shape.hyper_connection_streams
    return _float32_map(streams, streams * shape.hidden_size, vector=streams + 1)


def engram_tables(shape: ModelShape) -> tuple[WeightTensor, ...]:
    """Return the look-up tables of n-grams, which the engine keeps in host memory; empty for a model without."""
    if shape.engram is None:
        return ()
    return tuple(
        WeightTensor(
            component=Component.ENGRAM_TABLES,
            row_parts=((rows, 1),),
            columns=shape.engram.head_dim,
            stored=ENGRAM_ROWS,
        )
        for rows in shape.engram.num_embeddings
    )


def _hyper_connections(shape: ModelShape) -> tuple[WeightTensor, ...]:
    """Two maps of the residual streams, before attention and before the experts; replicated, float32.

    Source: ``hc_attn_*`` and ``hc_ffn_*`` of vLLM 0.32.0 ``models/deepseek_v4/nvidia/model.py``.
    """
    streams = shape.hyper_connection_streams
    if not streams:
        return ()
    mixed = streams * (2 + streams)
    return 2 * _float32_map(mixed, streams * shape.hidden_size, vector=mixed + 3)


def _float32_map(rows: int, columns: int, vector: int) -> tuple[WeightTensor, ...]:
    """Return a matrix with its base and scales."""
    return tuple(
        WeightTensor(
            component=Component.HYPER_CONNECTIONS, row_parts=((length, 1),), columns=width, storage=Storage.FLOAT32
        )
        for length, width in ((rows, columns), (vector, 1))
    )


def _engram_projection(shape: ModelShape) -> tuple[WeightTensor, ...]:
    """Return the projection of looked-up rows to one key per stream and a value (cut by rows), and the gate's weights.

    Source: vLLM 0.32.0 ``models/deepseek_v41/common/engram.py`` ``Engram``: n-grams of 2 up to ``max_ngram_size``.
    """
    engram, hidden, streams = shape.engram, shape.hidden_size, shape.hyper_connection_streams
    if engram is None:
        return ()
    looked_up = (engram.max_ngram_size - 1) * engram.num_heads * engram.head_dim
    projection = WeightTensor(
        component=Component.ENGRAM_PROJ,
        row_parts=((hidden * (streams + 1), 1),),
        columns=looked_up,
        axis=Axis.ROWS,
    )
    gate = WeightTensor(
        component=Component.ENGRAM_PROJ, row_parts=((2 * streams, 1),), columns=hidden, storage=Storage.MODEL
    )
    return (projection, gate)
