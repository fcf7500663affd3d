"""The KV cache of one engine: which law a model follows, the pool of blocks, and what a request takes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from deepseek_operator.catalog.kv_cache_formats import AttentionKind, CacheFormat, KvCacheFormat
from deepseek_operator.catalog.shapes import CompressedAttention, GroupedQueryAttention, ModelShape
from deepseek_operator.errors import UnsupportedKvCacheError
from deepseek_operator.memory.kv_compressed import CompressedCache, SharedCompressedCache
from deepseek_operator.memory.kv_groups import CacheGroup, LayerCache, Retention, cache_groups
from deepseek_operator.memory.kv_laws import (
    CacheOptions,
    GroupedQueryCache,
    IndexedLatentCache,
    KvCacheLaw,
    LatentCache,
)
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.release_overheads import release_key
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.memory.stages import layers_per_stage
from deepseek_operator.units import ceil_div

__all__ = [
    "NO_POOL",
    "NULL_BLOCKS",
    "KvCacheLaw",
    "KvCachePool",
    "blocks_in",
    "counts_requests",
    "kv_cache_law",
    "kv_cache_pool",
    "max_in_flight_tokens",
]

NULL_BLOCKS = 1
"""Blocks of the pool that hold no tokens (vLLM 0.32 ``get_kv_cache_configs`` keeps back one null block)."""

PACKED_SINCE = (0, 32, 0)
"""First release known to make a block of V4 as large as its largest group.

Before, each block held all page sizes as often as the most frequent one occurs in a group: a start-up of V4-Flash with
vLLM 0.22 (issue 44376) needed 6.66 GiB for 30,000 tokens and would have served 13,528 in 5.44 GiB, which are both exact
with 22 x 47,808 B and not with the 1,002,240 B of 0.32. Two logs of an unnamed release with three draft layers (18.08
GiB hold 2,493,464 tokens, 17.04 GiB 2,331,430) agree within 0.5 % with 23 x 47,808 B and 8,192 tokens in flight, and
within 11 % with 0.32. Releases between are taken to be like the older one.
"""

REQUESTS_COUNTED_SINCE = (0, 20, 0)
"""First release that logs tokens as concurrency x longest context, not as blocks x tokens (0.19 logs the latter)."""

_ALL_FURTHER_LAYERS = 2**31
"""End of the last stage's layers: draft layers are counted on and run there."""


@lru_cache(maxsize=1024)
def kv_cache_law(shape: ModelShape, compute_capability: tuple[int, int] | None = None) -> KvCacheLaw:
    """Return the law of a model's KV cache.

    Args:
        shape: the model.
        compute_capability: of the GPU; None assumes the storage of Hopper.
    """
    attention = shape.attention
    if isinstance(attention, GroupedQueryAttention):
        return GroupedQueryCache(
            num_layers=shape.num_layers,
            num_kv_heads=attention.num_kv_heads,
            head_dim=attention.head_dim,
            compute_capability=compute_capability,
        )
    drafts = shape.block_draft.num_layers if shape.block_draft else shape.num_draft_layers
    if isinstance(attention, CompressedAttention):
        law = SharedCompressedCache if attention.kv_source_layers else CompressedCache
        return law(
            attention=attention,
            num_layers=shape.num_layers,
            num_draft_layers=drafts,
            compute_capability=compute_capability,
        )
    latent = LatentCache(
        num_layers=shape.num_layers,
        kv_lora_rank=attention.kv_lora_rank,
        qk_rope_head_dim=attention.qk_rope_head_dim,
        num_draft_layers=drafts,
        compute_capability=compute_capability,
        kind=AttentionKind.INDEXED_LATENT if attention.index_num_heads else AttentionKind.LATENT,
    )
    return (
        IndexedLatentCache(latent=latent, index_head_dim=attention.index_head_dim)
        if attention.index_num_heads
        else latent
    )


@dataclass(frozen=True, kw_only=True)
class KvCachePool:
    """Blocks of one engine's pool: how large they are on each stage, and how many a request takes.

    Args:
        groups: caches that share a block table; a request takes blocks of each.
        stage_block_bytes: bytes of a block on a rank of each pipeline stage, first stage first.
        block_tokens: tokens of a block of the caches that grow with the context, on all ranks that share them.
        decode_context: ranks that share the tokens of those caches.
        stored: format of the cache.
        formula: bytes of a token in one layer as arithmetic, for people.
    """

    groups: tuple[CacheGroup, ...]
    stage_block_bytes: tuple[int, ...]
    block_tokens: int
    decode_context: int
    stored: KvCacheFormat
    formula: str

    @property
    def bytes_per_token(self) -> float:
        """Bytes that one more token of context takes on the rank that stores most; fixed costs come on top."""
        return max(self.stage_block_bytes) / self.block_tokens

    @property
    def grows_evenly(self) -> bool:
        """Whether a request costs the same for each token, without a fixed cost."""
        return all(group.caches[0].retention is Retention.CONTEXT for group in self.groups)

    def blocks_per_request(self, tokens: int, in_flight_tokens: int) -> int:
        """Return the blocks that the engine reserves for one request of so many tokens.

        Args:
            tokens: its longest context, 1 or more.
            in_flight_tokens: see ``max_in_flight_tokens``; 1 for a request that only decodes.

        Source: vLLM 0.32 ``get_max_concurrency_for_kv_cache_config``.
        """
        return sum(group.blocks(tokens, in_flight_tokens, self.decode_context) for group in self.groups)

    def requests_held(self, blocks: int, tokens: int, in_flight_tokens: int) -> int:
        """Return how many decoding requests of so many tokens a pool holds beside the chunks in flight.

        Args:
            blocks: blocks of the pool.
            tokens: context of every request, 1 or more.
            in_flight_tokens: tokens of prefill chunks in flight, of all requests together.
        """
        decoding = self.blocks_per_request(tokens, 1)
        chunks = self.blocks_per_request(tokens, in_flight_tokens) - decoding
        return max(0, (blocks - NULL_BLOCKS - chunks) // decoding)

    def reported_tokens(self, blocks: int, max_model_len: int, in_flight_tokens: int, release: str) -> int:
        """Return the size of the KV cache in tokens as the engine's log states it.

        Source: vLLM 0.32 ``get_kv_cache_capacity``; older ones ``num_blocks // groups x block_size``.
        """
        if not counts_requests(release):
            return blocks // len(self.groups) * self.block_tokens
        return blocks * max_model_len // self.blocks_per_request(max_model_len, in_flight_tokens)


NO_POOL = KvCachePool(
    groups=(),
    stage_block_bytes=(),
    block_tokens=1,
    decode_context=1,
    stored=KvCacheFormat(format=CacheFormat.SIXTEEN_BIT, block_tokens=1),
    formula="",
)
"""Stands for the pool of a cache that the engine cannot keep; nothing is computed from it."""


def kv_cache_pool(
    shape: ModelShape,
    parallelism: Parallelism,
    settings: EngineSettings,
    compute_capability: tuple[int, int] | None = None,
) -> KvCachePool:
    """Return the pool of one engine (each attention replica of data parallelism has its own).

    Raises:
        UnsupportedKvCacheError: the GPU or the attention cannot store the data type, or the split is none that the
            cache can have; the text says what can be used instead.
        UnknownEngineReleaseError: ``settings.release`` is no release number.
    """
    options = CacheOptions(
        tensor=parallelism.tensor,
        dtype=settings.kv_cache_dtype,
        indexer_dtype=settings.indexer_kv_dtype,
        num_speculative_tokens=settings.num_speculative_tokens,
    )
    packed = release_key(settings.release) >= PACKED_SINCE or not _is_v4(shape)
    if settings.num_speculative_tokens and not settings.loads_draft_layers:
        shape = replace(shape, num_draft_layers=0, block_draft=None)
    pool = _pool(shape, parallelism.pipeline, parallelism.decode_context, options, compute_capability, packed)
    if settings.draft_model is None:
        return pool
    return with_draft_model(pool, settings.draft_model, options, compute_capability)


def with_draft_model(
    pool: KvCachePool, draft: ModelShape, options: CacheOptions, compute_capability: tuple[int, int] | None
) -> KvCachePool:
    """Return the pool with the cache of a draft model's layers in every block of the last stage.

    Raises:
        UnsupportedKvCacheError: either model's cache does not grow evenly, so that the two share no blocks.
    """
    law = kv_cache_law(draft, compute_capability)
    caches = law.caches(replace(options, num_speculative_tokens=0))
    if not pool.grows_evenly or any(cache.retention is not Retention.CONTEXT for cache in caches):
        raise UnsupportedKvCacheError(
            "a draft model shares no cache blocks with this attention; use method MTP or NGram"
        )
    per_token = sum(ceil_div(cache.page_bytes, cache.block_tokens) for cache in caches)
    added = per_token * pool.stored.block_tokens
    return replace(pool, stage_block_bytes=(*pool.stage_block_bytes[:-1], pool.stage_block_bytes[-1] + added))


def _is_v4(shape: ModelShape) -> bool:
    return isinstance(shape.attention, CompressedAttention) and not shape.attention.kv_source_layers


@lru_cache(maxsize=4096)
def _pool(
    shape: ModelShape,
    pipeline: int,
    decode_context: int,
    options: CacheOptions,
    compute_capability: tuple[int, int] | None,
    packed: bool,
) -> KvCachePool:
    law = kv_cache_law(shape, compute_capability)
    groups = cache_groups(law.caches(options))
    first_layers = (0, *accumulate(layers_per_stage(shape.num_layers, pipeline)))[:-1]
    if isinstance(law, SharedCompressedCache):
        law.check_stages(first_layers)
    _check_decode_context(shape, options.tensor, decode_context, groups)
    last_layers = (*first_layers[1:], _ALL_FURTHER_LAYERS)
    stored = law.stored(options)
    return KvCachePool(
        groups=groups,
        stage_block_bytes=tuple(
            _block_bytes(groups, range(first, last), packed)
            for first, last in zip(first_layers, last_layers, strict=True)
        ),
        block_tokens=stored.block_tokens * decode_context,
        decode_context=decode_context,
        stored=stored,
        formula=law.formula(options),
    )


def _block_bytes(groups: tuple[CacheGroup, ...], layers: range, packed: bool) -> int:
    """Return the bytes of a block on a stage; at least 1, so that a stage without a cache does not divide by 0."""
    if packed or len(groups) == 1:
        return max(1, *(group.page_bytes(layers) for group in groups))
    on_stage = [[cache for cache in group.caches if cache.layer in layers] for group in groups]
    growing = {cache.page_bytes for caches in on_stage for cache in caches if cache.retention is Retention.CONTEXT}
    most = max(_most_of_a_page(caches) for caches in on_stage)
    return max(1, most * sum(growing))


def _most_of_a_page(caches: list[LayerCache]) -> int:
    sizes = [cache.page_bytes for cache in caches]
    return max((sizes.count(size) for size in set(sizes)), default=0)


def _check_decode_context(shape: ModelShape, tensor: int, decode_context: int, groups: tuple[CacheGroup, ...]) -> None:
    """Raise UnsupportedKvCacheError when ranks cannot share the tokens of the cache.

    Source: vLLM 0.32 ``config/parallel.py`` l.592, ``config/model.py`` l.1565, ``SlidingWindowSpec``.
    """
    if decode_context == 1:
        return
    if any(group.caches[0].retention is not Retention.CONTEXT for group in groups):
        raise UnsupportedKvCacheError("decode-context parallelism does not work with sliding windows; use 1")
    if tensor % decode_context:
        raise UnsupportedKvCacheError(
            f"decode-context parallelism of {decode_context} does not divide TP {tensor}; use a divisor of it"
        )
    attention = shape.attention
    if not isinstance(attention, GroupedQueryAttention):
        return
    most = tensor // attention.num_kv_heads if tensor > attention.num_kv_heads else 1
    per_kv_head = attention.num_heads // attention.num_kv_heads
    if decode_context > most:
        raise UnsupportedKvCacheError(
            f"decode-context parallelism of {decode_context} is more than the {most} ranks that hold the same of "
            f"{attention.num_kv_heads} KV heads at TP {tensor}; use {most} or a larger TP"
        )
    if per_kv_head % decode_context:
        raise UnsupportedKvCacheError(
            f"decode-context parallelism of {decode_context} does not divide the {per_kv_head} query heads per KV head"
        )


def max_in_flight_tokens(parallelism: Parallelism, settings: EngineSettings) -> int:
    """Return the tokens that may be scheduled and not yet settled: one full batch per step that runs at once.

    Source: vLLM 0.32 ``config/vllm.py`` l.577-597 (``max_concurrent_batches``): one step per pipeline stage, and one
    more with asynchronous scheduling.
    """
    batches = parallelism.pipeline + (1 if settings.async_scheduling else 0)
    return batches * settings.max_num_batched_tokens


def counts_requests(release: str) -> bool:
    """Whether a release logs tokens as concurrency x longest context."""
    return release_key(release) >= REQUESTS_COUNTED_SINCE


def blocks_in(available_bytes: int, block_bytes: int) -> int:
    """Return how many whole blocks a rank's budget holds; 0 when it is overdrawn.

    >>> blocks_in(1000, 300), blocks_in(-5, 300)
    (3, 0)
    """
    return max(0, available_bytes // block_bytes)
