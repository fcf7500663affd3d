"""How an engine packs the caches of all layers into one pool of equal blocks.

Every layer registers what it caches; layers that need the same number of slots form a group with one block table. A
block of the pool is as large as the largest group, and a request takes whole blocks from every group.

Source: vLLM 0.32 ``v1/core/kv_cache_utils.py`` (``get_kv_cache_groups``, ``_get_packed_kv_cache_groups``,
``_get_kv_cache_groups_uniform_page_size``, ``_get_kv_cache_bytes_per_block``) and ``v1/kv_cache_interface.py``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from deepseek_operator.units import ceil_div

PADDING_FACTOR = (3, 2)
"""Groups are padded to the larger kind when it has less than 3/2 of the smaller kind's layers.

Source: vLLM 0.32 ``_get_kv_cache_groups_uniform_page_size``.
"""


class Retention(StrEnum):
    """Which tokens a cache keeps: all, those of a sliding window, or one block for as long as the request lives."""

    CONTEXT = "context"
    WINDOW = "window"
    RING = "ring"


@dataclass(frozen=True, kw_only=True)
class LayerCache:
    """One cache of one layer.

    Args:
        layer: decoder layer; draft layers are counted on from the last one.
        page_bytes: of one block of this cache, its padding included.
        block_tokens: tokens of one block.
        window: tokens of the sliding window; 0 without.
    """

    layer: int
    page_bytes: int
    block_tokens: int
    retention: Retention = Retention.CONTEXT
    window: int = 0

    @property
    def kind(self) -> tuple[Retention, int, int]:
        """What caches of one group have in common."""
        return self.retention, self.block_tokens, self.window


@dataclass(frozen=True, kw_only=True)
class CacheGroup:
    """Caches that share a block table."""

    caches: tuple[LayerCache, ...]

    def page_bytes(self, layers: range) -> int:
        """Return the bytes that a block of those layers holds."""
        return sum(cache.page_bytes for cache in self.caches if cache.layer in layers)

    def blocks(self, tokens: int, in_flight_tokens: int, decode_context: int = 1) -> int:
        """Return the blocks that the engine reserves for one request.

        Args:
            tokens: longest context of the request, 1 or more.
            in_flight_tokens: tokens that may be scheduled and not yet settled; they widen sliding windows.
            decode_context: ranks that share the tokens of caches without a window.

        Source: ``FullAttentionSpec.max_memory_usage_bytes`` and ``max_admission_blocks_per_request``; the block
        on top is there because a window may begin inside a block.
        """
        retention, block_tokens, window = self.caches[0].kind
        if retention is Retention.RING:
            return 1
        if retention is Retention.CONTEXT:
            return ceil_div(ceil_div(tokens, decode_context), block_tokens)
        return ceil_div(min(window - 1 + in_flight_tokens, tokens), block_tokens) + 1


def cache_groups(caches: Sequence[LayerCache]) -> tuple[CacheGroup, ...]:
    """Return the groups of a model's caches.

    Args:
        caches: of all layers and stages, in the order in which the engine builds them.

    >>> full, window = LayerCache(layer=0, page_bytes=8, block_tokens=16), Retention.WINDOW
    >>> [len(group.caches) for group in cache_groups([full] * 4)]
    [4]
    >>> sliding = LayerCache(layer=1, page_bytes=8, block_tokens=16, retention=window, window=128)
    >>> [len(group.caches) for group in cache_groups([full, sliding, sliding, sliding] * 2)]
    [2, 2, 2, 2]
    """
    buckets: dict[tuple[Retention, int, int], list[LayerCache]] = defaultdict(list)
    for cache in caches:
        buckets[cache.kind].append(cache)
    if len(buckets) == 1:
        return (CacheGroup(caches=tuple(caches)),)
    if len({cache.page_bytes for cache in caches}) == 1:
        return _equal_pages(list(buckets.values()))
    return _packed_pages([_Bucket(caches=tuple(bucket)) for bucket in buckets.values()])


def _equal_pages(buckets: list[list[LayerCache]]) -> tuple[CacheGroup, ...]:
    """Groups of equally many layers, as many as the scarcer kind has."""
    fewest, most = min(map(len, buckets)), max(map(len, buckets))
    times, parts = PADDING_FACTOR
    size = most if most * parts < fewest * times else fewest
    groups = []
    for bucket in buckets:
        count = ceil_div(len(bucket), size)
        groups += [CacheGroup(caches=tuple(bucket[index::count])) for index in range(count)]
    return tuple(groups)


@dataclass(frozen=True, kw_only=True)
class _Bucket:
    """Caches of one kind before they are cut into groups."""

    caches: tuple[LayerCache, ...]

    @property
    def by_page(self) -> dict[int, list[LayerCache]]:
        pages: dict[int, list[LayerCache]] = defaultdict(list)
        for cache in self.caches:
            pages[cache.page_bytes].append(cache)
        return pages

    @property
    def repeats(self) -> int:
        """Most caches that share a page size."""
        return max(map(len, self.by_page.values()))

    @property
    def is_balanced(self) -> bool:
        """Whether every page size occurs equally often, so that the layers repeat a pattern."""
        return len({len(caches) for caches in self.by_page.values()}) == 1

    def is_state(self, repeats_per_group: int) -> bool:
        """Whether the bucket may be cut down to one cache per group."""
        retention = self.caches[0].retention
        return retention is Retention.RING or (retention is Retention.WINDOW and not repeats_per_group)

    def num_groups(self, repeats_per_group: int) -> int:
        """Return into how many groups the repeating pattern cuts this bucket."""
        return ceil_div(self.repeats, repeats_per_group) if self.is_balanced and repeats_per_group else 1

    def widest_group_bytes(self, num_groups: int) -> int:
        """Return the bytes of the largest of so many groups."""
        return sum(ceil_div(len(caches), num_groups) * page for page, caches in self.by_page.items())

    def groups(self, num_groups: int) -> list[CacheGroup]:
        """Return the bucket cut into groups that take every so manieth repeat of the pattern."""
        if num_groups == 1:
            return [CacheGroup(caches=self.caches)]
        repeats = list(zip(*self.by_page.values(), strict=True))
        return [
            CacheGroup(caches=tuple(cache for repeat in repeats[index::num_groups] for cache in repeat))
            for index in range(num_groups)
        ]


def _packed_pages(buckets: list[_Bucket]) -> tuple[CacheGroup, ...]:
    """Groups of different pages side by side in one block."""
    fewest = max((each.repeats for each in buckets if each.is_balanced and len(each.by_page) > 1), default=0)
    repeats = [each.repeats for each in buckets if each.is_balanced]
    per_group = least_padding(repeats, fewest) if fewest else 0
    anchor = max(
        each.widest_group_bytes(len(each.caches) if each.is_state(per_group) else each.num_groups(per_group))
        for each in buckets
    )
    groups = []
    for bucket in buckets:
        count = bucket.num_groups(per_group)
        if bucket.is_state(per_group):
            fitting = max(anchor // bucket.caches[0].page_bytes, 1)
            count = max(count, ceil_div(len(bucket.caches), fitting))
        groups += bucket.groups(count)
    return tuple(groups)


def least_padding(counts: Sequence[int], fewest: int) -> int:
    """Return the group size of at least ``fewest`` that pads the counts least; the largest of equals.

    Source: vLLM 0.32 ``_approximate_gcd``.

    >>> least_padding([61, 31, 30], 30), least_padding([43, 20, 21], 21)
    (31, 22)
    """
    return min(
        range(fewest, max(counts) + 1), key=lambda size: (sum(-count % size for count in counts), -size), default=fewest
    )
