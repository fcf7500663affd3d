"""Weights of what a checkpoint adds for speculative decoding: multi-token prediction (V3, V4) and DSpark (V4, V4.1)."""

from __future__ import annotations

from dataclasses import replace

from deepseek_operator.catalog.shapes import BlockDraft, CompressedAttention, ModelShape
from deepseek_operator.memory.attention_tensors import norm
from deepseek_operator.memory.layer_tensors import hyper_connection_head, layer_tensors, vocabulary_table
from deepseek_operator.memory.stages import LayerKind
from deepseek_operator.memory.tensors import Component, Storage, WeightTensor

_VOCABULARY = frozenset({Component.EMBEDDINGS, Component.LM_HEAD})


def draft_tensors(shape: ModelShape) -> tuple[tuple[WeightTensor, int], ...]:
    """Return the draft's tensors with how often each is repeated; empty for a model without.

    They are those that the checkpoint stores, with V3's copies of both vocabulary tables.
    """
    if shape.block_draft is not None:
        return _block_draft(shape, shape.block_draft)
    if not shape.num_draft_layers:
        return ()
    compressed = isinstance(shape.attention, CompressedAttention)
    layer = _compressed_prediction(shape) if compressed else _latent_prediction(shape)
    return tuple((tensor, shape.num_draft_layers) for tensor in layer)


def loaded_draft_tensors(shape: ModelShape) -> tuple[tuple[WeightTensor, int], ...]:
    """Return the draft's tensors that a rank holds beside the model, whose vocabulary tables it shares."""
    return tuple((tensor, repeats) for tensor, repeats in draft_tensors(shape) if tensor.component not in _VOCABULARY)


def _latent_prediction(shape: ModelShape) -> tuple[WeightTensor, ...]:
    """A full layer, three more norms, the projection ``eh_proj``, and copies of embedding and output head.

    Source: DeepSeek-V3 ``README_WEIGHTS``.
    """
    hidden = shape.hidden_size
    layer = layer_tensors(shape, LayerKind(is_moe=shape.experts is not None))
    tables = (vocabulary_table(shape, Component.EMBEDDINGS), vocabulary_table(shape, Component.LM_HEAD))
    return (*layer, *(norm(hidden),) * 3, _projection(hidden, 2 * hidden, Storage.MODEL), *tables)


def _compressed_prediction(shape: ModelShape) -> tuple[WeightTensor, ...]:
    """A layer with the sliding window alone, three more norms, a projection each for token and state, merged streams.

    Source: vLLM 0.32.0 ``models/deepseek_v4/nvidia/mtp.py``; both projections are replicated.
    """
    hidden = shape.hidden_size
    projections = (_projection(hidden, hidden, Storage.LINEAR),) * 2
    layer = layer_tensors(shape, LayerKind(is_moe=True))
    return (*layer, *(norm(hidden),) * 3, *projections, *hyper_connection_head(shape))


def _block_draft(shape: ModelShape, draft: BlockDraft) -> tuple[tuple[WeightTensor, int], ...]:
    """Layers with the sliding window alone, the projection of the target's states, and the heads; all replicated.

    The engine stores every layer's key-value projection a second time, side by side (``context_wkv_proj``).

    Source: vLLM 0.32.0 ``models/deepseek_v4/nvidia/dspark.py`` and ``models/qwen3_dspark.py``.
    """
    hidden = shape.hidden_size
    layer = layer_tensors(_with_draft_experts(shape, draft), LayerKind(is_moe=True))
    once = (
        _projection(hidden, len(draft.target_layers) * hidden, Storage.LINEAR),
        norm(hidden),
        norm(hidden),
        *hyper_connection_head(shape),
        *(_head(shape.vocab_size, draft.markov_rank) for _ in range(2)),
        _head(1, hidden + draft.markov_rank),
        *_context_projection(shape, draft),
    )
    return (*((tensor, draft.num_layers) for tensor in layer), *((tensor, 1) for tensor in once))


def _with_draft_experts(shape: ModelShape, draft: BlockDraft) -> ModelShape:
    if shape.experts is None:
        return shape
    experts = replace(shape.experts, num_experts=draft.num_experts, num_experts_per_token=draft.num_experts_per_token)
    return replace(shape, experts=experts)


def _context_projection(shape: ModelShape, draft: BlockDraft) -> tuple[WeightTensor, ...]:
    if not isinstance(shape.attention, CompressedAttention):
        return ()
    rows = draft.num_layers * shape.attention.head_dim
    return (replace(_projection(rows, shape.hidden_size, Storage.LINEAR), derived=True),)


def _projection(rows: int, columns: int, storage: Storage) -> WeightTensor:
    return WeightTensor(component=Component.DRAFT_PROJECTION, row_parts=((rows, 1),), columns=columns, storage=storage)


def _head(rows: int, columns: int) -> WeightTensor:
    return WeightTensor(component=Component.DRAFT_HEADS, row_parts=((rows, 1),), columns=columns, storage=Storage.MODEL)
