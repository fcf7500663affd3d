from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.coefficients import coefficients
from deepseek_operator.performance.features import Precision, ServingPoint
from deepseek_operator.performance.prediction import Prediction, PredictionSource
from deepseek_operator.performance.roofline import matrix_tflops, predict

R1_ON_H200 = ServingPoint(
    shape=shape("deepseek-ai/DeepSeek-R1"),
    parallelism=Parallelism(tensor=8),
    gpu=gpu("h200-sxm"),
    precision=Precision(bytes_per_parameter=1.0, tflops=1979.0),
    kv_bytes_per_token=70_272.0,
    batch=16,
    input_tokens=1024,
    output_tokens=1024,
)


def _predict(point: ServingPoint) -> Prediction:
    prediction = predict(point)
    assert prediction is not None
    return prediction


MEASURED = [
    pytest.param(1024, 4, 10.2923, id="1024 tokens in, 4 requests"),
    pytest.param(1024, 16, 16.6298, id="1024 tokens in, 16 requests"),
    pytest.param(1024, 64, 32.9872, id="1024 tokens in, 64 requests"),
    pytest.param(8192, 4, 11.2678, id="8192 tokens in, 4 requests"),
    pytest.param(8192, 16, 20.4129, id="8192 tokens in, 16 requests"),
    pytest.param(8192, 64, 50.2444, id="8192 tokens in, 64 requests"),
]
"""InferenceX runs of DeepSeek-R1 FP8, TP8 on 8 x H200 with SGLang 0.5.9, 1,024 tokens out, as collected in
aiconfigurator-core 0.12.0 (Apache-2.0)."""


@pytest.mark.parametrize(("input_tokens", "batch", "tpot_milliseconds"), MEASURED)
def test_time_per_output_token_is_near_what_was_measured(input_tokens: int, batch: int, tpot_milliseconds: float):
    as_measured = replace(R1_ON_H200, input_tokens=input_tokens, batch=batch, engine="sglang", engine_release="0.5.9")
    assert _predict(as_measured).tpot_milliseconds == pytest.approx(tpot_milliseconds, rel=0.15)


@pytest.mark.parametrize(
    ("change", "slower"),
    [
        pytest.param({"batch": 64}, True, id="more requests at once"),
        pytest.param({"input_tokens": 8192}, True, id="longer prompts"),
        pytest.param({"parallelism": Parallelism(tensor=4)}, True, id="half of the GPUs"),
        pytest.param({"gpu": gpu("b200")}, False, id="twice the bandwidth"),
    ],
)
def test_latency_moves_the_way_physics_does(change: dict[str, object], slower: bool):
    base = _predict(R1_ON_H200)
    changed = _predict(replace(R1_ON_H200, **change))  # type: ignore[arg-type]  # fields named in the table
    assert (changed.tpot_milliseconds > base.tpot_milliseconds) is slower
    assert (changed.ttft_milliseconds > base.ttft_milliseconds) is slower


def test_a_group_without_a_link_pays_for_every_all_reduce():
    linked = replace(R1_ON_H200, gpu=replace(gpu("l40s"), link_gb_per_second=600.0, link_spans_node=True))
    over_pcie = replace(R1_ON_H200, gpu=gpu("l40s"))
    assert _predict(over_pcie).tpot_milliseconds > _predict(linked).tpot_milliseconds


def test_an_unknown_bandwidth_gives_no_prediction():
    assert predict(replace(R1_ON_H200, gpu=gpu("l20x-141gb"))) is None


@pytest.mark.parametrize(
    ("change", "source", "tpot_band_percent"),
    [
        pytest.param({"engine": "sglang"}, PredictionSource.MEASURED, 33, id="this model on this GPU and engine"),
        pytest.param({}, PredictionSource.TRANSFERRED, 41, id="other models on this GPU and engine"),
        pytest.param({"gpu": gpu("a100-sxm4-80gb")}, PredictionSource.ROOFLINE, 41, id="a GPU that nobody measured"),
    ],
)
def test_a_speed_says_how_near_the_measurements_it_is(
    change: dict[str, object], source: PredictionSource, tpot_band_percent: int
):
    predicted = _predict(replace(R1_ON_H200, **change))  # type: ignore[arg-type]  # fields named in the table
    assert (predicted.source, predicted.tpot_error_percent) == (source, tpot_band_percent)
    assert predicted.error_percent == predicted.ttft_error_percent


def test_another_makers_model_of_the_same_shape_is_not_the_same_model():
    distilled = replace(
        R1_ON_H200, shape=shape("deepseek-ai/DeepSeek-R1-Distill-Llama-70B"), parallelism=Parallelism(tensor=4)
    )
    assert ("Llama-70B", "h200-sxm", "vllm") in coefficients().measured
    assert _predict(distilled).source is PredictionSource.TRANSFERRED


def test_no_deepseek_model_was_measured_on_vllm():
    measured = coefficients().measured
    assert {label for label, _, engine in measured if engine == "vllm" and "DeepSeek" in label} == set()
    assert ("DeepSeek-V3", "h200-sxm", "sglang") in measured


def test_throughput_is_the_requests_in_flight_over_their_time():
    predicted = _predict(R1_ON_H200)
    seconds = (predicted.ttft_milliseconds + 1023 * predicted.tpot_milliseconds) / 1000
    assert predicted.tokens_per_second == pytest.approx(16 * 1024 / seconds, rel=0.1)


@pytest.mark.parametrize(
    ("product", "bits", "tflops"),
    [
        pytest.param("h100-sxm5-80gb", 8, 1979.0, id="native FP8"),
        pytest.param("a100-sxm4-80gb", 8, 312.0, id="FP8 widened to 16 bits"),
        pytest.param("b200", 4, 9000.0, id="native FP4"),
        pytest.param("t4", 16, 65.0, id="half precision without bfloat16"),
    ],
)
def test_arithmetic_runs_at_the_rate_of_the_units_that_exist(product: str, bits: int, tflops: float):
    assert matrix_tflops(gpu(product), bits) == tflops
