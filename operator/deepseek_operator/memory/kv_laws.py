"""Memory laws of caches that grow with the context alone: grouped-query, windowed, latent, and latent with indexer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from deepseek_operator.catalog.gpus import architecture_name
from deepseek_operator.catalog.kv_cache_formats import (
    AttentionKind,
    CacheFormat,
    KvCacheFormat,
    kv_cache_dtypes,
    kv_cache_format,
)
from deepseek_operator.errors import UnsupportedKvCacheError
from deepseek_operator.memory.kv_groups import LayerCache, Retention
from deepseek_operator.memory.settings import IndexerKvDtype, KvCacheDtype
from deepseek_operator.units import ceil_div

SCALE_ELEMENTS = 128
"""Elements that share one float32 scale in ``fp8_ds_mla`` and in the indexer's keys (vLLM ``flashmla_sparse.py``)."""

SCALE_BYTES = 4

NVFP4_ELEMENTS = 16
"""Elements that share one 8-bit scale in ``nvfp4_ds_mla`` (352 B for 512 + 64 elements, vLLM ``mla_attention.py``)."""

MXFP4_ELEMENTS = 32
"""Elements that share one 8-bit scale in an MXFP4 indexer key (vLLM ``deepseek_v4/attention.py``)."""

_KIND_NAMES = {
    AttentionKind.GROUPED_QUERY: "grouped-query attention",
    AttentionKind.LATENT: "latent attention (MLA)",
    AttentionKind.INDEXED_LATENT: "sparse latent attention",
    AttentionKind.COMPRESSED: "the compressed attention of V4",
    AttentionKind.SHARED_COMPRESSED: "the compressed attention of V4.1",
}


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """What decides the bytes of a cache beside the model.

    Args:
        tensor: tensor-parallel ranks, 1 or more.
        num_speculative_tokens: tokens that draft layers propose per step; 0 for no drafting.
    """

    tensor: int = 1
    dtype: KvCacheDtype = KvCacheDtype.AUTO
    indexer_dtype: IndexerKvDtype = IndexerKvDtype.AUTO
    num_speculative_tokens: int = 0


class KvCacheLaw(Protocol):
    """What a kind of attention caches."""

    @property
    def kind(self) -> AttentionKind:
        """Kind of attention, as the table of formats names it."""
        ...

    def stored(self, options: CacheOptions) -> KvCacheFormat:
        """Return the format on this GPU; raises UnsupportedKvCacheError when there is none."""
        ...

    def caches(self, options: CacheOptions) -> tuple[LayerCache, ...]:
        """Return every cache of every layer on one rank; raises UnsupportedKvCacheError as ``stored`` does."""
        ...

    def formula(self, options: CacheOptions) -> str:
        """Return the bytes of a token in one layer as arithmetic with the numbers put in, for people."""
        ...


def stored_format(
    kind: AttentionKind, options: CacheOptions, compute_capability: tuple[int, int] | None
) -> KvCacheFormat:
    """Return in which format the engine stores a cache.

    Args:
        kind: kind of attention.
        options: the asked data types.
        compute_capability: of the GPU; None stands for Hopper.

    Raises:
        UnsupportedKvCacheError: the GPU or the attention cannot store the data type; the text names those that can.
    """
    major = architecture_name(compute_capability)
    keys_in_fp4 = options.indexer_dtype is IndexerKvDtype.MXFP4
    if keys_in_fp4 and kind not in (AttentionKind.COMPRESSED, AttentionKind.SHARED_COMPRESSED):
        raise UnsupportedKvCacheError(f"indexer keys of {_KIND_NAMES[kind]} cannot be mxfp4; use auto")
    if keys_in_fp4 and (compute_capability is None or compute_capability[0] != 10):
        raise UnsupportedKvCacheError(f"indexer keys in mxfp4 need compute capability 10.x, not {major}; use auto")
    found = kv_cache_format(kind, options.dtype.value, compute_capability)
    if found is None:
        known = kv_cache_dtypes(kind, compute_capability)
        remedy = f"use {' or '.join(known)}" if known else "use another GPU"
        raise UnsupportedKvCacheError(
            f"{_KIND_NAMES[kind]} cannot store a KV cache of {options.dtype.value} on {major}; {remedy}"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class GroupedQueryCache:
    """Keys and values per head: cut by TP until every rank has one key-value head, then repeated.

    Source: vLLM 0.32 ``config/model.py`` ``get_num_kv_heads``; 13 recorded start-ups agree within 0.1 %.
    """

    num_layers: int
    num_kv_heads: int
    head_dim: int
    compute_capability: tuple[int, int] | None = None
    kind: AttentionKind = AttentionKind.GROUPED_QUERY

    def stored(self, options: CacheOptions) -> KvCacheFormat:
        """Return the format on this GPU."""
        return stored_format(self.kind, options, self.compute_capability)

    def bytes_per_token_per_layer(self, tensor: int, dtype: KvCacheDtype) -> int:
        """Return 2 x heads of the rank x head_dim x bytes per element.

        >>> law = GroupedQueryCache(num_layers=80, num_kv_heads=8, head_dim=128)
        >>> law.bytes_per_token_per_layer(4, KvCacheDtype.AUTO)
        1024
        """
        return 2 * self._heads(tensor) * self.head_dim * self._element(CacheOptions(tensor=tensor, dtype=dtype))

    def caches(self, options: CacheOptions) -> tuple[LayerCache, ...]:
        """Return one cache per layer."""
        page = self.bytes_per_token_per_layer(options.tensor, options.dtype)
        return _one_per_layer(self.num_layers, page, self.stored(options).block_tokens)

    def formula(self, options: CacheOptions) -> str:
        """Return the arithmetic in words."""
        return f"2 x {self._heads(options.tensor)} KV heads x {self.head_dim} x {self._element(options)} B"

    def _heads(self, tensor: int) -> int:
        return ceil_div(self.num_kv_heads, tensor)

    def _element(self, options: CacheOptions) -> int:
        return 2 if self.stored(options).format is CacheFormat.SIXTEEN_BIT else 1


@dataclass(frozen=True, kw_only=True)
class WindowedCache:
    """A law of which some layers keep the newest tokens only.

    Args:
        law: what every layer stores per token.
        sliding_window: tokens that the windowed layers keep, 1 or more.
        window_layers: the layers that keep no more.

    Source: vLLM 0.32 ``SlidingWindowSpec``: a request never takes more blocks of such a layer than its window and
    the tokens in flight need.
    """

    law: GroupedQueryCache
    sliding_window: int
    window_layers: tuple[int, ...]

    @property
    def kind(self) -> AttentionKind:
        """Kind of attention."""
        return self.law.kind

    def stored(self, options: CacheOptions) -> KvCacheFormat:
        """Return the format on this GPU."""
        return self.law.stored(options)

    def caches(self, options: CacheOptions) -> tuple[LayerCache, ...]:
        """Return one cache per layer.

        >>> law = GroupedQueryCache(num_layers=2, num_kv_heads=8, head_dim=128)
        >>> caches = WindowedCache(law=law, sliding_window=128, window_layers=(1,)).caches(CacheOptions())
        >>> [(cache.retention.value, cache.window) for cache in caches]
        [('context', 0), ('window', 128)]
        """
        return tuple(
            replace(cache, retention=Retention.WINDOW, window=self.sliding_window)
            if cache.layer in self.window_layers
            else cache
            for cache in self.law.caches(options)
        )

    def formula(self, options: CacheOptions) -> str:
        """Return the arithmetic in words."""
        return self.law.formula(options)


@dataclass(frozen=True, kw_only=True)
class LatentCache:
    """One compressed vector and one rotary key per token; every TP rank holds a full copy.

    Args:
        num_draft_layers: multi-token-prediction layers, which cache as the others do when they draft.

    Source: vLLM 0.32 ``layers/attention/mla_attention.py`` (``num_kv_heads=1``, ``max_tp_shards=1``): V3 and
    R1 log 70,267-70,284 bytes per token over all layers for the 70,272 of this law.
    """

    num_layers: int
    kv_lora_rank: int
    qk_rope_head_dim: int
    num_draft_layers: int = 0
    compute_capability: tuple[int, int] | None = None
    kind: AttentionKind = AttentionKind.LATENT

    def stored(self, options: CacheOptions) -> KvCacheFormat:
        """Return the format on this GPU."""
        return stored_format(self.kind, options, self.compute_capability)

    def bytes_per_token_per_layer(self, tensor: int, dtype: KvCacheDtype) -> int:
        """Return the bytes of one token in one layer, whatever the tensor parallelism.

        >>> law = LatentCache(num_layers=61, kv_lora_rank=512, qk_rope_head_dim=64)
        >>> law.bytes_per_token_per_layer(8, KvCacheDtype.AUTO)
        1152
        """
        stored = self.stored(CacheOptions(tensor=tensor, dtype=dtype))
        return latent_bytes(stored.format, self.kv_lora_rank, self.qk_rope_head_dim)

    def caches(self, options: CacheOptions) -> tuple[LayerCache, ...]:
        """Return one cache per layer, draft layers included when they are used."""
        layers = self.num_layers + (self.num_draft_layers if options.num_speculative_tokens else 0)
        page = self.bytes_per_token_per_layer(options.tensor, options.dtype)
        return _one_per_layer(layers, page, self.stored(options).block_tokens)

    def formula(self, options: CacheOptions) -> str:
        """Return the arithmetic in words."""
        element = 2 if self.stored(options).format is CacheFormat.SIXTEEN_BIT else 1
        return f"({self.kv_lora_rank} + {self.qk_rope_head_dim}) x {element} B, on every TP rank"


@dataclass(frozen=True, kw_only=True)
class IndexedLatentCache:
    """Latent cache and the indexer's keys (V3.2), both on every TP rank.

    FP8 is stored as 512 FP8 values, 4 float32 scales and 64 16-bit rotary values (656 B) but for GPUs of compute
    capability 10.x, which keep plain FP8 (576 B); 12.x packs also when nothing is asked for.

    Source: vLLM 0.32 ``flashmla_sparse.py``, ``models/deepseek_v2.py`` l.638: the index entry is 128 FP8
    values and one float32 scale whatever the main cache stores; logged 78,321-78,337 bytes per token over all
    layers for the 78,324 of this law.
    """

    latent: LatentCache
    index_head_dim: int

    @property
    def kind(self) -> AttentionKind:
        """Kind of attention."""
        return self.latent.kind

    def stored(self, options: CacheOptions) -> KvCacheFormat:
        """Return the format on this GPU."""
        return self.latent.stored(options)

    def bytes_per_token_per_layer(self, tensor: int, dtype: KvCacheDtype) -> int:
        """Return the latent entry and the index entry together.

        >>> latent = LatentCache(
        ...     num_layers=61, kv_lora_rank=512, qk_rope_head_dim=64, kind=AttentionKind.INDEXED_LATENT)
        >>> law = IndexedLatentCache(latent=latent, index_head_dim=128)
        >>> [law.bytes_per_token_per_layer(8, dtype) for dtype in (KvCacheDtype.AUTO, KvCacheDtype.FP8)]
        [1284, 788]
        """
        return self.latent.bytes_per_token_per_layer(tensor, dtype) + index_key_bytes(self.index_head_dim)

    def caches(self, options: CacheOptions) -> tuple[LayerCache, ...]:
        """Return two caches per layer."""
        latent = self.latent.caches(options)
        page = index_key_bytes(self.index_head_dim) * self.stored(options).block_tokens
        return latent + tuple(replace(cache, page_bytes=page) for cache in latent)

    def formula(self, options: CacheOptions) -> str:
        """Return the arithmetic in words."""
        latent = self.latent.bytes_per_token_per_layer(options.tensor, options.dtype)
        return f"{latent} B latent + {index_key_bytes(self.index_head_dim)} B index, on every TP rank"


def latent_bytes(stored: CacheFormat, kv_lora_rank: int, qk_rope_head_dim: int) -> int:
    """Return the bytes of one latent entry: the compressed vector and the rotary key.

    Source: vLLM 0.32 ``mla_attention.py`` l.1365 and the docstring of ``flashmla_sparse.py``.

    >>> [latent_bytes(stored, 512, 64) for stored in CacheFormat if stored is not CacheFormat.MXFP8_DS_MLA]
    [1152, 576, 656, 352]
    """
    if stored is CacheFormat.SIXTEEN_BIT:
        return 2 * (kv_lora_rank + qk_rope_head_dim)
    if stored is CacheFormat.FP8_DS_MLA:
        return kv_lora_rank + SCALE_BYTES * ceil_div(kv_lora_rank, SCALE_ELEMENTS) + 2 * qk_rope_head_dim
    if stored is CacheFormat.NVFP4_DS_MLA:
        return kv_lora_rank // 2 + kv_lora_rank // NVFP4_ELEMENTS + qk_rope_head_dim
    return kv_lora_rank + qk_rope_head_dim


def index_key_bytes(index_head_dim: int, dtype: IndexerKvDtype = IndexerKvDtype.AUTO) -> int:
    """Return the bytes of one key of the sparse indexer, its scales included.

    >>> index_key_bytes(128), index_key_bytes(128, IndexerKvDtype.MXFP4)
    (132, 68)
    """
    if dtype is IndexerKvDtype.MXFP4:
        return index_head_dim // 2 + index_head_dim // MXFP4_ELEMENTS
    return index_head_dim + SCALE_BYTES * (index_head_dim // SCALE_ELEMENTS)


def _one_per_layer(num_layers: int, token_bytes: int, block_tokens: int) -> tuple[LayerCache, ...]:
    return tuple(
        LayerCache(layer=layer, page_bytes=token_bytes * block_tokens, block_tokens=block_tokens)
        for layer in range(num_layers)
    )
