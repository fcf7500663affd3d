"""Laws that hold for every model, split and setting, not only for the tabled ones."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given, reject
from hypothesis import strategies as st

from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.errors import UnsupportedKvCacheError
from deepseek_operator.memory.estimate import EngineSettings, KvCacheDtype, estimate
from deepseek_operator.memory.kv_cache import KvCachePool, kv_cache_pool
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.tensors import Component, allocated_bytes
from deepseek_operator.memory.weights import parameter_counts, stage_weights

GIB = 2**30
NAMES = (
    "deepseek-ai/deepseek-llm-67b-chat",
    "deepseek-ai/deepseek-coder-5.7bmqa-base",
    "deepseek-ai/deepseek-moe-16b-chat",
    "deepseek-ai/DeepSeek-V2-Lite",
    "deepseek-ai/DeepSeek-V2.5",
    "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-V3.2",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    "deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
    "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B",
    "deepseek-ai/deepseek-vl2-small",
    "deepseek-ai/DeepSeek-OCR",
)
COMPRESSED_NAMES = (
    "deepseek-ai/DeepSeek-V4-Flash",
    "deepseek-ai/DeepSeek-V4-Flash-Base",
    "deepseek-ai/DeepSeek-V4-Flash-Vision-Exp",
    "deepseek-ai/DeepSeek-V4-Pro-0813",
    "deepseek-ai/DeepSeek-V4.1-Flash",
)
"""Attention over compressed states."""

ON_EVERY_STAGE = {Component.ROTARY_TABLE, Component.VISION, Component.PROJECTOR}
SHAPES = st.sampled_from(NAMES + COMPRESSED_NAMES).map(shape)
RANKS = st.sampled_from((1, 2, 4, 8, 16))
CONTEXTS = st.integers(1, 200_000)
DTYPES = st.sampled_from(KvCacheDtype)
GENERATIONS = st.sampled_from(((8, 0), (8, 9), (9, 0), (10, 0), (12, 0)))


@st.composite
def splits(draw: st.DrawFn) -> Parallelism:
    return Parallelism(
        tensor=draw(RANKS),
        pipeline=draw(st.integers(1, 8)),
        data=draw(st.sampled_from((1, 2, 4, 8))),
        expert=draw(st.booleans()),
    )


@st.composite
def settings(draw: st.DrawFn) -> EngineSettings:
    return EngineSettings(
        release=draw(st.sampled_from(("0.8.5", "0.11.0", "0.16.0", "0.19.0", "0.32.0"))),
        gpu_memory_utilization_percent=draw(st.integers(50, 97)),
        max_model_len=draw(CONTEXTS),
        max_num_seqs=draw(st.integers(1, 1024)),
        max_num_batched_tokens=draw(st.integers(16, 16_384)),
        kv_cache_dtype=draw(DTYPES),
        quantization=draw(st.sampled_from(("Native", "FP8", "AWQ"))),
    )


TOTALS = st.integers(16 * GIB, 300 * GIB)


@given(model=SHAPES, split=splits(), told=settings(), total=TOTALS, shorter=CONTEXTS)
def test_a_shorter_context_fits_where_a_longer_one_does(
    model: ModelShape, split: Parallelism, told: EngineSettings, total: int, shorter: int
):
    assume(shorter <= told.max_model_len)
    long, short = (estimate(model, split, replace(told, max_model_len=n), total) for n in (told.max_model_len, shorter))
    assert short.fits >= long.fits
    for more, less in zip(long.ranks, short.ranks, strict=True):
        assert more.kv_cache_bytes <= less.kv_cache_bytes


@given(model=SHAPES, split=splits(), told=settings(), total=TOTALS)
def test_a_model_fits_exactly_when_its_context_is_within_the_longest(
    model: ModelShape, split: Parallelism, told: EngineSettings, total: int
):
    answer = estimate(model, split, told, total)
    if answer.fits:
        assert told.max_model_len <= answer.longest_context_tokens
    longest = answer.longest_context_tokens
    if longest:
        again = estimate(model, split, replace(told, max_model_len=longest), total)
        assert again.max_concurrency >= split.data


@given(model=SHAPES, split=splits(), factor=st.sampled_from((2, 4, 8)), with_draft=st.booleans())
def test_more_tensor_parallelism_never_raises_the_weights_of_a_rank(
    model: ModelShape, split: Parallelism, factor: int, with_draft: bool
):
    wider = replace(split, tensor=split.tensor * factor)
    narrow_ranks, wide_ranks = (stage_weights(model, each, with_draft=with_draft) for each in (split, wider))
    for before, after in zip(narrow_ranks, wide_ranks, strict=True):
        assert after.total_bytes <= before.total_bytes


@given(model=SHAPES, split=splits())
def test_a_draft_only_adds_and_only_to_the_last_stage(model: ModelShape, split: Parallelism):
    without, added = stage_weights(model, split), stage_weights(model, split, with_draft=True)
    assert added[:-1] == without[:-1]
    has_draft = bool(model.num_draft_layers or model.block_draft)
    assert (added[-1].total_bytes > without[-1].total_bytes) == has_draft


@given(model=SHAPES, pipeline=st.integers(2, 16))
def test_stages_add_up_to_the_whole_model(model: ModelShape, pipeline: int):
    def once(split: Parallelism) -> int:
        """Bytes of what the engine builds on one stage only."""
        sizes = [dict(stage.by_component) for stage in stage_weights(model, split)]
        return sum(size for stage in sizes for component, size in stage.items() if component not in ON_EVERY_STAGE)

    assert once(Parallelism(pipeline=pipeline)) == once(Parallelism())


@given(model=SHAPES, split=splits())
def test_ranks_together_hold_every_parameter(model: ModelShape, split: Parallelism):
    stored_bits = 8 if model.quantization_block else 16
    counts = parameter_counts(model)
    in_fp4 = counts[Component.ROUTED_EXPERTS] if model.experts and model.experts.stored_fp4 else 0
    on_gpu = sum(counts.values()) - counts.get(Component.ENGRAM_TABLES, 0)
    held = sum(stage.total_bytes for stage in stage_weights(model, split)) * split.tensor * split.data
    assert held * 8 >= (on_gpu - in_fp4) * stored_bits + in_fp4 * 4


IN_FLIGHT = st.integers(1, 65_536)


def pool_of(model: ModelShape, split: Parallelism, told: EngineSettings, generation: tuple[int, int]) -> KvCachePool:
    try:
        return kv_cache_pool(model, split, told, generation)
    except UnsupportedKvCacheError:
        reject()


@given(model=SHAPES, split=splits(), told=settings(), generation=GENERATIONS, tokens=CONTEXTS, in_flight=IN_FLIGHT)
def test_more_context_never_needs_fewer_blocks(
    model: ModelShape,
    split: Parallelism,
    told: EngineSettings,
    generation: tuple[int, int],
    tokens: int,
    in_flight: int,
):
    pool = pool_of(model, split, told, generation)
    blocks = pool.blocks_per_request(tokens, in_flight)
    assert 1 <= blocks <= pool.blocks_per_request(tokens + 1, in_flight)
    assert blocks <= pool.blocks_per_request(tokens, in_flight + 1)


@given(model=SHAPES, split=splits(), told=settings(), generation=GENERATIONS, tokens=CONTEXTS, in_flight=IN_FLIGHT)
def test_doubling_the_requests_doubles_the_cache_at_most(
    model: ModelShape,
    split: Parallelism,
    told: EngineSettings,
    generation: tuple[int, int],
    tokens: int,
    in_flight: int,
):
    pool = pool_of(model, split, told, generation)
    one = pool.blocks_per_request(tokens, in_flight)
    assert one <= pool.blocks_per_request(2 * tokens, in_flight) <= 2 * one
    held = pool.requests_held(4 * one, tokens, in_flight)
    assert pool.requests_held(8 * one, tokens, in_flight) >= 2 * held


@given(model=SHAPES, split=splits(), told=settings(), generation=GENERATIONS)
def test_more_tensor_parallelism_never_raises_the_cache_of_a_rank(
    model: ModelShape, split: Parallelism, told: EngineSettings, generation: tuple[int, int]
):
    narrow = pool_of(model, split, told, generation)
    wide = pool_of(model, replace(split, tensor=2 * split.tensor), told, generation)
    if narrow.stored == wide.stored:
        assert wide.bytes_per_token <= narrow.bytes_per_token


@given(model=SHAPES, told=settings(), generation=GENERATIONS, pipeline=st.integers(2, 8))
def test_stages_together_hold_a_whole_token(
    model: ModelShape, told: EngineSettings, generation: tuple[int, int], pipeline: int
):
    whole = pool_of(model, Parallelism(), told, generation).stage_block_bytes
    staged = pool_of(model, Parallelism(pipeline=pipeline), told, generation).stage_block_bytes
    assert max(staged) <= whole[0] <= sum(staged)


@given(model=SHAPES, split=splits(), told=settings(), generation=GENERATIONS, tokens=CONTEXTS)
def test_blocks_count_tokens_and_bytes_count_formats(
    model: ModelShape, split: Parallelism, told: EngineSettings, generation: tuple[int, int], tokens: int
):
    """Halving the bytes of an element halves a block and leaves the blocks of a request as they are."""
    wide, narrow = (
        pool_of(model, split, replace(told, kv_cache_dtype=dtype), generation)
        for dtype in (KvCacheDtype.AUTO, KvCacheDtype.FP8)
    )
    assume(wide.grows_evenly and wide.block_tokens == narrow.block_tokens)
    assert wide.blocks_per_request(tokens, 1) == narrow.blocks_per_request(tokens, 1)
    assert narrow.bytes_per_token <= wide.bytes_per_token <= 2 * narrow.bytes_per_token


@given(model=SHAPES, split=splits(), told=settings(), generation=GENERATIONS, pool_gib=st.integers(1, 200))
def test_a_fixed_pool_holds_its_bytes_and_no_more(
    model: ModelShape, split: Parallelism, told: EngineSettings, generation: tuple[int, int], pool_gib: int
):
    fixed = replace(told, kv_cache_memory_bytes=pool_gib * GIB)
    answer = estimate(model, split, fixed, 300 * GIB, generation)
    pool = answer.kv_cache_pool
    assume(pool is not None)
    assert {rank.kv_cache_bytes for rank in answer.ranks} == {pool_gib * GIB}
    block = max(pool.stage_block_bytes)
    assert answer.kv_cache_blocks * block <= pool_gib * GIB < (answer.kv_cache_blocks + 1) * block


@given(requested=st.integers(0, 10 * GIB))
def test_the_allocator_never_gives_less_than_asked(requested: int):
    assert requested <= allocated_bytes(requested) <= requested + 2**20 + 512
