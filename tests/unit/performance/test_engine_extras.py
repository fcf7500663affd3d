"""What speculative decoding and weights in host memory do to the predicted speed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.draft_acceptance import DraftKind, acceptance
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.engine_extras import (
    OFFLOAD_BAND_PERCENT,
    HostWeights,
    Speculation,
    predict_with,
)
from deepseek_operator.performance.features import Precision, ServingPoint
from deepseek_operator.performance.prediction import Prediction
from deepseek_operator.performance.roofline import predict

H200 = gpu("h200-sxm")
POINT = ServingPoint(
    shape=shape("deepseek-ai/DeepSeek-R1"),
    parallelism=Parallelism(tensor=8),
    gpu=H200,
    precision=Precision(bytes_per_parameter=1.0, tflops=H200.fp8_tflops or 0.0),
    kv_bytes_per_token=70_272.0,
    batch=1,
    input_tokens=1024,
    output_tokens=256,
)
MTP = Speculation(tokens=1, acceptance=acceptance(DraftKind.PREDICTION_LAYERS), draft_layers=1)
CERTAIN = replace(MTP.acceptance, first=100, first_low=100, first_high=100)
USELESS = replace(MTP.acceptance, first=0, first_low=0, first_high=0)


def predicted(
    point: ServingPoint = POINT, speculation: Speculation | None = None, host: HostWeights | None = None
) -> Prediction:
    found = predict_with(point, speculation, host)
    assert found is not None
    return found


def test_without_extras_it_is_the_plain_prediction() -> None:
    assert predicted() == predict(POINT)


def test_one_user_of_r1_decodes_faster_with_its_own_prediction_layer() -> None:
    """DeepSeek reports 1.8 times the tokens per second; a point prediction is not nearer than its band."""
    plain, drafted = predicted(), predicted(speculation=MTP)
    assert 1.4 < plain.tpot_milliseconds / drafted.tpot_milliseconds < 1.9
    assert drafted.ttft_milliseconds == plain.ttft_milliseconds


def test_drafts_that_are_never_accepted_only_cost() -> None:
    assert predicted(speculation=replace(MTP, acceptance=USELESS)).tpot_milliseconds > predicted().tpot_milliseconds


def test_more_acceptance_is_never_slower() -> None:
    rates = [replace(MTP, acceptance=each) for each in (USELESS, MTP.acceptance, CERTAIN)]
    times = [predicted(speculation=each).tpot_milliseconds for each in rates]
    assert times == sorted(times, reverse=True)


def test_a_wide_range_of_acceptance_is_a_wide_band() -> None:
    prompt = Speculation(tokens=4, acceptance=acceptance(DraftKind.PROMPT))
    narrow, wide = predicted(speculation=MTP), predicted(speculation=prompt)
    assert (wide.tpot_error_percent or 0) > (narrow.tpot_error_percent or 0) + 20


def test_a_block_is_drafted_in_one_pass() -> None:
    several = replace(MTP, tokens=4, draft_layers=3)
    block = replace(several, block=True)
    assert predicted(speculation=block).tokens_per_second > predicted(speculation=several).tokens_per_second


def test_a_draft_model_takes_its_own_time_for_each_token() -> None:
    draft = replace(POINT, shape=shape("deepseek-ai/deepseek-llm-7b-chat"), kv_bytes_per_token=61_440.0)
    model = Speculation(tokens=4, acceptance=CERTAIN, draft_point=draft)
    free = Speculation(tokens=4, acceptance=CERTAIN)
    assert predicted(speculation=model).tpot_milliseconds > predicted(speculation=free).tpot_milliseconds


def test_host_weights_are_read_over_the_link_at_each_step() -> None:
    """R1 reads 37 billion active parameters of one byte for a token: half of them on the host, 1/8 over each link."""
    half = HostWeights(share=0.5, gb_per_second=63.0, step_tokens=8192)
    added = predicted(host=half).tpot_milliseconds - predicted().tpot_milliseconds
    assert added == pytest.approx(0.5 * 37e9 / 8 / 63e9 * 1000, rel=0.1)
    assert predicted(host=half).ttft_milliseconds > predicted().ttft_milliseconds
    assert predicted(host=half).error_percent >= OFFLOAD_BAND_PERCENT


def test_nothing_is_predicted_for_an_unknown_bandwidth() -> None:
    assert predict_with(replace(POINT, gpu=replace(H200, memory_bandwidth_gb_per_second=None)), MTP) is None


def test_every_kind_has_a_rate_with_a_source_and_a_range_around_it() -> None:
    for kind in DraftKind:
        rate = acceptance(kind)
        assert rate.source
        assert rate.first_low <= rate.first <= rate.first_high
        assert rate.further_low <= rate.further <= rate.further_high
