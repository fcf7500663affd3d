"""Memory laws of caches over compressed states: V4, and V4.1 whose layers share a few growing caches.

A compressed entry stands for several tokens, every layer keeps a window of the newest tokens uncompressed, and states
that are still being compressed lie in caches with tiny pages. So the bytes of a request are a curve: little per token,
a fixed cost, and much more while a prefill chunk is in flight.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepseek_operator.catalog.kv_cache_formats import AttentionKind, CacheFormat, KvCacheFormat
from deepseek_operator.catalog.shapes import CompressedAttention
from deepseek_operator.errors import UnsupportedKvCacheError
from deepseek_operator.memory.kv_groups import LayerCache, Retention
from deepseek_operator.memory.kv_laws import NVFP4_ELEMENTS, CacheOptions, index_key_bytes, stored_format
from deepseek_operator.memory.stages import INDEXED_RATIO
from deepseek_operator.units import ceil_div

STATE_BLOCK_TOKENS = {4: 4, 128: 8}
"""Tokens of a block of compressor states by compression (vLLM 0.32 ``deepseek_v4/compressor.py``)."""

WINDOW_BLOCK_TOKENS = 64
"""Tokens of a block of the sliding window of V4 (vLLM 0.32 ``mla/sparse_swa.py``)."""

SHARED_WINDOW_BLOCK_TOKENS = 32
"""The same for V4.1 (vLLM 0.32 ``deepseek_v41/attention.py``)."""

FLASHMLA_ALIGNMENT = 576
"""Bytes to which pages of the packed V4 record are rounded up (``packed_page_alignment``, ``mla/sparse_swa.py``)."""

PLAIN_ALIGNMENT = 512
"""The same for plain rows and the V4.1 record."""

ROPE_SCALE_ELEMENTS = 64
"""Elements per 8-bit scale of the V4 record; the scales are padded to whole 8 bytes (584 B for 448 + 64 elements)."""

MXFP8_ELEMENTS = 32
"""Elements per 8-bit scale of the V4.1 record (528 B for 512 elements)."""

FUSED_HEADS_PER_GROUP = 8
"""Heads per output group that the fused attention of V4.1 needs (``WV_GROUP_SIZE``, vLLM ``fused_layout.py``)."""

FEWEST_RING_ROWS = 8
"""Fewest rows of the ring of open states of V4.1 (vLLM 0.32 ``deepseek_v41/compressor.py``)."""

FLOAT32_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class CompressedCache:
    """V4: each layer compresses by 4 (with an indexer), by 128, or not at all, and keeps a window.

    Args:
        num_layers: decoder layers; ``compress_ratios`` may go on over draft layers, which have the window alone.
        num_draft_layers: draft layers that cache when they draft.

    Source: vLLM 0.32 ``models/deepseek_v4/attention.py`` l.856-925, ``compressor.py`` l.139-195,
    ``v1/attention/backends/mla/sparse_swa.py``. V4-Pro: 1,435,968 B per block of 256 tokens, 26 blocks besides.
    """

    attention: CompressedAttention
    num_layers: int
    num_draft_layers: int = 0
    compute_capability: tuple[int, int] | None = None
    kind: AttentionKind = AttentionKind.COMPRESSED

    def stored(self, options: CacheOptions) -> KvCacheFormat:
        """Return the format on this GPU."""
        return stored_format(self.kind, options, self.compute_capability)

    def caches(self, options: CacheOptions) -> tuple[LayerCache, ...]:
        """Return the caches of every layer, draft layers included when they are used."""
        attention, stored = self.attention, self.stored(options)
        caches: list[LayerCache] = []
        for layer in range(self.num_layers):
            ratio = attention.compress_ratios[layer]
            if ratio == INDEXED_RATIO:
                key = index_key_bytes(attention.index_head_dim, options.indexer_dtype)
                caches.append(self._entries(layer, ratio, key, stored))
                caches.append(self._states(layer, ratio, attention.index_head_dim, stored))
            caches.append(self._window(layer, stored))
            if ratio > 1:
                caches.append(self._entries(layer, ratio, entry_bytes(attention, stored.format), stored))
                caches.append(self._states(layer, ratio, attention.head_dim, stored))
        drafts = self.num_draft_layers if options.num_speculative_tokens else 0
        caches += [self._window(self.num_layers + draft, stored) for draft in range(drafts)]
        return tuple(caches)

    def formula(self, options: CacheOptions) -> str:
        """Return the arithmetic in words."""
        attention, stored = self.attention, self.stored(options)
        key = index_key_bytes(attention.index_head_dim, options.indexer_dtype)
        entry = entry_bytes(attention, stored.format)
        ratios = attention.compress_ratios[: self.num_layers]
        deep = sorted({ratio for ratio in ratios if ratio > INDEXED_RATIO})
        parts = [f"{ratios.count(INDEXED_RATIO)} layers x ({entry} + {key} B) / {INDEXED_RATIO} tokens"]
        parts += [f"{ratios.count(ratio)} layers x {entry} B / {ratio} tokens" for ratio in deep]
        return f"{' + '.join(parts)}, pages of {_alignment(stored.format)} B, on every TP rank"

    def _entries(self, layer: int, ratio: int, size: int, stored: KvCacheFormat) -> LayerCache:
        page = stored.block_tokens // ratio * size
        return LayerCache(layer=layer, page_bytes=_aligned(page, stored.format), block_tokens=stored.block_tokens)

    def _window(self, layer: int, stored: KvCacheFormat) -> LayerCache:
        page = WINDOW_BLOCK_TOKENS * entry_bytes(self.attention, stored.format)
        return LayerCache(
            layer=layer,
            page_bytes=_aligned(page, stored.format),
            block_tokens=WINDOW_BLOCK_TOKENS,
            retention=Retention.WINDOW,
            window=self.attention.sliding_window,
        )

    def _states(self, layer: int, ratio: int, width: int, stored: KvCacheFormat) -> LayerCache:
        """Value and score of each token of the open groups; groups of 4 overlap, so they are twice as wide."""
        overlap = 2 if ratio == INDEXED_RATIO else 1
        block_tokens = STATE_BLOCK_TOKENS[ratio]
        return LayerCache(
            layer=layer,
            page_bytes=_aligned(block_tokens * 2 * overlap * width * FLOAT32_BYTES, stored.format),
            block_tokens=block_tokens,
            retention=Retention.WINDOW,
            window=overlap * ratio,
        )


@dataclass(frozen=True, kw_only=True)
class SharedCompressedCache:
    """V4.1: a few source layers own growing caches, every layer keeps a window, open states lie in a ring.

    Source: vLLM 0.32 ``models/deepseek_v41/attention.py`` l.508-530 and l.1138-1230, ``compressor.py`` l.136-165.
    NVFP4 with an MXFP4 indexer stores 890 B per token, which is the published figure.
    """

    attention: CompressedAttention
    num_layers: int
    num_draft_layers: int = 0
    compute_capability: tuple[int, int] | None = None
    kind: AttentionKind = AttentionKind.SHARED_COMPRESSED

    def stored(self, options: CacheOptions) -> KvCacheFormat:
        """Return the format on this GPU; NVFP4 is chosen unasked only where the fused attention can run."""
        stored = stored_format(self.kind, options, self.compute_capability)
        asked_for = options.dtype.value == CacheFormat.NVFP4_DS_MLA.value
        if stored.format is not CacheFormat.NVFP4_DS_MLA or asked_for or self._is_fused(options.tensor):
            return stored
        return KvCacheFormat(
            format=CacheFormat.MXFP8_DS_MLA, block_tokens=stored.block_tokens, backend="FLASHMLA_SPARSE_DSV41"
        )

    def caches(self, options: CacheOptions) -> tuple[LayerCache, ...]:
        """Return the caches of every layer, draft layers included when they are used."""
        attention, stored = self.attention, self.stored(options)
        key = index_key_bytes(attention.index_head_dim, options.indexer_dtype)
        caches: list[LayerCache] = []
        for layer in range(self.num_layers):
            is_source = layer in attention.kv_source_layers
            ratio = attention.compress_ratios[layer]
            if is_source:
                caches.append(self._entries(layer, ratio, key, stored))
            caches.append(self._window(layer, stored))
            if is_source:
                caches.append(self._entries(layer, ratio, entry_bytes(attention, stored.format), stored))
                if ratio > 1:
                    caches.append(self._ring(layer, options.num_speculative_tokens))
        drafts = self.num_draft_layers if options.num_speculative_tokens else 0
        caches += [self._window(self.num_layers + draft, stored) for draft in range(drafts)]
        return tuple(caches)

    def check_stages(self, first_layers: tuple[int, ...]) -> None:
        """Raise UnsupportedKvCacheError when a stage would begin between a source layer and those that share it.

        Args:
            first_layers: first layer of every pipeline stage.
        """
        sources = self.attention.kv_source_layers
        torn = [first for first in first_layers if first > sources[0] and first not in sources]
        if torn:
            raise UnsupportedKvCacheError(
                f"a pipeline stage cannot begin at layer {torn[0]}, which shares the KV cache of an earlier stage; "
                f"stages can begin at layers {', '.join(map(str, sources))}"
            )

    def formula(self, options: CacheOptions) -> str:
        """Return the arithmetic in words."""
        attention, stored = self.attention, self.stored(options)
        key = index_key_bytes(attention.index_head_dim, options.indexer_dtype)
        entry = entry_bytes(attention, stored.format)
        ratios = [attention.compress_ratios[layer] for layer in attention.kv_source_layers]
        parts = [
            f"{ratios.count(ratio)} source layers x ({entry} + {key} B) / {ratio} tokens"
            for ratio in sorted(set(ratios), reverse=True)
        ]
        return f"{' + '.join(parts)}, pages of {_alignment(stored.format)} B, on every TP rank"

    def _is_fused(self, tensor: int) -> bool:
        heads, groups = self.attention.num_heads, self.attention.o_groups
        if heads % tensor or groups % tensor:
            return False
        return heads // groups == FUSED_HEADS_PER_GROUP

    def _entries(self, layer: int, ratio: int, size: int, stored: KvCacheFormat) -> LayerCache:
        page = stored.block_tokens // ratio * size
        return LayerCache(layer=layer, page_bytes=_aligned(page, stored.format), block_tokens=stored.block_tokens)

    def _window(self, layer: int, stored: KvCacheFormat) -> LayerCache:
        """The window keeps 8 bits where the compressed entries have 4."""
        window = CacheFormat.MXFP8_DS_MLA if stored.format is CacheFormat.NVFP4_DS_MLA else stored.format
        page = SHARED_WINDOW_BLOCK_TOKENS * entry_bytes(self.attention, window)
        return LayerCache(
            layer=layer,
            page_bytes=_aligned(page, window),
            block_tokens=SHARED_WINDOW_BLOCK_TOKENS,
            retention=Retention.WINDOW,
            window=self.attention.sliding_window,
        )

    def _ring(self, layer: int, num_speculative_tokens: int) -> LayerCache:
        """Value and score of each open row: drafts, the bonus token and the row before, as a power of two."""
        rows = max(FEWEST_RING_ROWS, 1 << (num_speculative_tokens + 1).bit_length())
        return LayerCache(
            layer=layer,
            page_bytes=rows * 2 * self.attention.head_dim * FLOAT32_BYTES,
            block_tokens=rows,
            retention=Retention.RING,
        )


def entry_bytes(attention: CompressedAttention, stored: CacheFormat) -> int:
    """Return the bytes of one compressed state, or of one token in the window.

    Source: vLLM 0.32 ``deepseek_v4/attention.py`` l.876 (584 B), ``deepseek_v41/attention.py`` l.514 (528, 288 B).
    """
    width = attention.head_dim
    if stored is CacheFormat.SIXTEEN_BIT:
        return 2 * width
    if stored is CacheFormat.NVFP4_DS_MLA:
        return width // 2 + width // NVFP4_ELEMENTS
    if stored is CacheFormat.MXFP8_DS_MLA:
        return width + width // MXFP8_ELEMENTS
    plain = width - attention.qk_rope_head_dim
    scales = ceil_div(plain // ROPE_SCALE_ELEMENTS, 8) * 8
    return plain + 2 * attention.qk_rope_head_dim + scales


def _alignment(stored: CacheFormat) -> int:
    return FLASHMLA_ALIGNMENT if stored is CacheFormat.FP8_DS_MLA else PLAIN_ALIGNMENT


def _aligned(page_bytes: int, stored: CacheFormat) -> int:
    alignment = _alignment(stored)
    return ceil_div(page_bytes, alignment) * alignment
