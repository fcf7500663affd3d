"""KV cache: one class per memory law, blocks, and the tokens that a budget holds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from deepseek_operator.catalog.shapes import CompressedAttention, GroupedQueryAttention, LatentAttention, ModelShape
from deepseek_operator.errors import UnsupportedModelError
from deepseek_operator.memory.settings import KvCacheDtype
from deepseek_operator.units import ceil_div

NULL_BLOCKS = 1
"""Blocks of the pool that hold no tokens (vLLM 0.32 ``BlockPool`` keeps one null block)."""


class KvCacheLaw(Protocol):
    """How many bytes one layer keeps per token on one rank."""

    @property
    def block_tokens(self) -> int:
        """Tokens of one block."""
        ...

    def bytes_per_token_per_layer(self, tensor: int, dtype: KvCacheDtype) -> int:
        """Return the bytes of one token in one layer on one of ``tensor`` ranks."""
        ...

    def formula(self, tensor: int, dtype: KvCacheDtype) -> str:
        """Return the same figure as arithmetic with the numbers put in, for people."""
        ...


@dataclass(frozen=True, kw_only=True)
class GroupedQueryCache:
    """Keys and values per head: cut by TP until every rank has one key-value head, then repeated.

    Source: vLLM 0.32 ``config/model.py`` ``get_num_kv_heads``; 13 recorded start-ups agree within 0.1 %.
    """

    num_kv_heads: int
    head_dim: int
    block_tokens: int = 16

    def bytes_per_token_per_layer(self, tensor: int, dtype: KvCacheDtype) -> int:
        """Return 2 x heads of the rank x head_dim x bytes per element.

        >>> GroupedQueryCache(num_kv_heads=8, head_dim=128).bytes_per_token_per_layer(4, KvCacheDtype.AUTO)
        1024
        """
        return 2 * self._heads(tensor) * self.head_dim * element_bytes(dtype)

    def formula(self, tensor: int, dtype: KvCacheDtype) -> str:
        """Return the arithmetic in words."""
        return f"2 x {self._heads(tensor)} KV heads x {self.head_dim} x {element_bytes(dtype)} B"

    def _heads(self, tensor: int) -> int:
        return ceil_div(self.num_kv_heads, tensor)


@dataclass(frozen=True, kw_only=True)
class LatentCache:
    """One compressed vector and one rotary key per token; every TP rank holds a full copy.

    Source: vLLM 0.32 ``layers/attention/mla_attention.py`` (``num_kv_heads=1``, ``max_tp_shards=1``): V3 and
    R1 log 70,267-70,284 bytes per token over all layers for the 70,272 of this law.
    """

    kv_lora_rank: int
    qk_rope_head_dim: int
    block_tokens: int = 16

    def bytes_per_token_per_layer(self, tensor: int, dtype: KvCacheDtype) -> int:
        """Return (latent + rotary) x bytes per element, whatever the tensor parallelism.

        >>> LatentCache(kv_lora_rank=512, qk_rope_head_dim=64).bytes_per_token_per_layer(8, KvCacheDtype.AUTO)
        1152
        """
        return (self.kv_lora_rank + self.qk_rope_head_dim) * element_bytes(dtype)

    def formula(self, tensor: int, dtype: KvCacheDtype) -> str:
        """Return the arithmetic in words."""
        return f"({self.kv_lora_rank} + {self.qk_rope_head_dim}) x {element_bytes(dtype)} B, on every TP rank"


@dataclass(frozen=True, kw_only=True)
class IndexedLatentCache:
    """Latent cache and the indexer's keys (V3.2), both on every TP rank.

    Args:
        packs_fp8: FP8 is stored as 512 FP8 values, 4 float32 scales and 64 16-bit rotary values (656 B);
            GPUs of compute capability 10.x store plain FP8 (576 B) instead.
        packs_always: 12.x GPUs pack also when 16 bits are asked for.

    Source: vLLM 0.32 ``flashmla_sparse.py``, ``models/deepseek_v2.py`` l.638: the index entry is 128 FP8
    values and one float32 scale whatever the main cache stores; logged 78,321-78,337 bytes per token over all
    layers for the 78,324 of this law.
    """

    latent: LatentCache
    index_head_dim: int
    packs_fp8: bool = True
    packs_always: bool = False
    block_tokens: int = 64

    def bytes_per_token_per_layer(self, tensor: int, dtype: KvCacheDtype) -> int:
        """Return the latent entry and the index entry together.

        >>> law = IndexedLatentCache(latent=LatentCache(kv_lora_rank=512, qk_rope_head_dim=64), index_head_dim=128)
        >>> [law.bytes_per_token_per_layer(8, dtype) for dtype in (KvCacheDtype.AUTO, KvCacheDtype.FP8)]
        [1284, 788]
        """
        return self._latent_bytes(tensor, dtype) + self.index_head_dim + 4

    def formula(self, tensor: int, dtype: KvCacheDtype) -> str:
        """Return the arithmetic in words."""
        return f"{self._latent_bytes(tensor, dtype)} B latent + {self.index_head_dim + 4} B index, on every TP rank"

    def _latent_bytes(self, tensor: int, dtype: KvCacheDtype) -> int:
        packed = self.packs_always if element_bytes(dtype) > 1 else self.packs_fp8
        if packed:
            scales = 4 * ceil_div(self.latent.kv_lora_rank, 128)
            return self.latent.kv_lora_rank + scales + 2 * self.latent.qk_rope_head_dim
        return self.latent.bytes_per_token_per_layer(tensor, dtype)


@lru_cache(maxsize=1024)
def kv_cache_law(shape: ModelShape, compute_capability: tuple[int, int] | None = None) -> KvCacheLaw:
    """Return the law of a model's KV cache.

    Args:
        shape: the model.
        compute_capability: of the GPU; None assumes the storage of Hopper, which is never the smaller one.

    Raises:
        UnsupportedModelError: the law of this attention is not known.
    """
    attention = shape.attention
    if isinstance(attention, CompressedAttention):
        raise UnsupportedModelError(
            f"the KV cache of {shape.architecture} cannot be planned yet; its weights are known"
        )
    if isinstance(attention, GroupedQueryAttention):
        return GroupedQueryCache(num_kv_heads=attention.num_kv_heads, head_dim=attention.head_dim)
    latent = _latent(attention)
    if not attention.index_num_heads:
        return latent
    major = compute_capability[0] if compute_capability else 9
    return IndexedLatentCache(
        latent=latent,
        index_head_dim=attention.index_head_dim,
        packs_fp8=major != 10,
        packs_always=major >= 12,
    )


def element_bytes(dtype: KvCacheDtype) -> int:
    """Return the bytes of a stored element; ``auto`` is the 16-bit activation dtype.

    >>> [element_bytes(dtype) for dtype in KvCacheDtype]
    [2, 2, 1]
    """
    return 1 if dtype is KvCacheDtype.FP8 else 2


def blocks_for(tokens: int, block_tokens: int) -> int:
    """Return the blocks that one request of that many tokens occupies, the pool's null block included.

    >>> blocks_for(4096, 16), blocks_for(4097, 16)
    (257, 258)
    """
    return ceil_div(tokens, block_tokens) + NULL_BLOCKS


def blocks_in(available_bytes: int, block_bytes: int) -> int:
    """Return how many whole blocks a rank's budget holds; 0 when it is overdrawn.

    >>> blocks_in(1000, 300), blocks_in(-5, 300)
    (3, 0)
    """
    return max(0, available_bytes // block_bytes)


def _latent(attention: LatentAttention) -> LatentCache:
    return LatentCache(kv_lora_rank=attention.kv_lora_rank, qk_rope_head_dim=attention.qk_rope_head_dim)
