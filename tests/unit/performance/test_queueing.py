from __future__ import annotations

import math
from dataclasses import replace

import pytest

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.coefficients import coefficients
from deepseek_operator.performance.features import Precision, ServingPoint, prefill_of, prefill_seconds
from deepseek_operator.performance.prediction import Prediction, PredictionSource
from deepseek_operator.performance.queueing import LatencyPercentiles, latency_percentiles
from deepseek_operator.performance.roofline import predict

H100 = gpu("h100-sxm5-80gb")
POINT = ServingPoint(
    shape=shape("deepseek-ai/deepseek-llm-67b-chat"),
    parallelism=Parallelism(tensor=4),
    gpu=H100,
    precision=Precision(bytes_per_parameter=2.0, tflops=H100.bf16_tflops or 0.0),
    kv_bytes_per_token=97_280.0,
    batch=32,
    input_tokens=1024,
    output_tokens=256,
)
SERVICE = prefill_seconds(prefill_of(POINT), POINT, coefficients().tpot.weights)


def _means(ttft: int = 400, tpot: int = 30) -> Prediction:
    return Prediction(
        ttft_milliseconds=ttft,
        tpot_milliseconds=tpot,
        tokens_per_second=1000,
        source=PredictionSource.TRANSFERRED,
        error_percent=129,
        tpot_error_percent=41,
        ttft_error_percent=129,
    )


def _at(percentile: int, batch: int = 32, rate: float | None = None) -> LatencyPercentiles:
    found = latency_percentiles(replace(POINT, batch=batch), _means(), percentile, arrivals_per_second=rate)
    assert found is not None
    return found


def test_an_open_stream_is_a_queue_with_the_prefill_as_service():
    rate = 0.5 / SERVICE
    answer = 255 * 0.030
    ttft = 0.4 + SERVICE / (1 - 0.5) * (math.log(20) - 1)
    tpot = 0.030 + 1.6448536 * SERVICE * math.sqrt(2 * rate * answer) / 255
    assert _at(95, rate=rate) == LatencyPercentiles(
        percentile=95,
        ttft_milliseconds=math.ceil(1000 * ttft),
        tpot_milliseconds=math.ceil(1000 * tpot),
        ttft_upper_milliseconds=math.ceil(1000 * ttft * 2.29),
        tpot_upper_milliseconds=math.ceil(1000 * tpot * 1.41),
        prefill_busy_percent=50,
    )


def test_a_prompt_in_a_closed_loop_waits_for_the_others_at_most():
    alone = _at(95, batch=1)
    assert alone.ttft_milliseconds == math.ceil(400 + 1000 * SERVICE * (math.log(20) - 1))


def test_at_the_median_nothing_is_added_to_the_mean():
    found = _at(50)
    assert (found.ttft_milliseconds, found.tpot_milliseconds) == (400, 30)


def test_prompts_that_come_faster_than_they_are_read_wait_without_bound():
    assert latency_percentiles(POINT, _means(), 95, arrivals_per_second=1.01 / SERVICE) is None


@pytest.mark.parametrize("percentiles", [(50, 90), (90, 95), (95, 99)])
def test_a_higher_share_needs_more_time(percentiles: tuple[int, int]):
    lower, higher = (_at(percentile) for percentile in percentiles)
    assert lower.ttft_milliseconds < higher.ttft_milliseconds
    assert lower.tpot_milliseconds <= higher.tpot_milliseconds


def test_percentiles_grow_with_the_load():
    found = []
    for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        point = replace(POINT, batch=batch)
        means = predict(point)
        assert means is not None
        at = latency_percentiles(point, means, 95)
        assert at is not None
        assert at.ttft_milliseconds >= means.ttft_milliseconds
        found.append((at.ttft_milliseconds, at.tpot_milliseconds, at.prefill_busy_percent))
    for column in zip(*found, strict=True):
        assert list(column) == sorted(column)


def test_percentiles_of_an_open_stream_grow_with_its_rate():
    found = [_at(95, rate=share / SERVICE) for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)]
    for values in ([at.ttft_milliseconds for at in found], [at.tpot_milliseconds for at in found]):
        assert values == sorted(values)
