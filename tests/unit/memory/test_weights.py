from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.tensors import Component, LinearFormat
from deepseek_operator.memory.weights import checkpoint_bytes, draft_parameter_counts, parameter_counts, stage_weights

GIB = 2**30
R1 = "deepseek-ai/DeepSeek-R1"


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        pytest.param("deepseek-ai/deepseek-llm-67b-chat", "125.589", id="llm-67b"),
        pytest.param("deepseek-ai/deepseek-moe-16b-chat", "30.502", id="moe-16b"),
        pytest.param("deepseek-ai/DeepSeek-V2-Lite", "29.256", id="V2-Lite"),
        pytest.param("deepseek-ai/DeepSeek-V2.5", "439.103", id="V2.5"),
        pytest.param(R1, "641.285", id="R1 with its draft layer"),
        pytest.param("deepseek-ai/DeepSeek-R1-0528-Qwen3-8B", "15.256", id="Qwen3"),
        pytest.param("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "3.310", id="Qwen2 with its own output head"),
    ],
)
def test_checkpoint_size_is_the_published_one(name: str, gib: str):
    assert f"{checkpoint_bytes(shape(name)) / GIB:.3f}" == gib


@pytest.mark.parametrize(
    ("name", "split", "gib"),
    [
        pytest.param(R1, Parallelism(tensor=8), ["79.55"], id="R1 logs 79.58-79.74"),
        pytest.param("deepseek-ai/DeepSeek-V3.2", Parallelism(tensor=8), ["80.37"], id="V3.2 logs 80.62-80.76"),
        pytest.param(
            "deepseek-ai/DeepSeek-V2.5",
            Parallelism(tensor=8, pipeline=2),
            ["27.73", "28.57"],
            id="V2.5 logs 27.63, 28.48",
        ),
    ],
)
def test_weights_per_rank(name: str, split: Parallelism, gib: list[str]):
    assert [f"{stage.total_bytes / GIB:.2f}" for stage in stage_weights(shape(name), split)] == gib


def test_data_parallel_ranks_repeat_attention_and_share_experts():
    (data,) = stage_weights(shape(R1), Parallelism(tensor=4, data=2))
    (four,) = stage_weights(shape(R1), Parallelism(tensor=4))
    (eight,) = stage_weights(shape(R1), Parallelism(tensor=8))
    expected = {**dict(four.by_component), Component.ROUTED_EXPERTS: dict(eight.by_component)[Component.ROUTED_EXPERTS]}
    assert dict(data.by_component) == expected


def test_embedding_lies_on_the_first_and_the_output_head_on_the_last_stage():
    first, middle, last = (
        dict(stage.by_component)
        for stage in stage_weights(shape("deepseek-ai/deepseek-llm-67b-chat"), Parallelism(pipeline=3))
    )
    table = 102_400 * 8192 * 2
    assert (first.get(Component.EMBEDDINGS), first.get(Component.LM_HEAD)) == (table, None)
    assert (middle.get(Component.EMBEDDINGS), middle.get(Component.LM_HEAD)) == (None, None)
    assert (last.get(Component.EMBEDDINGS), last.get(Component.LM_HEAD)) == (None, table)


def test_a_tied_table_is_counted_once_and_lies_on_both_ends_of_a_pipeline():
    tied = replace(shape("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"), tie_word_embeddings=True)
    assert Component.LM_HEAD not in parameter_counts(tied)
    (whole,) = stage_weights(tied, Parallelism())
    first, last = stage_weights(tied, Parallelism(pipeline=2))
    table = dict(whole.by_component)[Component.EMBEDDINGS]
    assert dict(first.by_component)[Component.EMBEDDINGS] == table
    assert dict(last.by_component)[Component.EMBEDDINGS] == table


def test_quantization_leaves_vocabulary_norms_and_router_alone():
    model = shape("deepseek-ai/DeepSeek-V2-Lite")
    (native,) = stage_weights(model, Parallelism())
    (four_bit,) = stage_weights(model, Parallelism(), LinearFormat(weight_bits=4))
    changed = {
        component
        for (component, before), (_, after) in zip(native.by_component, four_bit.by_component, strict=True)
        if before != after
    }
    assert changed == {
        Component.ATTENTION,
        Component.DENSE_MLP,
        Component.ROUTED_EXPERTS,
        Component.SHARED_EXPERTS,
    }


def test_draft_layers_are_counted_apart():
    assert sum(draft_parameter_counts(shape(R1)).values()) == 11_610_068_224 + 1_853_358_080
    assert sum(draft_parameter_counts(shape("deepseek-ai/deepseek-llm-67b-chat")).values()) == 0


@pytest.mark.parametrize(
    ("output_bias", "more"),
    [
        pytest.param(False, 64 * 128 + 2 * 8 * 128, id="of queries, keys and values"),
        pytest.param(True, 64 * 128 + 2 * 8 * 128 + 8192, id="of the output projection too"),
    ],
)
def test_attention_biases_are_counted_in_every_layer(output_bias: bool, more: int):
    plain = shape("deepseek-ai/deepseek-llm-67b-chat")
    biased = replace(plain, attention=replace(plain.attention, bias=True, output_bias=output_bias))
    counted = parameter_counts(biased)[Component.ATTENTION] - parameter_counts(plain)[Component.ATTENTION]
    assert counted == 95 * more
