from __future__ import annotations

import math

import pytest

from deepseek_operator.catalog import models
from deepseek_operator.catalog.hf_config import shape_from_config, supported_architectures
from deepseek_operator.catalog.shapes import GroupedQueryAttention, StoredPrecision
from deepseek_operator.errors import UnsupportedModelError

LLAMA = "deepseek-ai/deepseek-llm-67b-chat"
QWEN2 = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
QWEN3 = "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B"
V2_LITE = "deepseek-ai/DeepSeek-V2-Lite"
V3 = "deepseek-ai/DeepSeek-V3"
V32 = "deepseek-ai/DeepSeek-V3.2"
ABSENT = object()


def config(name: str, **changes: object) -> dict[str, object]:
    changed = {**models.model(name).config, **changes}
    return {field: value for field, value in changed.items() if value is not ABSENT}


@pytest.mark.parametrize(
    ("name", "field", "value", "said"),
    [
        pytest.param(LLAMA, "architectures", ABSENT, "architectures is missing", id="no architecture"),
        pytest.param(LLAMA, "architectures", "LlamaForCausalLM", "expected a list", id="architecture as text"),
        pytest.param(LLAMA, "architectures", ["MixtralForCausalLM"], "'MixtralForCausalLM'", id="another class"),
        pytest.param(LLAMA, "architectures", ["A", "B"], "expected a list with one", id="two architectures"),
        pytest.param(LLAMA, "hidden_size", ABSENT, "hidden_size is missing", id="missing number"),
        pytest.param(LLAMA, "hidden_size", None, "hidden_size is null", id="null number"),
        pytest.param(LLAMA, "hidden_size", True, "hidden_size is true", id="a bool is no number"),
        pytest.param(LLAMA, "hidden_size", 4096.0, "hidden_size is 4096.0", id="a float is no whole number"),
        pytest.param(LLAMA, "hidden_size", math.nan, "hidden_size is nan", id="not a number"),
        pytest.param(LLAMA, "hidden_size", math.inf, "hidden_size is inf", id="infinite"),
        pytest.param(LLAMA, "hidden_size", "8192", "hidden_size is '8192'", id="a string is no number"),
        pytest.param(LLAMA, "hidden_size", [8192], "hidden_size is a list", id="a list is no number"),
        pytest.param(LLAMA, "hidden_size", -8192, "hidden_size is -8192", id="negative"),
        pytest.param(LLAMA, "hidden_size", 0, "hidden_size is 0", id="zero"),
        pytest.param(LLAMA, "hidden_size", 10**12, "hidden_size is 1000000000000", id="absurdly large"),
        pytest.param(LLAMA, "hidden_size", 10**5000, "more than 18 digits", id="thousands of digits"),
        pytest.param(LLAMA, "num_hidden_layers", 10**9, "from 1 to 2,000", id="absurdly deep"),
        pytest.param(LLAMA, "num_key_value_heads", 7, "a divisor of num_attention_heads (64)", id="uneven heads"),
        pytest.param(LLAMA, "torch_dtype", ABSENT, "torch_dtype is missing", id="no precision"),
        pytest.param(LLAMA, "torch_dtype", "int4", "expected bfloat16", id="unknown precision"),
        pytest.param(LLAMA, "torch_dtype", 16, "torch_dtype is 16", id="precision as number"),
        pytest.param(LLAMA, "tie_word_embeddings", "false", "expected true or false", id="a string is no bool"),
        pytest.param(LLAMA, "model_type", 1, "model_type is 1", id="model type as number"),
        pytest.param(QWEN2, "num_key_value_heads", ABSENT, "is missing", id="qwen2's default is one model's"),
        pytest.param(QWEN2, "use_sliding_window", True, "use_sliding_window is true", id="sliding window"),
        pytest.param(V2_LITE, "q_lora_rank", ABSENT, "or null when the model has none", id="silent query rank"),
        pytest.param(V2_LITE, "kv_lora_rank", ABSENT, "kv_lora_rank is missing", id="no latent rank"),
        pytest.param(V2_LITE, "n_shared_experts", ABSENT, "n_shared_experts is missing", id="shared experts"),
        pytest.param(V2_LITE, "moe_layer_freq", 2, "moe_layer_freq is 2; expected 1", id="sparse expert layers"),
        pytest.param(V2_LITE, "use_mla", False, "use_mla is false", id="v2 without latent attention"),
        pytest.param(V2_LITE, "attention_bias", True, "attention_bias is true", id="latent attention with bias"),
        pytest.param(V3, "first_k_dense_replace", 62, "at most num_hidden_layers (61)", id="too many dense layers"),
        pytest.param(V3, "num_experts_per_tok", 257, "at most n_routed_experts (256)", id="too many active experts"),
        pytest.param(V3, "quantization_config", "fp8", "expected an object", id="quantization as text"),
        pytest.param(V3, "quantization_config", {}, "quant_method is missing", id="quantization without method"),
        pytest.param(
            V3,
            "quantization_config",
            {"quant_method": "torchao"},
            "quant_method is 'torchao'",
            id="another quantization",
        ),
        pytest.param(V3, "quantization_config", {"quant_method": "fp8"}, "weight_block_size", id="no block"),
        pytest.param(
            V3,
            "quantization_config",
            {"quant_method": "fp8", "weight_block_size": [128, True]},
            "weight_block_size",
            id="a bool is no block side",
        ),
        pytest.param(V32, "index_topk", ABSENT, "index_topk is missing", id="indexer without size"),
        pytest.param(V32, "q_lora_rank", None, "the indexer reads the compressed query", id="indexer, no rank"),
    ],
)
def test_a_field_that_cannot_be_planned_is_named(name: str, field: str, value: object, said: str):
    with pytest.raises(UnsupportedModelError) as refused:
        shape_from_config(config(name, **{field: value}))
    message = str(refused.value)
    assert said in message
    assert "\n" not in message
    assert len(message) < 400


def test_an_empty_config_names_the_first_thing_to_write():
    with pytest.raises(UnsupportedModelError, match="architectures is missing"):
        shape_from_config({})


def test_a_long_architecture_is_not_echoed_whole():
    with pytest.raises(UnsupportedModelError) as refused:
        shape_from_config({"architectures": ["x" * 100_000]})
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        pytest.param(
            {"head_dim": ABSENT, "num_key_value_heads": ABSENT},
            GroupedQueryAttention(num_heads=64, num_kv_heads=64, head_dim=128),
            id="an old config has one key-value head per head",
        ),
        pytest.param(
            {"head_dim": 96},
            GroupedQueryAttention(num_heads=64, num_kv_heads=8, head_dim=96),
            id="head_dim need not be hidden_size over heads",
        ),
        pytest.param(
            {"attention_bias": True},
            GroupedQueryAttention(num_heads=64, num_kv_heads=8, head_dim=128, bias=True, output_bias=True),
            id="llama's bias covers the output projection",
        ),
    ],
)
def test_llama_attention(changes: dict[str, object], want: GroupedQueryAttention):
    assert shape_from_config(config(LLAMA, **changes)).attention == want


def test_qwen3_without_head_dim_has_its_class_default():
    attention = shape_from_config(config(QWEN3, head_dim=ABSENT, hidden_size=5120)).attention
    assert attention == GroupedQueryAttention(num_heads=32, num_kv_heads=8, head_dim=128, qk_norm=True)


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        pytest.param({"torch_dtype": "float16"}, StoredPrecision.FLOAT16, id="the older name of the field"),
        pytest.param({"dtype": "float32"}, StoredPrecision.FLOAT32, id="the newer name wins"),
    ],
)
def test_stored_precision(changes: dict[str, object], want: StoredPrecision):
    assert shape_from_config(config(LLAMA, **changes)).stored_precision is want


def test_a_null_expert_count_is_a_dense_model():
    assert shape_from_config(config(V2_LITE, n_routed_experts=None)).experts is None


@pytest.mark.parametrize(
    ("name", "method", "want"),
    [
        pytest.param(V3, ABSENT, True, id="v3 balances by bias even when the config is silent"),
        pytest.param(V3, "greedy", False, id="what is written wins"),
        pytest.param(V2_LITE, ABSENT, False, id="v2 has no bias"),
        pytest.param(V2_LITE, "noaux_tc", True, id="v2 geometry with v3 routing"),
    ],
)
def test_router_bias(name: str, method: object, want: bool):
    experts = shape_from_config(config(name, topk_method=method)).experts
    assert experts is not None
    assert experts.router_bias is want


def test_covered_architectures():
    assert supported_architectures() == (
        "DeepseekForCausalLM",
        "DeepseekOCR2ForCausalLM",
        "DeepseekOCRForCausalLM",
        "DeepseekV2ForCausalLM",
        "DeepseekV32ForCausalLM",
        "DeepseekV3ForCausalLM",
        "DeepseekV41ForCausalLM",
        "DeepseekV4ForCausalLM",
        "DeepseekVLV2ForCausalLM",
        "LlamaForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
    )
