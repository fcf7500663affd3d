from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.choose import answer_of_pool
from deepseek_operator.planner.request import PinnedParallelism, Quality
from deepseek_operator.planner.result import Alternative, InfeasibleReason, Plan
from planner_values import A100, CHAT_67B, L40S, R1, planned, pool, refused, request, supply

H200, B200 = "h200-sxm", "b200"


@pytest.mark.parametrize(
    ("quality", "chosen"),
    [
        pytest.param(Quality.LOSSLESS, "Native", id="as stored"),
        pytest.param(Quality.NEAR_LOSSLESS, "FP8", id="8 bits on half the GPUs"),
        pytest.param(Quality.ECONOMY, "FP8", id="no 4-bit checkpoint is invented"),
    ],
)
def test_the_ladder_stops_at_the_class_of_the_owner(quality: Quality, chosen: str):
    assert planned(request(sla=None, quality=quality), supply(pool(L40S))).quantization == chosen


def test_the_mildest_of_equally_cheap_rungs_wins():
    found = planned(
        request("deepseek-ai/deepseek-llm-7b-chat", sla=None, quality=Quality.ECONOMY),
        supply(pool(A100, gpus_per_node=1)),
    )
    assert (found.quantization, found.reasons[-1]) == (
        "Native",
        "Quality Economy would allow quantizing while loading, but it would not be cheaper.",
    )


def precision_reason(found: Plan) -> str:
    return next(reason for reason in found.reasons if "Published loss" in reason)


def test_a_lossy_rung_names_its_published_loss_with_the_source():
    found = planned(request(sla=None, quality=Quality.NEAR_LOSSLESS), supply(pool(L40S)))
    assert precision_reason(found) == (
        "Quality NearLossless allows FP8, which makes the plan cheaper than Native or its memory surer. Published "
        "loss: Meta-Llama-3-8B-Instruct with one scale per matrix, calibrated, kept 99.28 % of the mean of six "
        "benchmarks; without calibration unknown (model card neuralmagic/Meta-Llama-3-8B-Instruct-FP8)."
    )


def test_a_pinned_rung_below_the_class_is_obeyed_and_named():
    found = planned(request(sla=None, quantization="AWQ"), supply(pool(L40S)))
    assert precision_reason(found) == (
        "Quantization AWQ is what the request pins, although its class Economy is below quality Lossless. "
        "Published loss: no figure for AWQ itself; DeepSeek-R1 distills of 7B and more in 4 bits by GPTQ kept 97 % or "
        'more of their reasoning scores, the 1.5B about 94 % (Neural Magic, "Quantized DeepSeek-R1 Models: '
        'Deployment-Ready Reasoning Models", 27 February 2025).'
    )


def test_a_quantized_checkpoint_is_not_quantized_while_loading():
    found = planned(request(R1, sla=None, quality=Quality.ECONOMY), supply(pool(H200)))
    assert (found.quantization, found.reasons[-1]) == (
        "Native",
        "The checkpoint runs as stored, in fp8-block; it cannot be quantized again.",
    )
    pinned = refused(request(R1, sla=None, quantization="FP8"), supply(pool(H200)))
    assert pinned.reason is InfeasibleReason.QUANTIZATION_UNAVAILABLE
    assert pinned.message == (
        "deepseek-ai/DeepSeek-R1 cannot be planned; the nearest attempt fails: FP8 is made from 16-bit weights while "
        "loading, and the checkpoint is stored in fp8-block already; leave the quantization to the planner, or pin "
        "Native."
    )


def first_alternative(quality: Quality) -> Alternative | None:
    found = planned(request(sla=None, quality=quality), supply(pool(A100, nodes=2)))
    return found.alternatives[0] if found.alternatives else None


def test_the_mildest_checkpoint_that_would_save_most_is_an_alternative_with_its_cost():
    found = first_alternative(Quality.ECONOMY)
    assert found is not None
    assert (found.quantization, found.gpus_per_replica, found.feasible) == ("NVFP4", 1, False)
    assert found.detail == (
        "1 x a100-sxm4-80gb (TP1, NVFP4) would fit with a checkpoint of the model in NVFP4, which precision.checkpoint "
        f"and precision.quantization would have to name: {found.cost_per_hour_usd} USD per hour. Published loss: "
        'usually below 1 % against FP8, says the maker of the format (NVIDIA playbook "Quantize Models to NVFP4" '
        "(build.nvidia.com/playbooks/nvfp4-quantization))."
    )


def test_a_checkpoint_below_the_class_is_no_alternative():
    found = [first_alternative(quality) for quality in (Quality.LOSSLESS, Quality.NEAR_LOSSLESS)]
    assert [each for each in found if each is not None and each.quantization in ("AWQ", "GPTQ")] == []


def test_what_a_checkpoint_would_make_possible_is_named_when_nothing_else_is():
    asked = request(CHAT_67B, sla=None, quality=Quality.ECONOMY)
    found = refused(asked, supply(pool(A100, gpus_per_node=1)))
    assert next((each.quantization, each.feasible) for each in found.alternatives) == ("NVFP4", False)


def test_a_plan_that_fits_on_the_mean_alone_says_so_with_the_band():
    found = planned(request("deepseek-ai/DeepSeek-V4-Flash", sla=None), supply(pool(B200)))
    sentence = (
        f"It fits by the mean of the estimate only: at the lower end of the 90 % band "
        f"(± {found.kv_cache_error_percent} % of the KV cache) there may be no room for one request of 4,096 tokens."
    )
    assert any(sentence in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("tensor", "pipeline", "waits"),
    [
        pytest.param(1, 2, True, id="40,960 tokens of a cache of 43,680 give or take a seventh"),
        pytest.param(4, 1, False, id="ten times as many as are planned"),
    ],
)
def test_requests_that_might_wait_are_named(tensor: int, pipeline: int, waits: bool):
    pinned = PinnedParallelism(tensor=tensor, pipeline=pipeline)
    found = planned(request(sla=None, parallelism=pinned), supply(pool(A100)))
    surely = found.kv_cache_tokens * (100 - found.kv_cache_error_percent) // 100
    sentence = f"At the lower end of that 90 % band it would hold {surely:,}, and some of these requests would wait."
    assert any(sentence in reason for reason in found.reasons) is waits


def test_the_surer_of_equally_dear_plans_wins():
    simple = answer_of_pool(request(sla=None), pool(A100)).best
    assert simple is not None
    other = Parallelism(tensor=simple.candidate.split.pipeline, pipeline=simple.candidate.split.tensor)
    surer = replace(simple, candidate=replace(simple.candidate, split=other))
    unsure = replace(simple, estimate=replace(simple.estimate, fits_surely=False))
    assert simple.estimate.fits_surely
    assert sorted([unsure, surer], key=lambda choice: choice.rank) == [surer, unsure]


def test_no_draft_is_planned_that_nobody_asked_for():
    found = answer_of_pool(request(R1, sla=None), pool(H200)).best
    assert found is not None
    assert found.estimate.settings.num_speculative_tokens == 0


def test_no_other_model_is_suggested_for_the_checkpoint_of_this_one():
    asked = request(sla=None, quantization="AWQ", parallelism=PinnedParallelism(tensor=8))
    found = refused(asked, supply(pool(A100)))
    assert "the MLP width of 22,016 in groups of 128; use 1, 2 or 4" in found.message
    assert found.nearest == "Leave the parallelism to the planner: 1 x a100-sxm4-80gb (TP1, AWQ)."
