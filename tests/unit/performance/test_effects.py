from __future__ import annotations

import math
from dataclasses import replace

import pytest

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.effects import EffectBlock, correction, covariates_of, factors_of, signature
from deepseek_operator.performance.features import Precision, ServingPoint

R1 = shape("deepseek-ai/DeepSeek-R1")
POINT = ServingPoint(
    shape=R1,
    parallelism=Parallelism(tensor=8),
    gpu=gpu("h200-sxm"),
    precision=Precision(bytes_per_parameter=1.0, tflops=1979.0),
    kv_bytes_per_token=70_272.0,
    batch=256,
    input_tokens=8192,
    output_tokens=1024,
    engine="sglang",
    engine_release="0.5.9",
)


def test_every_factor_of_a_point_is_named():
    assert factors_of(POINT, {signature(R1): "DeepSeek-V3"}) == {
        "engine": "sglang",
        "release": "sglang 0.5.9",
        "family": "latent",
        "model": "DeepSeek-V3",
        "gpu": "h200-sxm",
        "precision": "fp8",
        "data_parallel": "False",
        "expert_parallel": "False",
    }


def test_slopes_are_zero_in_the_middle_of_what_was_measured():
    middle = replace(POINT, batch=32, parallelism=Parallelism(tensor=4), input_tokens=2048)
    assert covariates_of(middle) == {"one": 1.0, "load": 0.0, "tensor": 0.0, "prompt": 0.0}
    assert covariates_of(POINT)["load"] == 1.0


@pytest.mark.parametrize(
    ("bytes_per_parameter", "product", "tflops", "name"),
    [
        pytest.param(2.0, "h200-sxm", 989.0, "bf16", id="16 bits"),
        pytest.param(1.0, "h200-sxm", 1979.0, "fp8", id="8 bits"),
        pytest.param(0.5625, "b200", 9000.0, "fp4", id="native FP4"),
        pytest.param(0.5195, "h200-sxm", 989.0, "int4", id="4-bit integers widened to 16 bits"),
    ],
)
def test_precision_is_storage_and_arithmetic(bytes_per_parameter: float, product: str, tflops: float, name: str):
    precision = Precision(bytes_per_parameter=bytes_per_parameter, tflops=tflops)
    assert factors_of(replace(POINT, gpu=gpu(product), precision=precision), {})["precision"] == name


def test_corrections_of_all_known_levels_multiply():
    blocks = [
        EffectBlock(factors=("engine",), covariates=("one",), values={"vllm": (math.log(2.0),)}),
        EffectBlock(factors=("engine", "model"), covariates=("one", "load"), values={"vllm|R1": (0.0, math.log(3.0))}),
    ]
    levels = {"engine": "vllm", "model": "R1"}
    assert correction(blocks, levels, {"one": 1.0, "load": 1.0}) == pytest.approx(6.0)
    assert correction(blocks, {**levels, "model": "another"}, {"one": 1.0, "load": 1.0}) == pytest.approx(2.0)
