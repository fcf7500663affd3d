"""Adapters and draft models in the memory of each rank, from the tensors' own widths."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.added_weights import added_weights
from deepseek_operator.memory.estimate import EngineSettings, estimate
from deepseek_operator.memory.host_memory import host_memory
from deepseek_operator.memory.lora import lora_bytes, lora_host_bytes
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.quantized_format import quantized_weights
from deepseek_operator.memory.settings import Drafter
from deepseek_operator.units import GIB

CHAT_7B, CHAT_67B = shape("deepseek-ai/deepseek-llm-7b-chat"), shape("deepseek-ai/deepseek-llm-67b-chat")
R1 = shape("deepseek-ai/DeepSeek-R1")
TOLD = EngineSettings(
    release="0.32.0",
    gpu_memory_utilization_percent=92,
    max_model_len=4096,
    max_num_seqs=64,
    max_num_batched_tokens=8192,
)
ADAPTED = replace(TOLD, max_loras=2, max_lora_rank=16)
DRAFTED = replace(TOLD, num_speculative_tokens=4, drafter=Drafter.MODEL, draft_model=CHAT_7B)
H100 = (9, 0)


def test_an_adapter_of_a_dense_model_on_one_gpu_is_rank_times_inputs_and_outputs() -> None:
    attention = 3 * (4096 + 4096) + (4096 + 4096)
    mlp = 2 * (11008 + 4096) + (4096 + 11008)
    vocabulary = 2 * (102400 + 4096)
    assert lora_bytes(CHAT_7B, Parallelism(), ADAPTED) == (2 * 16 * 2 * (30 * (attention + mlp) + vocabulary),)


def test_only_one_side_of_an_adapter_is_cut_by_tensor_parallelism() -> None:
    """Inputs of matrices cut by rows stay whole on each rank, and so do outputs of those cut by columns."""
    whole, halves = (lora_bytes(CHAT_7B, Parallelism(tensor=ways), ADAPTED)[0] for ways in (1, 2))
    assert whole / 2 < halves < whole


def test_buffers_beside_every_expert_are_most_of_a_mixture() -> None:
    (all_experts,) = lora_bytes(R1, Parallelism(tensor=8), replace(TOLD, max_loras=1, max_lora_rank=16))
    per_expert = 2 * 16 * (2 * (7168 + 2048 // 8) + (2048 // 8 + 7168))
    assert all_experts > 58 * 256 * per_expert > 0.9 * all_experts
    (spread,) = lora_bytes(R1, Parallelism(tensor=8, expert=True), replace(TOLD, max_loras=1, max_lora_rank=16))
    assert spread < all_experts / 3


def test_buffers_grow_with_adapters_and_rank() -> None:
    one = lora_bytes(CHAT_67B, Parallelism(tensor=4), replace(TOLD, max_loras=1, max_lora_rank=16))[0]
    assert lora_bytes(CHAT_67B, Parallelism(tensor=4), replace(TOLD, max_loras=4, max_lora_rank=32))[0] == (
        pytest.approx(8 * one, rel=0.001)
    )


def test_hosts_keep_adapters_whole_on_every_rank() -> None:
    alone = host_memory(CHAT_67B, Parallelism(tensor=4), TOLD).worst_node
    adapted = host_memory(CHAT_67B, Parallelism(tensor=4), ADAPTED).worst_node
    assert adapted.needed_bytes - alone.needed_bytes == 4 * lora_host_bytes(CHAT_67B, ADAPTED)
    assert lora_host_bytes(CHAT_67B, TOLD) == 0


def test_a_draft_model_lies_on_the_last_stage_cut_like_the_model() -> None:
    (draft,) = quantized_weights(CHAT_7B, Parallelism(tensor=2), "Native", H100)
    assert added_weights(CHAT_67B, Parallelism(tensor=2, pipeline=2), DRAFTED, H100) == (0, draft.total_bytes)


def test_a_draft_model_takes_weights_and_cache_of_each_token() -> None:
    plain, drafted = (estimate(CHAT_67B, Parallelism(tensor=4), told, 79 * GIB, H100) for told in (TOLD, DRAFTED))
    (draft,) = quantized_weights(CHAT_7B, Parallelism(tensor=4), "Native", H100)
    assert drafted.worst_rank.weights_bytes - plain.worst_rank.weights_bytes == draft.total_bytes
    heads = 32 // 4
    assert drafted.kv_cache_bytes_per_token - plain.kv_cache_bytes_per_token == 30 * 2 * heads * 128 * 2


def test_the_prompts_own_n_grams_take_neither() -> None:
    told = replace(TOLD, num_speculative_tokens=4, drafter=Drafter.PROMPT)
    plain, drafted = (estimate(R1, Parallelism(tensor=8), each, 139 * GIB, H100) for each in (TOLD, told))
    assert drafted.worst_rank.weights_bytes == plain.worst_rank.weights_bytes
    assert drafted.kv_cache_bytes_per_token == plain.kv_cache_bytes_per_token


def test_prediction_layers_take_both() -> None:
    told = replace(TOLD, num_speculative_tokens=1)
    plain, drafted = (estimate(R1, Parallelism(tensor=8), each, 139 * GIB, H100) for each in (TOLD, told))
    assert drafted.worst_rank.weights_bytes > plain.worst_rank.weights_bytes
    assert drafted.kv_cache_bytes_per_token * 61 == pytest.approx(plain.kv_cache_bytes_per_token * 62, abs=62)


def test_adapters_have_graphs_of_their_own() -> None:
    plain, adapted = (estimate(CHAT_67B, Parallelism(tensor=4), told, 79 * GIB, H100) for told in (TOLD, ADAPTED))
    assert adapted.worst_rank.cuda_graph_bytes > plain.worst_rank.cuda_graph_bytes


def test_an_attention_that_shares_no_blocks_has_no_draft_model() -> None:
    told = replace(DRAFTED, max_num_seqs=8)
    refused = estimate(shape("deepseek-ai/DeepSeek-V4-Flash"), Parallelism(tensor=4), told, 139 * GIB, H100)
    assert refused.limit == "a draft model shares no cache blocks with this attention; use method MTP or NGram"
