from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.catalog import models
from deepseek_operator.catalog.hf_config import shape_from_config
from deepseek_operator.catalog.shapes import (
    BlockDraft,
    CompressedAttention,
    Engram,
    MixtureOfExperts,
    ModelShape,
    StoredPrecision,
    VisionTower,
    VisionTowerKind,
)
from deepseek_operator.errors import UnsupportedModelError

FLASH = "deepseek-ai/DeepSeek-V4-Flash"
FLASH_0731 = "deepseek-ai/DeepSeek-V4-Flash-0731"
VISION = "deepseek-ai/DeepSeek-V4-Flash-Vision-Exp"
V41 = "deepseek-ai/DeepSeek-V4.1-Flash"
ABSENT = object()


def config(name: str, inside: str = "", **changes: object) -> dict[str, Any]:
    """The model's config with fields changed, at the top or in the object of that name."""
    whole = dict(models.model(name).config)
    part = {**(whole[inside] if inside else whole), **changes}
    kept = {field: value for field, value in part.items() if value is not ABSENT}
    return {**whole, inside: kept} if inside else kept


def test_v4_with_a_block_draft():
    assert models.shape(FLASH_0731) == ModelShape(
        architecture="DeepseekV4ForCausalLM",
        model_type="deepseek_v4",
        num_layers=43,
        hidden_size=4096,
        vocab_size=129_280,
        max_position_embeddings=1_048_576,
        intermediate_size=2048,
        tie_word_embeddings=False,
        attention=CompressedAttention(
            num_heads=64,
            head_dim=512,
            qk_rope_head_dim=64,
            q_lora_rank=1024,
            o_lora_rank=1024,
            o_groups=8,
            sliding_window=128,
            compress_ratios=(0, 0, *(4, 128) * 20, 4),
            index_num_heads=64,
            index_head_dim=128,
            index_topk=512,
        ),
        experts=MixtureOfExperts(
            num_experts=256,
            num_experts_per_token=6,
            num_shared_experts=1,
            expert_intermediate_size=2048,
            num_dense_layers=0,
            router_bias=True,
            num_hash_layers=3,
            stored_fp4=True,
        ),
        stored_precision=StoredPrecision.FP8_BLOCK,
        quantization_block=(128, 128),
        quantization_scale_bits=8,
        block_draft=BlockDraft(
            num_layers=3,
            target_layers=(40, 41, 42),
            block_size=5,
            markov_rank=256,
            num_experts=256,
            num_experts_per_token=6,
        ),
        hyper_connection_streams=4,
        hyper_connection_head=True,
    )


def test_v41_with_nested_fields():
    assert models.shape(V41) == ModelShape(
        architecture="DeepseekV41ForCausalLM",
        model_type="deepseek_v41",
        num_layers=40,
        hidden_size=5120,
        vocab_size=129_280,
        max_position_embeddings=1_048_576,
        intermediate_size=2304,
        tie_word_embeddings=False,
        attention=CompressedAttention(
            num_heads=64,
            head_dim=512,
            qk_rope_head_dim=64,
            q_lora_rank=1280,
            o_lora_rank=1024,
            o_groups=8,
            sliding_window=128,
            compress_ratios=(0, 0, *(2,) * 18, *(1,) * 20),
            index_num_heads=32,
            index_head_dim=128,
            index_topk=512,
            kv_source_layers=(2, 8, 14, 20),
            index_source_layers=(2, 8, 14, 20, 24, 28, 32, 36),
        ),
        experts=MixtureOfExperts(
            num_experts=384,
            num_experts_per_token=6,
            num_shared_experts=1,
            expert_intermediate_size=2304,
            num_dense_layers=0,
            router_bias=True,
            stored_fp4=True,
            router_image_bias=True,
        ),
        stored_precision=StoredPrecision.FP8_BLOCK,
        quantization_block=(32, 32),
        quantization_scale_bits=8,
        block_draft=BlockDraft(
            num_layers=3,
            target_layers=(37, 38, 39),
            block_size=5,
            markov_rank=256,
            num_experts=128,
            num_experts_per_token=3,
        ),
        hyper_connection_streams=4,
        engram=Engram(
            layers=(1, 14),
            num_embeddings=(384_006_168, 384_016_682),
            num_heads=8,
            head_dim=256,
            max_ngram_size=4,
        ),
        vision=VisionTower(
            kind=VisionTowerKind.DEEPSEEK_V4,
            num_layers=32,
            hidden_size=1024,
            intermediate_size=2816,
            patch_size=14,
            num_heads=16,
            downsample_ratio=3,
            num_marker_vectors=3,
        ),
    )


def test_the_older_draft_is_counted_in_layers_and_the_block_draft_replaces_it():
    older, newer = models.shape(FLASH), models.shape(FLASH_0731)
    assert (older.num_draft_layers, older.block_draft) == (1, None)
    assert newer.num_draft_layers == 0


def test_v4_that_reads_images_has_the_encoder_of_its_flat_fields():
    shape = models.shape(VISION)
    assert shape.vision is not None
    assert shape.experts is not None
    assert (shape.vision.num_layers, shape.vision.num_marker_vectors) == (32, 4)
    assert shape.experts.router_image_bias


def test_experts_without_a_dtype_are_fp4_as_the_engine_takes_them():
    assert shape_from_config(config(FLASH, expert_dtype=ABSENT)) == models.shape(FLASH)


def test_experts_in_fp8_have_blocks_of_their_own():
    shape = models.shape("deepseek-ai/DeepSeek-V4-Flash-Base")
    assert shape.experts is not None
    assert (shape.experts.stored_fp4, shape.experts.stored_block) == (False, (1, 128))


def test_an_unquantized_copy_has_no_fp4_experts():
    shape = shape_from_config(config(FLASH, quantization_config=ABSENT))
    assert shape.experts is not None
    assert (shape.stored_precision, shape.quantization_block) == (StoredPrecision.BFLOAT16, None)
    assert (shape.experts.stored_fp4, shape.experts.stored_block) == (False, None)


@pytest.mark.parametrize(
    ("name", "inside", "changes", "said"),
    [
        pytest.param(FLASH, "", {"compress_ratios": ABSENT}, "compress_ratios is missing", id="no ratios"),
        pytest.param(FLASH, "", {"compress_ratios": [4] * 42}, "for each of the 43 layers", id="a ratio too few"),
        pytest.param(FLASH, "", {"compress_ratios": [8] * 43}, "one of 0, 4, 128", id="a ratio without a kernel"),
        pytest.param(FLASH, "", {"compress_ratios": [True] * 43}, "whole numbers from 0", id="a bool is no ratio"),
        pytest.param(FLASH, "", {"compress_ratios": "4"}, "a list of whole numbers", id="ratios as text"),
        pytest.param(FLASH, "", {"compress_ratios": [4] * 10_001}, "a list of whole numbers", id="endless ratios"),
        pytest.param(FLASH, "", {"num_key_value_heads": 8}, "num_key_value_heads is 8; expected 1", id="kv heads"),
        pytest.param(FLASH, "", {"o_groups": 7}, "a divisor of num_attention_heads (64)", id="uneven output groups"),
        pytest.param(FLASH, "", {"qk_rope_head_dim": 1024}, "at most head_dim (512)", id="positions wider than a head"),
        pytest.param(FLASH, "", {"attention_bias": True}, "attention_bias is true", id="biases"),
        pytest.param(FLASH, "", {"hc_mult": ABSENT}, "hc_mult is missing", id="no streams"),
        pytest.param(FLASH, "", {"num_experts_per_tok": 257}, "at most n_routed_experts (256)", id="too many experts"),
        pytest.param(FLASH, "", {"num_hash_layers": 44}, "at most num_hidden_layers (43)", id="too many hash layers"),
        pytest.param(FLASH, "", {"expert_dtype": "int4"}, "expert_dtype is 'int4'; expected fp4 or fp8", id="experts"),
        pytest.param(
            FLASH,
            "",
            {"quantization_config": {"quant_method": "fp8", "activation_scheme": "dynamic"}},
            "fp8 with a weight_block_size",
            id="fp8 without blocks",
        ),
        pytest.param(
            FLASH,
            "quantization_config",
            {"ignored_layers": ["layers.0.attn.wq_b"]},
            "quantization_config.ignored_layers is a list; expected an empty list",
            id="unquantized modules",
        ),
        pytest.param(
            FLASH,
            "quantization_config",
            {"moe_quant_algo": "NVFP4"},
            "quantization_config.moe_quant_algo is 'NVFP4'",
            id="experts in another format",
        ),
        pytest.param(
            FLASH_0731, "", {"dspark_target_layer_ids": [43]}, "layers below num_hidden_layers (43)", id="draft target"
        ),
        pytest.param(VISION, "", {"vision_n_heads": 15}, "a divisor of vision_dim (1024)", id="uneven encoder heads"),
        pytest.param(VISION, "", {"vision_inter_dim": ABSENT}, "vision_inter_dim is missing", id="no encoder width"),
        pytest.param(V41, "", {"text_config": ABSENT}, "text_config", id="no decoder"),
        pytest.param(V41, "text_config", {"hidden_size": 0}, "text_config.hidden_size is 0", id="a nested field"),
        pytest.param(V41, "text_config", {"kv_source_layer_ids": [1]}, "compress_ratios is not 0", id="source"),
        pytest.param(V41, "text_config", {"kv_source_layer_ids": [8]}, "starts at or before layer 2", id="late source"),
        pytest.param(V41, "text_config", {"kv_source_layer_ids": ABSENT}, "kv_source_layer_ids is missing", id="none"),
        pytest.param(
            V41,
            "text_config",
            {"index_source_layer_ids": [2, 8]},
            "every layer of kv_source_layer_ids",
            id="a source without an indexer",
        ),
        pytest.param(
            V41, "text_config", {"engram_layer_ids": [1, 40]}, "different layers below", id="a table behind the model"
        ),
        pytest.param(
            V41, "text_config", {"engram_num_embeddings": [5]}, "one number for each of the 2", id="a table missing"
        ),
        pytest.param(
            V41, "vision_config", {"num_attention_heads": 3}, "vision_config.num_attention_heads is 3", id="heads"
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_by_its_field(name: str, inside: str, changes: dict[str, object], said: str):
    with pytest.raises(UnsupportedModelError) as refused:
        shape_from_config(config(name, inside, **changes))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
