"""Which layers a pipeline stage holds, and what kinds of layers a model has."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from deepseek_operator.catalog.shapes import CompressedAttention, ModelShape

INDEXED_RATIO = 4
"""The ratio whose V4 layers have an indexer (vLLM 0.32.0 ``models/deepseek_v4/attention.py``)."""


@dataclass(frozen=True, kw_only=True)
class LayerKind:
    """What decides which tensors a decoder layer has; layers of one kind are alike.

    Args:
        is_moe: routed experts instead of a dense MLP.
        routes_by_table: experts are chosen by a table over the vocabulary.
        compress_ratio: tokens per compressed state that the layer attends to; 0 for the sliding window alone and for
            attention without compression.
        owns_cache: it has a compressor and writes compressed states.
        owns_indexer: it has an indexer.
        reads_engram: it reads a look-up table of n-grams.
    """

    is_moe: bool
    routes_by_table: bool = False
    compress_ratio: int = 0
    owns_cache: bool = False
    owns_indexer: bool = False
    reads_engram: bool = False


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Consecutive layers of one pipeline stage; the first also embeds, the last also computes logits.

    ``first_layer`` is the index of its first decoder layer, from 0.
    """

    index: int
    num_dense_layers: int
    num_moe_layers: int
    is_first: bool
    is_last: bool
    first_layer: int

    @property
    def num_layers(self) -> int:
        """All layers of the stage."""
        return self.num_dense_layers + self.num_moe_layers

    @property
    def layers(self) -> range:
        """Indices of the stage's layers."""
        return range(self.first_layer, self.first_layer + self.num_layers)


def layers_per_stage(num_layers: int, pipeline: int) -> tuple[int, ...]:
    """Return the number of layers of each stage, first stage first, as vLLM cuts them.

    Layers that remain after an even cut go one each to the stages before the last, last of those first.

    Source: vLLM ``vllm/distributed/utils.py`` ``get_pp_indices`` (0.8 and later).

    >>> layers_per_stage(61, 2), layers_per_stage(61, 4), layers_per_stage(60, 2)
    ((31, 30), (15, 15, 16, 15), (30, 30))
    """
    layers = [num_layers // pipeline] * pipeline
    for position in range(num_layers % pipeline):
        layers[-2 - position] += 1
    return tuple(layers)


def stages(shape: ModelShape, pipeline: int) -> tuple[Stage, ...]:
    """Return the stages of a model, first stage first."""
    num_dense = shape.num_layers if shape.experts is None else shape.experts.num_dense_layers
    result = []
    start = 0
    for index, count in enumerate(layers_per_stage(shape.num_layers, pipeline)):
        dense = max(0, min(num_dense - start, count))
        result.append(
            Stage(
                index=index,
                num_dense_layers=dense,
                num_moe_layers=count - dense,
                is_first=index == 0,
                is_last=index == pipeline - 1,
                first_layer=start,
            )
        )
        start += count
    return tuple(result)


@lru_cache(maxsize=1024)
def layer_kinds(shape: ModelShape) -> tuple[LayerKind, ...]:
    """Return the kind of every decoder layer, first layer first; draft layers are not among them."""
    num_dense = shape.num_layers if shape.experts is None else shape.experts.num_dense_layers
    num_hash_layers = shape.experts.num_hash_layers if shape.experts else 0
    engram_layers = shape.engram.layers if shape.engram else ()
    kinds = []
    for layer in range(shape.num_layers):
        ratio, owns_cache, owns_indexer = _compression(shape, layer)
        kinds.append(
            LayerKind(
                is_moe=layer >= num_dense,
                routes_by_table=layer < num_hash_layers,
                compress_ratio=ratio,
                owns_cache=owns_cache,
                owns_indexer=owns_indexer,
                reads_engram=layer in engram_layers,
            )
        )
    return tuple(kinds)


def kinds_of_stage(shape: ModelShape, stage: Stage) -> tuple[tuple[LayerKind, int], ...]:
    """Return the kinds of a stage's layers with how many layers are of each, in order of first appearance."""
    kinds = layer_kinds(shape)
    return tuple(Counter(kinds[layer] for layer in stage.layers).items())


def _compression(shape: ModelShape, layer: int) -> tuple[int, bool, bool]:
    """Return a layer's ratio, whether it owns a compressed cache and whether it owns an indexer.

    Source: vLLM 0.32.0: every compressed V4 layer owns both a compressor and, at ratio 4, an indexer
    (``models/deepseek_v4/attention.py``); in V4.1 only the layers that the config lists
    (``models/deepseek_v41/attention.py``).
    """
    attention = shape.attention
    if not isinstance(attention, CompressedAttention):
        return 0, False, False
    ratio = attention.compress_ratios[layer]
    if attention.kv_source_layers:
        return ratio, layer in attention.kv_source_layers, layer in attention.index_source_layers
    return ratio, ratio > 0, ratio == INDEXED_RATIO
