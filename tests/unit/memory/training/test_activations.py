"""The published sums are reproduced to the byte; other layers follow from the same terms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.shapes import (
    Engram,
    GroupedQueryAttention,
    ModelShape,
    VisionTower,
    VisionTowerKind,
)
from deepseek_operator.errors import UnsupportedModelError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.stages import stages
from deepseek_operator.memory.training.activations import (
    LayerActivations,
    attention_widths,
    layer_activations,
    layer_bytes,
    mlp_widths,
)
from deepseek_operator.memory.training.settings import ActivationCheckpointing, TrainingDtype, TrainingSettings
from deepseek_operator.memory.training.stage_activations import stage_activations

S, B, H, A, T = 2048, 4, 6144, 64, 8
GPT = ModelShape(
    architecture="LlamaForCausalLM",
    model_type="llama",
    num_layers=48,
    hidden_size=H,
    vocab_size=51_200,
    max_position_embeddings=S,
    intermediate_size=4 * H,
    tie_word_embeddings=False,
    attention=GroupedQueryAttention(num_heads=A, num_kv_heads=A, head_dim=H // A),
)
AS_PUBLISHED = TrainingSettings(micro_batch_size=B, sequence_length=S, flash_attention=False, dropout=True)


def gpt_layer(split: Parallelism, settings: TrainingSettings, model: ModelShape = GPT) -> LayerActivations:
    widths = attention_widths(model, split, settings) + mlp_widths(model.intermediate_size, settings, gated=False)
    return layer_bytes(model.hidden_size, model.attention.num_heads, widths, split, settings)


def test_a_gpt_layer_keeps_34_sbh_and_5_as2b():
    layer = gpt_layer(Parallelism(), AS_PUBLISHED)
    assert layer == LayerActivations(
        linear_bytes=34 * S * B * H, score_bytes=5 * A * S * S * B, input_bytes=2 * S * B * H
    )


def test_tensor_parallelism_leaves_ten_sbh_whole():
    layer = gpt_layer(Parallelism(tensor=T), AS_PUBLISHED)
    assert layer.total_bytes == S * B * H * 10 + S * B * H * 24 // T + 5 * A * S * S * B // T


def test_sequence_parallelism_divides_everything():
    layer = gpt_layer(Parallelism(tensor=T), replace(AS_PUBLISHED, sequence_parallel=True))
    assert layer == LayerActivations(
        linear_bytes=34 * S * B * H // T, score_bytes=5 * A * S * S * B // T, input_bytes=2 * S * B * H // T
    )


@pytest.mark.parametrize(
    ("hidden_size", "heads", "percent"),
    [pytest.param(12_288, 96, 70, id="GPT-3"), pytest.param(20_480, 128, 65, id="MT-NLG")],
)
def test_selective_recomputation_saves_what_was_published(hidden_size: int, heads: int, percent: int):
    model = replace(
        GPT,
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        attention=GroupedQueryAttention(num_heads=heads, num_kv_heads=heads, head_dim=hidden_size // heads),
    )
    layer = gpt_layer(Parallelism(), AS_PUBLISHED, model)
    assert round(100 * layer.score_bytes / layer.total_bytes) == percent


@pytest.mark.parametrize(
    ("changes", "per_token"),
    [
        pytest.param({}, 8 * 4096 + 2 * 4 * 4096 + 4 * 32 + 2 * 3 * 11_008, id="norms, attention, statistics, MLP"),
        pytest.param({"fused_kernels": False}, 16 * 4096 + 2 * 4 * 4096 + 4 * 32 + 2 * 4 * 11_008, id="plain PyTorch"),
        pytest.param({"dtype": TrainingDtype.FLOAT32}, 16 * 4096 + 4 * 4 * 4096 + 4 * 32 + 4 * 3 * 11_008, id="FP32"),
        pytest.param({"flash_attention": False}, 8 * 4096 + 2 * 4 * 4096 + 2 * 3 * 11_008, id="no statistics"),
    ],
)
def test_a_gated_layer(changes: dict[str, object], per_token: int):
    model = shape("deepseek-ai/deepseek-llm-7b-base")
    layer = layer_activations(model, Parallelism(), replace(TrainingSettings(), **changes), is_moe=False)
    assert layer.linear_bytes == 4096 * per_token


def test_plain_pytorch_keeps_the_softmax_twice():
    model = shape("deepseek-ai/deepseek-llm-7b-base")
    settings = TrainingSettings(flash_attention=False, fused_kernels=False)
    assert layer_activations(model, Parallelism(), settings, is_moe=False).score_bytes == 32 * 4096 * 4096 * (4 + 2)


def test_grouped_keys_and_normed_queries_are_counted():
    model = shape("deepseek-ai/DeepSeek-R1-0528-Qwen3-8B")
    query, key = 32 * 128, 8 * 128
    assert attention_widths(model, Parallelism(), AS_PUBLISHED).divided == 2 * query + 2 * key + query + key


def test_latent_attention_trains_in_its_multi_head_form():
    widths = attention_widths(shape("deepseek-ai/DeepSeek-R1"), Parallelism(), TrainingSettings())
    assert (widths.replicated, widths.divided, widths.divided_bytes) == (
        2 * 1536 + 2 * 512 + 64,
        128 * (192 + 192 + 128 + 128),
        4 * 128,
    )


def test_experts_keep_the_copies_of_each_token():
    model = shape("deepseek-ai/DeepSeek-V2-Lite")
    assert model.experts is not None
    moe, dense = (
        layer_activations(model, Parallelism(), TrainingSettings(), is_moe=is_moe).linear_bytes
        for is_moe in (True, False)
    )
    routed = 2 * (2 * 6 * 2048 + 3 * (6 + 2) * 1408) + 8 * 64
    assert moe - dense == 4096 * (routed - 2 * 3 * model.intermediate_size)


def test_the_first_stage_keeps_one_micro_batch_per_stage_in_flight():
    model = shape("deepseek-ai/deepseek-llm-7b-base")
    settings = replace(TrainingSettings(), gradient_accumulation_steps=3)
    split = Parallelism(pipeline=5)
    found = [stage_activations(model, stage, split, settings) for stage in stages(model, 5)]
    assert [each.micro_batches_in_flight for each in found] == [3, 3, 3, 2, 1]
    assert [each.loss_bytes for each in found[:-1]] == [0, 0, 0, 0]


def test_full_checkpointing_keeps_inputs_and_one_layer():
    model = shape("deepseek-ai/deepseek-llm-7b-base")
    settings = TrainingSettings(activation_checkpointing=ActivationCheckpointing.FULL)
    (stage,) = stages(model, 1)
    layer = layer_activations(model, Parallelism(), settings, is_moe=False)
    logits = 4096 * (2 * 2 * 4096 + 4 * 102_400)
    found = stage_activations(model, stage, Parallelism(), settings)
    assert (found.kept_bytes, found.recomputed_bytes, found.loss_bytes) == (
        30 * 2 * 4096 * 4096,
        layer.total_bytes,
        logits,
    )
    assert found.total_bytes == found.kept_bytes + max(layer.total_bytes, logits)


VISION = VisionTower(kind=VisionTowerKind.SIGLIP, num_layers=1, hidden_size=1, intermediate_size=1, patch_size=1)
TABLES = Engram(layers=(1,), num_embeddings=(10,), num_heads=1, head_dim=1, max_ngram_size=2)


@pytest.mark.parametrize(
    ("model", "part"),
    [
        pytest.param(shape("deepseek-ai/DeepSeek-V3.2"), "indexer", id="V3.2"),
        pytest.param(replace(GPT, hyper_connection_streams=4), "residual streams", id="hyper-connections"),
        pytest.param(replace(GPT, engram=TABLES), "look-up tables", id="Engram"),
        pytest.param(replace(GPT, vision=VISION), "image encoder", id="vision"),
    ],
)
def test_what_the_formulas_do_not_describe_is_refused_by_name(model: ModelShape, part: str):
    with pytest.raises(UnsupportedModelError, match=f"{model.architecture} is not known.*{part}"):
        layer_activations(model, Parallelism(), TrainingSettings(), is_moe=False)
