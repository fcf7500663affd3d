from __future__ import annotations

from fractions import Fraction

import pytest

from deepseek_operator.catalog.gpus import gpu, gpus
from deepseek_operator.catalog.quantizations import (
    quantization,
    quantization_by_vllm_name,
    quantizations,
    runs_on,
)
from deepseek_operator.catalog.shapes import StoredPrecision
from deepseek_operator.errors import UnknownQuantizationError


def test_the_ladder_as_a_whole():
    ladder = [
        (rung.name, rung.vllm_name, rung.bits_per_weight, rung.quality, rung.needs_checkpoint)
        for rung in quantizations()
    ]
    assert ladder == [
        ("Native", "", None, "Lossless", False),
        ("FP8", "fp8_per_tensor", 8, "NearLossless", False),
        ("FP8Checkpoint", "fp8", 8, "NearLossless", True),
        ("INT8W8A8", "compressed-tensors", 8, "NearLossless", True),
        ("NVFP4", "modelopt_fp4", Fraction(9, 2), "NearLossless", True),
        ("AWQ", "awq", Fraction(133, 32), "Economy", True),
        ("GPTQ", "gptq", Fraction(133, 32), "Economy", True),
    ]


def test_names_map_one_to_one():
    for rung in quantizations():
        assert quantization(rung.name) is quantization_by_vllm_name(rung.vllm_name) is rung
        assert rung.source


def test_formats_are_the_words_of_the_gpu_table():
    known = frozenset().union(*(row.formats for row in gpus()))
    for rung in quantizations():
        assert rung.native_formats <= rung.formats <= known


@pytest.mark.parametrize(
    ("gpu_id", "rung", "stored", "want"),
    [
        pytest.param("a100-sxm4-80gb", "Native", StoredPrecision.BFLOAT16, True, id="bf16 on Ampere"),
        pytest.param("t4", "Native", StoredPrecision.BFLOAT16, False, id="Turing has no bf16"),
        pytest.param("t4", "Native", StoredPrecision.FLOAT16, True, id="Turing runs fp16"),
        pytest.param("a100-sxm4-80gb", "Native", StoredPrecision.FP8_BLOCK, True, id="weight-only fp8 on Ampere"),
        pytest.param("v100-sxm2-32gb", "FP8", StoredPrecision.BFLOAT16, False, id="Volta runs no fp8"),
        pytest.param("h100-sxm5-80gb", "NVFP4", StoredPrecision.BFLOAT16, True, id="weight-only nvfp4 on Hopper"),
        pytest.param("mi300x", "NVFP4", StoredPrecision.BFLOAT16, False, id="no nvfp4 on AMD"),
        pytest.param("mi300x", "FP8", StoredPrecision.BFLOAT16, True, id="fp8 on AMD"),
        pytest.param("mi250x", "FP8", StoredPrecision.BFLOAT16, False, id="CDNA2 has no fp8 units"),
        pytest.param("gaudi3", "Native", StoredPrecision.BFLOAT16, False, id="upstream vLLM does not run on Gaudi"),
    ],
)
def test_which_gpu_runs_which_rung(gpu_id: str, rung: str, stored: StoredPrecision, want: bool):
    assert runs_on(gpu(gpu_id), quantization(rung), stored) is want


@pytest.mark.parametrize("name", ["fp8", "native", "", "Auto", "x" * 10_000])
def test_an_unknown_name_is_refused_with_the_list(name: str):
    with pytest.raises(UnknownQuantizationError, match="known are Native, FP8, FP8Checkpoint") as refused:
        quantization(name)
    assert len(str(refused.value)) < 300


def test_a_name_that_only_vllm_knows_is_refused_with_the_list():
    with pytest.raises(UnknownQuantizationError, match="known are fp8_per_tensor, fp8"):
        quantization_by_vllm_name("torchao")
