from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.shapes import CompressedAttention, ModelShape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.compressed_attention import (
    AttentionWork,
    decode_attention,
    prefill_attention,
    states_over_prompt,
    stored_elements_per_token,
)
from deepseek_operator.performance.work import decode_work, matrix_parameters, prefill_work

FLASH = "deepseek-ai/DeepSeek-V4-Flash"
PRO = "deepseek-ai/DeepSeek-V4-Pro"
V41 = "deepseek-ai/DeepSeek-V4.1-Flash"


def compressed(name: str) -> tuple[ModelShape, CompressedAttention]:
    model = shape(name)
    assert isinstance(model.attention, CompressedAttention)
    return model, model.attention


def decoded(name: str, context: float) -> AttentionWork:
    model, attention = compressed(name)
    return decode_attention(model, attention, context)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        pytest.param(FLASH, 284.3322 - 0.5295, id="Flash without its input embedding"),
        pytest.param(PRO, 1572.9972 - 0.9267, id="Pro without its input embedding"),
        pytest.param(V41, 551.5662 + 0.3147 - 0.6619, id="V4.1 with what projects the rows of its tables"),
    ],
)
def test_matrices_add_up_to_the_known_parameters(name: str, billions: float):
    model = shape(name)
    matrices = matrix_parameters(model)
    assert model.experts is not None
    per_layer = model.experts.num_experts * matrices.per_expert
    replicated = matrices.replicated + matrices.unquantized
    total = matrices.dense + replicated + matrices.output_head + per_layer * matrices.expert_layers
    assert total / 1e9 == pytest.approx(billions, rel=1e-6)


def test_a_short_context_is_read_in_every_layer_and_by_every_indexer():
    """100 tokens: 43 windows, 25 states in 21 layers of ratio 4, each scored too, 100/128 in 20 layers of ratio 128."""
    states = 43 * 100 + 21 * 25 + 20 * 100 / 128
    assert decoded(FLASH, 100) == AttentionWork(
        flops=2 * 64 * 2 * 512 * states,
        index_flops=2 * 64 * 128 * 21 * 25,
        read_elements=512 * states + 128 * 21 * 25,
    )


def test_a_long_context_is_read_up_to_the_chosen_states():
    """128,000 tokens: 43 windows of 128, 512 chosen of 32,000 in 21 layers, 1,000 in 20 layers."""
    states = 43 * 128 + 21 * 512 + 20 * 1000
    assert decoded(FLASH, 128_000) == AttentionWork(
        flops=2 * 64 * 2 * 512 * states,
        index_flops=2 * 64 * 128 * 21 * 32_000,
        read_elements=512 * states + 128 * 21 * 32_000,
    )


def test_layers_of_v41_read_shared_caches_but_only_sources_score():
    """102,400 tokens: 40 windows, 512 chosen states in 38 layers; 3 indexers at ratio 2 and 5 at ratio 1."""
    states = 40 * 128 + 38 * 512
    scored = 3 * 51_200 + 5 * 102_400
    assert decoded(V41, 102_400) == AttentionWork(
        flops=2 * 64 * 2 * 512 * states, index_flops=2 * 32 * 128 * scored, read_elements=512 * states + 128 * scored
    )


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        pytest.param(FLASH, 21 * 640 / 4 + 20 * 512 / 128, id="a cache in every compressed layer"),
        pytest.param(V41, 3 * 640 / 2 + 640, id="four caches for all"),
    ],
)
def test_elements_that_a_token_adds(name: str, elements: float):
    assert stored_elements_per_token(*compressed(name)) == elements


@given(tokens=st.integers(0, 3000), ratio=st.sampled_from((1, 2, 4, 128)), most=st.integers(1, 600))
def test_states_of_a_prompt_are_the_sum_over_its_tokens(tokens: int, ratio: int, most: int):
    summed = sum(min(position / ratio, most) for position in range(1, tokens + 1))
    assert states_over_prompt(tokens, ratio, most) == pytest.approx(summed, abs=1e-6)


@given(name=st.sampled_from((FLASH, PRO, V41)), tokens=st.integers(1, 200_000))
def test_a_prompt_costs_less_than_its_last_query_times_its_length(name: str, tokens: int):
    model, attention = compressed(name)
    prompt, last = prefill_attention(model, attention, tokens), decode_attention(model, attention, tokens)
    assert 0 < prompt.flops <= tokens * last.flops * (1 + 1e-9)
    assert prompt.index_flops <= tokens * last.index_flops * (1 + 1e-9)


def test_fp4_experts_are_read_in_their_own_precision_and_replicated_weights_by_every_rank():
    def work(tensor: int, bytes_per_parameter: float = 1.0):
        return decode_work(
            shape(FLASH),
            Parallelism(tensor=tensor),
            bytes_per_parameter=bytes_per_parameter,
            kv_bytes_per_token=3915.0,
            batch=1,
            context_tokens=1000,
        )

    one, eight = work(1), work(8)
    matrices = matrix_parameters(shape(FLASH))
    replicated = matrices.replicated + matrices.unquantized_bytes
    cut = matrices.dense + 2 * matrices.output_head
    assert one.expert_bytes == pytest.approx(6 * 43 * matrices.per_expert * 4.25 / 8)
    assert (one.dense_bytes, eight.dense_bytes) == (cut + replicated, cut / 8 + replicated)
    assert work(1, 0.5).expert_bytes == pytest.approx(6 * 43 * matrices.per_expert * 0.5)


def test_a_prompt_reads_no_cache_and_repeats_the_indexer_on_every_rank():
    one, eight = (
        prefill_work(shape(FLASH), Parallelism(tensor=tensor), bytes_per_parameter=1.0, input_tokens=8192)
        for tensor in (1, 8)
    )
    assert one.kv_bytes == 0
    assert one.attention_flops / 8 < eight.attention_flops < one.attention_flops
