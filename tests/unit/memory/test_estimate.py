from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.errors import UnknownQuantizationError
from deepseek_operator.memory.estimate import EngineSettings, MemoryEstimate, RankMemory, estimate
from deepseek_operator.memory.explanation import explanation
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import KvCacheDtype

GIB = 2**30
H100 = int(79.19 * GIB)
H200 = int(139.81 * GIB)
R1 = "deepseek-ai/DeepSeek-R1"
V32 = "deepseek-ai/DeepSeek-V3.2"
LLM_67B = "deepseek-ai/deepseek-llm-67b-chat"
SETTINGS = EngineSettings(
    release="0.32.0",
    gpu_memory_utilization_percent=92,
    max_model_len=4096,
    max_num_seqs=1024,
    max_num_batched_tokens=8192,
)


def test_the_budget_is_spent_to_the_last_byte():
    answer = estimate(shape(LLM_67B), Parallelism(tensor=4), SETTINGS, H100)
    rank = answer.worst_rank
    spent = (
        rank.weights_bytes + rank.activations_bytes + rank.non_torch_bytes + rank.cuda_graph_bytes + rank.kv_cache_bytes
    )
    assert spent == rank.budget_bytes == -(-H100 * 92 // 100)
    assert answer.kv_cache_bytes_per_token == 97_280
    assert answer.kv_cache_tokens == rank.kv_cache_bytes // (97_280 * 16) * 16
    assert (answer.fits, answer.limit, answer.longest_context_tokens) == (True, "", 4096)


def test_graphs_lie_outside_the_budget_of_older_releases():
    rank = estimate(shape(LLM_67B), Parallelism(tensor=4), replace(SETTINGS, release="0.19.0"), H100).worst_rank
    assert rank.kv_cache_bytes == (
        rank.budget_bytes - rank.weights_bytes - rank.activations_bytes - rank.non_torch_bytes
    )
    assert rank.cuda_graph_bytes > 0


def test_a_fraction_of_a_percent_of_utilization_counts():
    settings = replace(SETTINGS, gpu_memory_utilization_percent=83, gpu_memory_utilization_basis_points=50)
    rank = estimate(shape(LLM_67B), Parallelism(tensor=4), settings, 10_000_000_000).worst_rank
    assert rank.budget_bytes == 8_350_000_000


@pytest.mark.parametrize(
    ("name", "split", "settings", "total_bytes", "limit"),
    [
        pytest.param(
            R1,
            Parallelism(tensor=8),
            SETTINGS,
            H100,
            "weights and overheads need 88.6 GiB on each GPU (79.6 GiB of them weights), but the budget is 72.9 GiB of "
            "79.2 GiB; no context fits, so split over more GPUs, quantize, or use larger GPUs",
            id="weights alone are too large",
        ),
        pytest.param(
            LLM_67B,
            Parallelism(tensor=2),
            replace(SETTINGS, gpu_memory_utilization_percent=87),
            H100,
            "one request of 4,096 tokens needs 0.7 GiB of KV cache on each GPU, but 0.5 GiB are available; at most "
            "2,624 tokens would fit",
            id="one request is too long",
        ),
        pytest.param(
            R1,
            Parallelism(tensor=8, pipeline=2),
            replace(SETTINGS, max_model_len=163_840, gpu_memory_utilization_percent=64),
            H100,
            "one request of 163,840 tokens needs 5.3 GiB of KV cache on a rank of stage 1, but 1.7 GiB are available; "
            "at most 52,064 tokens would fit",
            id="the stage with the least room is named",
        ),
        pytest.param(
            LLM_67B,
            Parallelism(tensor=4),
            replace(SETTINGS, gpu_memory_utilization_percent=99),
            H100,
            "the budget is 78.4 GiB, but driver, NCCL and CUDA graphs leave only 77.1 GiB of 79.2 GiB; the highest "
            "utilization is 97 %",
            id="utilization asks for what the driver holds",
        ),
    ],
)
def test_a_refusal_names_needed_available_and_what_would_work(
    name: str, split: Parallelism, settings: EngineSettings, total_bytes: int, limit: str
):
    answer = estimate(shape(name), split, settings, total_bytes)
    assert (answer.fits, answer.limit) == (False, limit)


def test_the_longest_context_fits_and_one_block_more_does_not():
    model, split = shape(V32), Parallelism(tensor=8)
    settings = replace(SETTINGS, max_model_len=163_840, gpu_memory_utilization_percent=68)
    refused = estimate(model, split, settings, H200)
    longest = refused.longest_context_tokens
    assert 0 < longest < 163_840
    assert estimate(model, split, replace(settings, max_model_len=longest), H200).fits
    assert not estimate(model, split, replace(settings, max_model_len=longest + 1), H200).fits


def test_every_rank_has_the_block_count_of_the_smallest():
    model = shape("deepseek-ai/DeepSeek-R1-Distill-Llama-8B")
    answer = estimate(model, Parallelism(pipeline=2), SETTINGS, H100)
    first, last = answer.ranks
    assert last.kv_cache_bytes < first.kv_cache_bytes
    assert answer.worst_rank == last
    assert answer.kv_cache_tokens == last.kv_cache_bytes // (16 * 4096 * 16) * 16


def test_each_data_parallel_engine_has_its_own_cache():
    model = shape("deepseek-ai/DeepSeek-R1-Distill-Llama-8B")
    one = estimate(model, Parallelism(), SETTINGS, H100)
    four = estimate(model, Parallelism(data=4), SETTINGS, H100)
    assert four.kv_cache_tokens == 4 * one.kv_cache_tokens
    assert four.longest_context_tokens == one.longest_context_tokens


def test_v32_needs_tensor_parallelism_beside_attention_replicas_on_h200():
    """LMCache PR 2521: TP1 DP8 does not start on 8 x H200, TP2 DP4 does."""
    settings = replace(SETTINGS, release="0.15.0", max_model_len=163_840, gpu_memory_utilization_percent=90)
    fits = [
        estimate(shape(V32), Parallelism(tensor=tensor, data=8 // tensor, expert=True), settings, H200).fits
        for tensor in (1, 2)
    ]
    assert fits == [False, True]


def test_the_band_widens_as_the_cache_shrinks():
    roomy = estimate(shape(R1), Parallelism(tensor=8), SETTINGS, H200)
    tight = estimate(shape(R1), Parallelism(tensor=8), replace(SETTINGS, gpu_memory_utilization_percent=72), H200)
    overdrawn = estimate(shape(R1), Parallelism(tensor=8), SETTINGS, H100)
    assert roomy.kv_cache_error_percent < tight.kv_cache_error_percent < overdrawn.kv_cache_error_percent == 100


def test_an_unknown_quantization_is_refused():
    with pytest.raises(UnknownQuantizationError, match="unknown quantization 'int3'"):
        estimate(shape(LLM_67B), Parallelism(), replace(SETTINGS, quantization="int3"), H100)


def test_worst_rank_is_the_first_of_equals():
    rank = RankMemory(
        stage=0,
        total_bytes=10,
        budget_bytes=9,
        weights_bytes=5,
        activations_bytes=1,
        non_torch_bytes=1,
        cuda_graph_bytes=0,
        kv_cache_bytes=2,
    )
    answer = MemoryEstimate(
        parallelism=Parallelism(pipeline=2),
        settings=SETTINGS,
        ranks=(rank, replace(rank, stage=1)),
        kv_cache_bytes_per_token=1,
        kv_cache_tokens=2,
        kv_cache_error_percent=1,
        longest_context_tokens=0,
        fits=True,
        fits_surely=True,
        limit="",
        basis="",
    )
    assert answer.worst_rank.stage == 0


@pytest.mark.parametrize(
    ("release", "percent", "fits", "surely"),
    [
        pytest.param("0.19.0", 92, True, True, id="room to spare"),
        pytest.param("0.19.0", 62, True, False, id="one request fits, but the error could take its room"),
        pytest.param("0.19.0", 64, True, True, id="a little more room and the narrow band of a measured release"),
        pytest.param("0.20.0", 64, True, False, id="the same room and the wide band of a release without start-ups"),
        pytest.param("0.19.0", 61, False, False, id="nothing fits"),
    ],
)
def test_a_fit_is_sure_when_the_lower_end_of_the_band_fits(release: str, percent: int, fits: bool, surely: bool):
    settings = replace(SETTINGS, release=release, gpu_memory_utilization_percent=percent)
    answer = estimate(shape(R1), Parallelism(tensor=8), settings, H200)
    assert (answer.fits, answer.fits_surely) == (fits, surely)


def test_tensor_parallel_groups_of_another_generation_have_a_wider_band():
    settings = replace(SETTINGS, release="0.19.0")
    hopper, ampere = (
        estimate(shape(LLM_67B), Parallelism(tensor=4), settings, H100, capability) for capability in ((9, 0), (8, 0))
    )
    assert hopper.kv_cache_tokens == ampere.kv_cache_tokens
    assert hopper.kv_cache_error_percent < ampere.kv_cache_error_percent


def test_the_explanation_shows_the_numbers_of_the_answer():
    model = shape(LLM_67B)
    answer = estimate(model, Parallelism(tensor=4), SETTINGS, H100)
    lines = explanation(model, answer)
    assert lines[1] == "budget = total x utilization = 79.190 GiB x 92 % = 72.855 GiB"
    assert "KV cache per token = 95 layers x (2 x 2 KV heads x 128 x 2 B) = 97,280 B" in lines
    assert any(line.endswith(f"= {answer.kv_cache_tokens:,} tokens") for line in lines)


FLASH = "deepseek-ai/DeepSeek-V4-Flash"
V4_SETTINGS = replace(SETTINGS, max_model_len=1_000_000, max_num_seqs=256)


def test_a_compressed_cache_is_a_curve():
    answer = estimate(shape(FLASH), Parallelism(tensor=8), V4_SETTINGS, H200, (9, 0))
    pool = answer.kv_cache_pool
    assert pool is not None
    per_request = 3907 + 26 + 6656
    assert pool.blocks_per_request(1_000_000, 16_384) == per_request
    assert answer.kv_cache_blocks == answer.worst_rank.kv_cache_bytes // 1_002_240
    assert answer.kv_cache_tokens == answer.kv_cache_blocks * 1_000_000 // per_request
    assert answer.max_concurrency == answer.kv_cache_blocks / per_request
    assert answer.requests_held(1_000_000) == (answer.kv_cache_blocks - 1 - 6656) // (3907 + 26)
    assert (answer.fits, answer.kv_cache_bytes_per_token) == (True, 3915)


def test_the_longest_context_lies_on_the_curve():
    model, split = shape(FLASH), Parallelism(tensor=2)
    told = replace(V4_SETTINGS, max_num_batched_tokens=2048, kv_cache_memory_bytes=4 * GIB)
    refused = estimate(model, split, told, H200, (9, 0))
    assert refused.limit == (
        "one request of 1,000,000 tokens needs 5.2 GiB of KV cache on each GPU, but 4.0 GiB are available; at most "
        "664,064 tokens would fit"
    )
    longest = refused.longest_context_tokens
    assert longest == 664_064
    assert estimate(model, split, replace(told, max_model_len=longest), H200, (9, 0)).fits
    assert not estimate(model, split, replace(told, max_model_len=longest + 1), H200, (9, 0)).fits


def test_a_format_that_the_gpu_cannot_store_is_a_limit():
    told = replace(SETTINGS, kv_cache_dtype=KvCacheDtype.FP8)
    answer = estimate(shape(R1), Parallelism(tensor=8), told, H200, (8, 0))
    assert (answer.fits, answer.kv_cache_tokens, answer.longest_context_tokens, answer.max_concurrency) == (
        False,
        0,
        0,
        0.0,
    )
    assert answer.limit == (
        "latent attention (MLA) cannot store a KV cache of fp8 on compute capability 8.0; use auto or bfloat16 or "
        "float16"
    )
    assert answer.requests_held(1) == 0
    assert f"no KV cache: {answer.limit}" in explanation(shape(R1), answer, (8, 0))


def test_a_fixed_pool_replaces_the_utilization():
    told = replace(SETTINGS, kv_cache_memory_bytes=10 * GIB)
    rank = estimate(shape(LLM_67B), Parallelism(tensor=4), told, H100).worst_rank
    assert rank.kv_cache_bytes == 10 * GIB
    too_large = estimate(shape(LLM_67B), Parallelism(tensor=4), replace(told, kv_cache_memory_bytes=60 * GIB), H100)
    assert not too_large.fits
    assert too_large.limit.startswith("weights, overheads and kv_cache_memory_bytes need ")
    assert " of KV cache would fit" in too_large.limit


def test_drafting_loads_and_caches_one_more_layer():
    plain = estimate(shape(R1), Parallelism(tensor=8), SETTINGS, H200)
    drafting = estimate(shape(R1), Parallelism(tensor=8), replace(SETTINGS, num_speculative_tokens=1), H200)
    assert drafting.kv_cache_bytes_per_token - plain.kv_cache_bytes_per_token == 1152
    assert drafting.worst_rank.weights_bytes > plain.worst_rank.weights_bytes


def test_ranks_that_share_the_context_hold_a_longer_one():
    alone = estimate(shape(R1), Parallelism(tensor=8), SETTINGS, H200)
    shared = estimate(shape(R1), Parallelism(tensor=8, decode_context=8), SETTINGS, H200)
    assert shared.kv_cache_blocks == alone.kv_cache_blocks
    assert shared.max_concurrency == 8 * alone.max_concurrency


def test_the_explanation_takes_the_curve_apart():
    model = shape(FLASH)
    lines = explanation(model, estimate(model, Parallelism(tensor=8), V4_SETTINGS, H200, (9, 0)), (9, 0))
    assert (
        "KV cache per further token = 21 layers x (584 + 132 B) / 4 tokens + 20 layers x 584 B / 128 tokens, pages of "
        "576 B, on every TP rank, so 3,915 B in blocks of 1,002,240 B"
    ) in lines
    assert (
        "of these blocks 3,907 grow with the context, 26 are its window and open states, and 6,656 are there while "
        "16,384 tokens of prefill are in flight"
    ) in lines
