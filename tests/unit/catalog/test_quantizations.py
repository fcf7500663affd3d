from __future__ import annotations

from fractions import Fraction

import pytest

from deepseek_operator.catalog.gpus import gpu, gpus
from deepseek_operator.catalog.quantizations import (
    gguf_mixtures,
    known_quantizations,
    named_quantization,
    quantization,
    quantizations,
    refusal,
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
        assert quantization(rung.name) is named_quantization(rung.vllm_name) is rung
        assert rung.source


def test_formats_are_the_words_of_the_gpu_table():
    known = frozenset().union(*(row.formats for row in gpus()))
    for row in known_quantizations():
        assert row.native_formats <= row.formats <= known


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
    with pytest.raises(UnknownQuantizationError, match="known are Native"):
        named_quantization("torchao")


def test_every_name_of_the_engine_means_one_format():
    names = [each for row in known_quantizations() for each in (row.name, row.vllm_name, *row.aliases) if each]
    assert len(names) == len(set(names))
    for row in known_quantizations():
        if row.linear is not None:
            assert named_quantization(row.name) == row


def test_what_is_said_of_quality_has_a_source():
    for row in known_quantizations():
        assert row.quality_note
        assert bool(row.quality_source) == (row.quality_note != "unknown")


@pytest.mark.parametrize(
    ("name", "means", "bits"),
    [
        pytest.param("", "Native", None, id="no name"),
        pytest.param("awq", "AWQ", Fraction(133, 32), id="awq"),
        pytest.param("awq_marlin:64", "AWQ:64", 4 + Fraction(20, 64), id="another name of awq"),
        pytest.param("AWQ:-1", "AWQ:-1", 4, id="whole rows"),
        pytest.param("GPTQ:32", "GPTQ:32", 4 + Fraction(20, 32), id="gptq"),
        pytest.param("W4A16:64", "W4A16:64", Fraction(17, 4), id="w4a16"),
        pytest.param("mxfp4", "MXFP4", Fraction(17, 4), id="mxfp4"),
        pytest.param("bitsandbytes", "NF4", Fraction(9, 2), id="nf4"),
        pytest.param("Sparse24", "Sparse24", 9, id="2:4 sparse"),
        pytest.param("Sparse24FP8", "Sparse24FP8", 5, id="2:4 sparse in 8 bits"),
        pytest.param("gguf:4.85", "GGUF:4.85", Fraction(97, 20), id="bits per weight"),
        pytest.param("gguf:Q4_K_M", "GGUF:Q4_K_M", Fraction("4.8944"), id="a mixture"),
    ],
)
def test_names_with_parameters(name: str, means: str, bits: Fraction | int | None):
    found = named_quantization(name)
    assert (found.name, found.bits_per_weight) == (means, bits)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("awqq", "did you mean awq?", id="a typing error"),
        pytest.param("nothing-alike-at-all", "known are Native, FP8", id="nothing alike"),
        pytest.param("AWQ:16", "kernels exist for groups of 32, 64, 128, -1", id="no kernel"),
        pytest.param("AWQ:", "kernels exist for groups", id="no group size"),
        pytest.param("FP8:64", "this format has no parameter", id="no parameter"),
        pytest.param(":64", "unknown quantization ':64'", id="no name"),
        pytest.param("gguf", "give bits per weight from 1 to 32, such as GGUF:4.85", id="no bits"),
        pytest.param("gguf:0.5", "give bits per weight", id="too few bits"),
        pytest.param("gguf:33", "give bits per weight", id="too many bits"),
        pytest.param("gguf:nan", "give bits per weight", id="no number"),
        pytest.param("gguf:4e1", "give bits per weight", id="an exponent"),
        pytest.param("gguf:Q9", "Q4_K_M", id="no such mixture"),
    ],
)
def test_a_wrong_name_or_parameter_is_refused(name: str, said: str):
    with pytest.raises(UnknownQuantizationError) as refused:
        named_quantization(name)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_mixtures_lie_between_one_and_sixteen_bits():
    assert all(1 < bits <= Fraction("16.0005") for bits in gguf_mixtures().values())


def test_a_refusal_names_what_the_gpu_runs_instead():
    assert refusal(gpu("mi300x"), named_quantization("NVFP4"), StoredPrecision.BFLOAT16) == (
        "mi300x cannot run NVFP4 weights: it would need nvfp4-w4a16 or nvfp4-w4a4 and has awq, bf16, fp16, fp8-w8a8, "
        "gptq, int8-w8a8"
    )
    assert refusal(gpu("h100-sxm5-80gb"), named_quantization("NVFP4"), StoredPrecision.BFLOAT16) == ""
