"""Weights of one attention block over compressed states (V4, V4.1): projections, compressor and indexer.

Source of shapes and of what tensor parallelism cuts: vLLM 0.32.0 ``models/deepseek_v4/attention.py`` and
``compressor.py``, ``models/deepseek_v41/attention.py`` and ``compressor.py``. The counts equal the published
checkpoints' tensor listings (``tests/accuracy``).
"""

from __future__ import annotations

from deepseek_operator.catalog.shapes import CompressedAttention
from deepseek_operator.memory.stages import INDEXED_RATIO, LayerKind
from deepseek_operator.memory.tensors import Axis, Component, Storage, WeightTensor


def compressed_attention_tensors(
    attention: CompressedAttention, hidden_size: int, kind: LayerKind
) -> tuple[WeightTensor, ...]:
    """Return the tensors of one attention block, its own norms included.

    Args:
        attention: its dimensions.
        hidden_size: width of the residual stream.
        kind: which compressor and indexer the layer has.
    """
    tensors = _projections(attention, hidden_size)
    shares_caches = bool(attention.kv_source_layers)
    if kind.owns_cache:
        compressor = _shared_compressor if shares_caches else _compressor
        tensors += compressor(attention.head_dim, hidden_size, kind.compress_ratio, Component.COMPRESSOR)
    if kind.owns_indexer:
        tensors += _index_queries(attention, hidden_size)
        if not shares_caches:
            tensors += _compressor(attention.index_head_dim, hidden_size, kind.compress_ratio, Component.INDEXER)
        elif kind.owns_cache:
            tensors += _shared_index_keys(attention)
    return tensors


def _projections(attention: CompressedAttention, hidden_size: int) -> tuple[WeightTensor, ...]:
    """Down projections are replicated; queries are cut by heads, both output projections by output groups."""
    queries = attention.num_heads * attention.head_dim
    grouped = attention.o_groups * attention.o_lora_rank

    def linear(rows: tuple[tuple[int, int], ...], columns: int, axis: Axis, column_unit: int = 1) -> WeightTensor:
        return WeightTensor(
            component=Component.ATTENTION, row_parts=rows, columns=columns, column_unit=column_unit, axis=axis
        )

    sink = WeightTensor(
        component=Component.ATTENTION,
        row_parts=((attention.num_heads, 1),),
        axis=Axis.ROWS,
        storage=Storage.FLOAT32,
    )
    norms = WeightTensor(
        component=Component.NORMS,
        row_parts=((attention.q_lora_rank + attention.head_dim, 1),),
        storage=Storage.MODEL,
    )
    return (
        linear(((attention.q_lora_rank, 1), (attention.head_dim, 1)), hidden_size, Axis.NONE),
        linear(((queries, attention.head_dim),), attention.q_lora_rank, Axis.ROWS),
        linear(((grouped, attention.o_lora_rank),), queries // attention.o_groups, Axis.ROWS),
        linear(((hidden_size, 1),), grouped, Axis.COLUMNS, attention.o_lora_rank),
        sink,
        norms,
    )


def _compressor(width: int, hidden_size: int, ratio: int, component: Component) -> tuple[WeightTensor, ...]:
    """V4: values and gates, twice as wide where windows overlap (ratio 4), a position table and a norm; replicated."""
    wide = 2 * width if ratio == INDEXED_RATIO else width
    return (
        _replicated(component, 2 * wide, hidden_size),
        _replicated(component, ratio, wide, Storage.FLOAT32),
        _replicated(component, width, 1),
    )


def _shared_compressor(width: int, hidden_size: int, ratio: int, component: Component) -> tuple[WeightTensor, ...]:
    """V4.1: values and, where more than one token is pooled, gates; and a norm; replicated."""
    pooled = 2 * width if ratio > 1 else width
    return (_replicated(component, pooled, hidden_size), _replicated(component, width, 1))


def _index_queries(attention: CompressedAttention, hidden_size: int) -> tuple[WeightTensor, ...]:
    queries = attention.index_num_heads * attention.index_head_dim
    return (
        _replicated(Component.INDEXER, queries, attention.q_lora_rank, Storage.LINEAR),
        _replicated(Component.INDEXER, attention.index_num_heads, hidden_size),
    )


def _shared_index_keys(attention: CompressedAttention) -> tuple[WeightTensor, ...]:
    """V4.1: index keys are projected from the compressed state by the layers that own it."""
    return (
        _replicated(Component.INDEXER, attention.index_head_dim, attention.head_dim),
        _replicated(Component.INDEXER, attention.index_head_dim, 1),
    )


def _replicated(component: Component, rows: int, columns: int, storage: Storage = Storage.MODEL) -> WeightTensor:
    return WeightTensor(component=component, row_parts=((rows, 1),), columns=columns, storage=storage)
