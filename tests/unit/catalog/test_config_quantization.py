from __future__ import annotations

from fractions import Fraction

import pytest

from deepseek_operator.catalog.hf_config import shape_from_config
from deepseek_operator.catalog.models import model
from deepseek_operator.catalog.shapes import ModelShape, StoredPrecision
from deepseek_operator.errors import UnsupportedModelError

LLAMA = "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
V3 = "deepseek-ai/DeepSeek-V3"

AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}
INT8 = {"type": "int", "num_bits": 8, "strategy": "channel", "symmetric": True}
FP8 = {"type": "float", "num_bits": 8, "strategy": "channel", "symmetric": True}
INT4 = {"type": "int", "num_bits": 4, "strategy": "group", "group_size": 128, "symmetric": True, "actorder": None}
NVFP4 = {"type": "float", "num_bits": 4, "strategy": "tensor_group", "group_size": 16, "symmetric": True}
MODELOPT = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}
QUARK_WEIGHT = {"dtype": "fp4", "qscheme": "per_group", "group_size": 32, "scale_format": "e8m0"}


def compressed(weights: dict[str, object], *, activations: bool = False, **more: object) -> dict[str, object]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": {"num_bits": 8} if activations else None}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, "ignore": ["lm_head"], **more}


def quark(weight: dict[str, object], **more: object) -> dict[str, object]:
    return {"quant_method": "quark", "global_quant_config": {"weight": weight}, "exclude": ["lm_head"], **more}


def stored(quantization: object, name: str = LLAMA) -> ModelShape:
    return shape_from_config({**model(name).config, "quantization_config": quantization})


@pytest.mark.parametrize(
    ("quantization", "precision", "bits"),
    [
        pytest.param({"quant_method": "fp8", "activation_scheme": "dynamic"}, StoredPrecision.FP8, 8, id="fp8"),
        pytest.param({"quant_method": "fbgemm_fp8"}, StoredPrecision.FP8, 8, id="fp8 of fbgemm"),
        pytest.param(AWQ, StoredPrecision.AWQ, Fraction(133, 32), id="awq"),
        pytest.param({**AWQ, "group_size": 64}, StoredPrecision.AWQ, 4 + Fraction(20, 64), id="awq g64"),
        pytest.param({"quant_method": "awq", "w_bit": 4, "q_group_size": -1}, StoredPrecision.AWQ, 4, id="awq rows"),
        pytest.param(GPTQ, StoredPrecision.GPTQ, Fraction(133, 32), id="gptq"),
        pytest.param(
            {**GPTQ, "group_size": 32, "bits": 8}, StoredPrecision.GPTQ, 8 + Fraction(24, 32), id="gptq 8 bits"
        ),
        pytest.param({**GPTQ, "quant_method": "gptq_marlin"}, StoredPrecision.GPTQ, Fraction(133, 32), id="marlin"),
        pytest.param({**GPTQ, "desc_act": True}, StoredPrecision.GPTQ_REORDERED, Fraction(133, 32), id="desc_act"),
        pytest.param({**GPTQ, "desc_act": True, "group_size": -1}, StoredPrecision.GPTQ, 4, id="desc_act of rows"),
        pytest.param(compressed(INT4), StoredPrecision.GPTQ, Fraction(33, 8), id="w4a16"),
        pytest.param(
            compressed({**INT4, "symmetric": False}), StoredPrecision.GPTQ, Fraction(133, 32), id="w4a16 with zeros"
        ),
        pytest.param(compressed({**INT4, "strategy": "channel"}), StoredPrecision.GPTQ, 4, id="w4a16 per channel"),
        pytest.param(compressed(INT8, activations=True), StoredPrecision.INT8, 8, id="w8a8"),
        pytest.param(compressed(FP8, activations=True), StoredPrecision.FP8, 8, id="fp8 per channel"),
        pytest.param(compressed({**FP8, "strategy": "tensor"}), StoredPrecision.FP8, 8, id="fp8 per tensor"),
        pytest.param(compressed(NVFP4), StoredPrecision.NVFP4, Fraction(9, 2), id="nvfp4"),
        pytest.param(
            compressed({**NVFP4, "strategy": "group", "group_size": 32}),
            StoredPrecision.MXFP4,
            Fraction(17, 4),
            id="mxfp4 of compressed-tensors",
        ),
        pytest.param(
            compressed({**FP8, "strategy": "group", "group_size": 32}),
            StoredPrecision.MXFP8,
            Fraction(33, 4),
            id="mxfp8 of compressed-tensors",
        ),
        pytest.param(
            compressed(FP8, sparsity_config={"format": "sparse-24-bitmask"}),
            StoredPrecision.SPARSE_24,
            5,
            id="2:4 sparse fp8",
        ),
        pytest.param(
            {"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24-bitmask"}},
            StoredPrecision.SPARSE_24,
            9,
            id="2:4 sparse",
        ),
        pytest.param(MODELOPT, StoredPrecision.NVFP4, Fraction(9, 2), id="modelopt nvfp4"),
        pytest.param({**MODELOPT, "quant_algo": "FP8"}, StoredPrecision.FP8, 8, id="modelopt fp8"),
        pytest.param(
            {"quant_method": "modelopt", "quantization": {"quant_algo": "MXFP8", "exclude_modules": ["lm_head"]}},
            StoredPrecision.MXFP8,
            Fraction(33, 4),
            id="modelopt's own file",
        ),
        pytest.param({"quant_method": "mxfp4"}, StoredPrecision.MXFP4, Fraction(17, 4), id="mxfp4"),
        pytest.param(
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
            StoredPrecision.BITSANDBYTES,
            Fraction(9, 2),
            id="nf4",
        ),
        pytest.param(
            {"quant_method": "bitsandbytes", "load_in_8bit": True}, StoredPrecision.BITSANDBYTES, 8, id="int8"
        ),
        pytest.param(quark(QUARK_WEIGHT), StoredPrecision.MXFP4, Fraction(17, 4), id="quark mxfp4"),
        pytest.param(
            quark({"dtype": "int8", "qscheme": "per_channel"}), StoredPrecision.INT8, 8, id="quark int8 per channel"
        ),
    ],
)
def test_what_a_checkpoint_stores(quantization: object, precision: StoredPrecision, bits: Fraction | int):
    shape = stored(quantization)
    assert shape.stored_linear is not None
    assert (shape.stored_precision, shape.stored_linear.bits_per_weight) == (precision, bits)


@pytest.mark.parametrize(
    "quantization",
    [
        pytest.param({"quant_method": "fp8", "weight_block_size": [128, 64]}, id="fp8"),
        pytest.param(compressed({**FP8, "strategy": "block", "block_structure": [128, 64]}), id="compressed-tensors"),
        pytest.param(quark({"dtype": "fp8_e4m3", "qscheme": "per_block", "block_size": [128, 64]}), id="quark"),
    ],
)
def test_blocks_of_fp8(quantization: object):
    shape = stored(quantization)
    assert (shape.stored_precision, shape.quantization_block) == (StoredPrecision.FP8_BLOCK, (128, 64))


@pytest.mark.parametrize(
    ("quantization", "said"),
    [
        pytest.param({**AWQ, "bits": 8}, "quantization_config.bits is 8; expected 4", id="awq of 8 bits"),
        pytest.param({**AWQ, "group_size": 16}, "group_size is 16; expected 32, 64, 128 or -1", id="no such kernel"),
        pytest.param({**AWQ, "zero_point": False}, "zero_point is false", id="awq without zeros"),
        pytest.param({**GPTQ, "sym": False}, "sym is false", id="asymmetric gptq"),
        pytest.param({**GPTQ, "bits": 3}, "bits is 3; expected 4 or 8", id="gptq of 3 bits"),
        pytest.param({**GPTQ, "lm_head": True}, "lm_head is true", id="quantized head"),
        pytest.param({**GPTQ, "dynamic": {"+:a": {}}}, "dynamic is a dict", id="gptq rules"),
        pytest.param({"quant_method": "bitsandbytes"}, "load_in_4bit is missing", id="neither 4 nor 8 bits"),
        pytest.param(compressed({**INT4, "actorder": "group"}), "weights.actorder is 'group'", id="reordered"),
        pytest.param(compressed({**INT4, "num_bits": 2}), "weights.num_bits is 2; expected 4 or 8", id="2 bits"),
        pytest.param(compressed(INT4, activations=True), "weights.num_bits is 4; expected 8", id="w4a8"),
        pytest.param(compressed(INT4, ignore="lm_head"), "ignore is 'lm_head'; expected a list", id="no list"),
        pytest.param(compressed(INT4, ignore=["re:(a+)+$"]), "without repeated groups", id="exponential expression"),
        pytest.param(compressed(INT4, ignore=["re:a.*b.*c.*d.*e.*"]), "at most 4 repetitions", id="slow expression"),
        pytest.param(compressed(INT4, ignore=["re:.*a.*b.*c.*"]), "fewer repetitions", id="slow for a model"),
        pytest.param(
            compressed(INT4, ignore=[f"re:.*a.*{number}" for number in range(60)]),
            "fewer regular expressions",
            id="too many expressions",
        ),
        pytest.param(compressed(INT4, ignore=["re:[b"]), "regular expressions", id="broken expression"),
        pytest.param(compressed(INT4, ignore=["x"] * 5000), "at most 4,096 names", id="an endless list"),
        pytest.param(
            compressed(INT4, ignore=["re:.*q_proj"]),
            "quantization_config.ignore names some but not all of model.layers.0.self_attn.q_proj",
            id="part of a fused module",
        ),
        pytest.param(
            {"quant_method": "compressed-tensors", "config_groups": {"g": {"targets": ["re:.*mlp.*"]}}},
            "config_groups.g.targets is a list",
            id="single modules as targets",
        ),
        pytest.param({**MODELOPT, "ignore": ["*a*b*c*d*e"]}, "at most 4 asterisks", id="a slow shell pattern"),
        pytest.param({**MODELOPT, "ignore": []}, "ignore is a list; expected a list with lm_head", id="nvfp4 head"),
        pytest.param({**MODELOPT, "quant_algo": "MIXED_PRECISION"}, "quant_algo is 'MIXED_PRECISION'", id="mixed"),
        pytest.param(quark({**QUARK_WEIGHT, "dtype": "fp6"}), "weight.dtype is 'fp6'", id="quark fp6"),
        pytest.param(quark(QUARK_WEIGHT, layer_quant_config={"a": {}}), "layer_quant_config is a dict", id="layers"),
        pytest.param({"quant_method": "gguf"}, "quant_method is 'gguf'", id="a file format"),
    ],
)
def test_what_is_not_known_is_refused_by_field(quantization: object, said: str):
    with pytest.raises(UnsupportedModelError) as refused:
        stored(quantization)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("quantization", "modules"),
    [
        pytest.param({**AWQ, "modules_to_not_convert": ["self_attn.kv_b_proj"]}, {"self_attn.kv_b_proj"}, id="awq"),
        pytest.param(
            compressed(INT4, ignore=["lm_head", "re:.*mlp.gate$", "re:.*shared_experts.*"]),
            {"mlp.shared_experts.gate_up_proj", "mlp.shared_experts.down_proj"},
            id="expressions",
        ),
        pytest.param(
            {**MODELOPT, "ignore": ["lm_head", *(f"model.layers.{layer}.self_attn*" for layer in range(61))]},
            {
                "self_attn.fused_qkv_a_proj",
                "self_attn.q_b_proj",
                "self_attn.kv_b_proj",
                "self_attn.o_proj",
            },
            id="shell patterns",
        ),
        pytest.param({"quant_method": "mxfp4", "modules_to_not_convert": ["self_attn"]}, set(), id="experts alone"),
    ],
)
def test_modules_that_stay_unquantized(quantization: object, modules: set[str]):
    exceptions = stored(quantization, V3).format_exceptions
    found = {module for exception in exceptions for module, layer in exception.modules if layer < 61}
    assert found == modules


def test_single_layers_stay_unquantized():
    listed = ["model.layers.61.mlp.experts.0.up_proj", "model.layers.3.mlp.experts.0.up_proj"]
    block = {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": listed}
    (exception,) = stored(block, V3).format_exceptions
    assert exception.modules == {("mlp.experts", 3), ("mlp.experts", 61)}
