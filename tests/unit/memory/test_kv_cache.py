from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.errors import UnsupportedKvCacheError
from deepseek_operator.memory.kv_cache import blocks_in, kv_cache_law, kv_cache_pool, max_in_flight_tokens
from deepseek_operator.memory.kv_laws import CacheOptions
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings, IndexerKvDtype, KvCacheDtype

AUTO, FP8, BFLOAT16 = KvCacheDtype.AUTO, KvCacheDtype.FP8, KvCacheDtype.BFLOAT16
LLAMA_70B = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"
R1 = "deepseek-ai/DeepSeek-R1"
V32 = "deepseek-ai/DeepSeek-V3.2"
SETTINGS = EngineSettings(
    release="0.32.0",
    gpu_memory_utilization_percent=92,
    max_model_len=4096,
    max_num_seqs=1024,
    max_num_batched_tokens=8192,
)


@pytest.mark.parametrize(
    ("name", "tensor", "dtype", "capability", "all_layers"),
    [
        pytest.param("deepseek-ai/deepseek-llm-7b-chat", 1, AUTO, None, 491_520, id="MHA"),
        pytest.param("deepseek-ai/deepseek-llm-67b-chat", 1, AUTO, None, 389_120, id="GQA"),
        pytest.param(
            "deepseek-ai/deepseek-coder-5.7bmqa-base", 4, AUTO, None, 16_384, id="MQA is repeated on each rank"
        ),
        pytest.param(LLAMA_70B, 4, AUTO, None, 81_920, id="GQA heads are cut"),
        pytest.param(LLAMA_70B, 4, FP8, None, 40_960, id="FP8 halves them"),
        pytest.param(LLAMA_70B, 4, KvCacheDtype.FP8_E5M2, (8, 0), 40_960, id="e5m2 on Ampere"),
        pytest.param(LLAMA_70B, 16, AUTO, None, 40_960, id="GQA heads are repeated once TP exceeds them"),
        pytest.param("deepseek-ai/DeepSeek-V2.5", 8, AUTO, None, 69_120, id="MLA of V2"),
        pytest.param(R1, 1, AUTO, None, 70_272, id="MLA"),
        pytest.param(R1, 8, AUTO, None, 70_272, id="MLA is whole on each rank"),
        pytest.param(R1, 8, FP8, None, 35_136, id="MLA in FP8"),
        pytest.param(V32, 8, AUTO, None, 78_324, id="indexer"),
        pytest.param(V32, 8, FP8, (9, 0), 48_068, id="Hopper packs FP8"),
        pytest.param(V32, 8, FP8, (10, 0), 43_188, id="datacenter Blackwell keeps plain FP8"),
        pytest.param(V32, 8, KvCacheDtype.FP8_DS_MLA, (10, 0), 48_068, id="unless it is told to pack"),
        pytest.param(V32, 8, KvCacheDtype.NVFP4_DS_MLA, (10, 3), 29_524, id="and it can store 4 bits"),
        pytest.param(V32, 8, AUTO, (12, 0), 48_068, id="12.x packs when nothing is asked for"),
    ],
)
def test_bytes_per_token(
    name: str, tensor: int, dtype: KvCacheDtype, capability: tuple[int, int] | None, all_layers: int
):
    pool = kv_cache_pool(shape(name), Parallelism(tensor=tensor), replace(SETTINGS, kv_cache_dtype=dtype), capability)
    assert pool.bytes_per_token == all_layers
    assert pool.stage_block_bytes == (all_layers * pool.block_tokens,)


@pytest.mark.parametrize(
    ("name", "dtype", "capability", "block_tokens"),
    [
        (LLAMA_70B, AUTO, (9, 0), 16),
        (R1, AUTO, (9, 0), 16),
        (R1, FP8, (9, 0), 64),
        (R1, AUTO, (10, 0), 32),
        (R1, AUTO, (8, 0), 16),
        (R1, AUTO, None, 16),
        (V32, AUTO, (9, 0), 64),
        (V32, FP8, (10, 0), 64),
    ],
)
def test_blocks_are_those_of_the_attention_backend(
    name: str, dtype: KvCacheDtype, capability: tuple[int, int] | None, block_tokens: int
):
    pool = kv_cache_pool(shape(name), Parallelism(), replace(SETTINGS, kv_cache_dtype=dtype), capability)
    assert pool.block_tokens == block_tokens


@pytest.mark.parametrize(
    ("name", "options", "capability", "refusal"),
    [
        pytest.param(
            R1,
            CacheOptions(dtype=FP8),
            (8, 0),
            "latent attention (MLA) cannot store a KV cache of fp8 on compute capability 8.0; use auto or bfloat16 or "
            "float16",
            id="no FP8 for MLA before Ada",
        ),
        pytest.param(
            R1,
            CacheOptions(dtype=KvCacheDtype.FP8_E5M2),
            None,
            "latent attention (MLA) cannot store a KV cache of fp8_e5m2 on Hopper; use auto or bfloat16 or float16 or "
            "fp8 or fp8_e4m3",
            id="MLA has no e5m2",
        ),
        pytest.param(
            V32,
            CacheOptions(dtype=KvCacheDtype.NVFP4_DS_MLA),
            (9, 0),
            "sparse latent attention cannot store a KV cache of nvfp4_ds_mla on compute capability 9.0; use auto or "
            "bfloat16 or fp8 or fp8_ds_mla or fp8_e4m3",
            id="4 bits need datacenter Blackwell",
        ),
        pytest.param(
            V32,
            CacheOptions(dtype=BFLOAT16),
            (12, 0),
            "sparse latent attention cannot store a KV cache of bfloat16 on compute capability 12.0; use auto or fp8 "
            "or fp8_ds_mla or fp8_e4m3",
            id="12.x packs always",
        ),
        pytest.param(
            V32,
            CacheOptions(),
            (8, 0),
            "sparse latent attention cannot store a KV cache of auto on compute capability 8.0; use another GPU",
            id="sparse attention does not run on Ampere",
        ),
        pytest.param(
            V32,
            CacheOptions(indexer_dtype=IndexerKvDtype.MXFP4),
            (10, 0),
            "indexer keys of sparse latent attention cannot be mxfp4; use auto",
            id="the indexer of V3.2 has FP8 keys",
        ),
    ],
)
def test_what_cannot_be_stored_is_refused(
    name: str, options: CacheOptions, capability: tuple[int, int] | None, refusal: str
):
    with pytest.raises(UnsupportedKvCacheError) as caught:
        kv_cache_law(shape(name), capability).caches(options)
    assert str(caught.value) == refusal


@pytest.mark.parametrize(
    ("name", "tensor", "dtype", "text"),
    [
        (LLAMA_70B, 4, FP8, "2 x 2 KV heads x 128 x 1 B"),
        (R1, 8, AUTO, "(512 + 64) x 2 B, on every TP rank"),
        (V32, 8, FP8, "656 B latent + 132 B index, on every TP rank"),
    ],
)
def test_formula_has_the_numbers_put_in(name: str, tensor: int, dtype: KvCacheDtype, text: str):
    assert kv_cache_law(shape(name)).formula(CacheOptions(tensor=tensor, dtype=dtype)) == text


def test_a_draft_layer_caches_like_the_others():
    drafting = replace(SETTINGS, num_speculative_tokens=1)
    assert [kv_cache_pool(shape(R1), Parallelism(), told).bytes_per_token for told in (SETTINGS, drafting)] == [
        61 * 1152,
        62 * 1152,
    ]
    staged = kv_cache_pool(shape(R1), Parallelism(pipeline=2), drafting)
    assert staged.stage_block_bytes == (31 * 1152 * 16, 31 * 1152 * 16)


def test_ranks_share_the_tokens_of_a_latent_cache():
    """Kimi-K2-Thinking logs 715,072 tokens, and eight times as many with eight ranks."""
    one = kv_cache_pool(shape(R1), Parallelism(tensor=8), SETTINGS)
    eight = kv_cache_pool(shape(R1), Parallelism(tensor=8, decode_context=8), SETTINGS)
    assert (one.blocks_per_request(163_840, 1), eight.blocks_per_request(163_840, 1)) == (10_240, 1_280)
    assert (one.bytes_per_token, eight.bytes_per_token) == (70_272, 8_784)
    assert [pool.reported_tokens(10_240, 163_840, 1, "0.32.0") for pool in (one, eight)] == [163_840, 1_310_720]
    assert [pool.reported_tokens(10_240, 163_840, 1, "0.19.0") for pool in (one, eight)] == [163_840, 1_310_720]


@pytest.mark.parametrize(
    ("name", "split", "refusal"),
    [
        pytest.param(
            R1,
            Parallelism(tensor=8, decode_context=3),
            "decode-context parallelism of 3 does not divide TP 8; use a divisor of it",
            id="TP is divided",
        ),
        pytest.param(
            LLAMA_70B,
            Parallelism(tensor=8, decode_context=2),
            "decode-context parallelism of 2 is more than the 1 ranks that hold the same of 8 KV heads at TP 8; use 1 "
            "or a larger TP",
            id="GQA needs repeated heads",
        ),
        pytest.param(
            "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
            Parallelism(tensor=8, decode_context=4),
            "decode-context parallelism of 4 does not divide the 6 query heads per KV head",
            id="query heads are divided",
        ),
    ],
)
def test_a_split_that_the_cache_cannot_have_is_refused(name: str, split: Parallelism, refusal: str):
    with pytest.raises(UnsupportedKvCacheError) as caught:
        kv_cache_pool(shape(name), split, SETTINGS)
    assert str(caught.value) == refusal


def test_blocks_round_up_for_a_request_and_down_for_a_budget():
    pool = kv_cache_pool(shape(R1), Parallelism(), SETTINGS)
    assert [pool.blocks_per_request(tokens, 8192) for tokens in (1, 16, 17)] == [1, 1, 2]
    assert [blocks_in(size, 100) for size in (-1, 99, 100, 250)] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("pipeline", "asynchronous", "tokens"), [(1, True, 16_384), (1, False, 8192), (4, True, 40_960)]
)
def test_tokens_in_flight_are_a_batch_per_step_that_runs_at_once(pipeline: int, asynchronous: bool, tokens: int):
    told = replace(SETTINGS, async_scheduling=asynchronous)
    assert max_in_flight_tokens(Parallelism(pipeline=pipeline), told) == tokens
