"""Plans for a rate keep their service level when requests come at random: each is replayed in the simulator."""

from __future__ import annotations

import random
from array import array
from dataclasses import replace

import pytest

from deepseek_operator.planner.replica import pace_of
from deepseek_operator.planner.request import Sla, Supply, Workload
from deepseek_operator.scaling.fleet_values import ServiceLevel, Trace
from deepseek_operator.scaling.rival_policies import StaticPolicy
from deepseek_operator.scaling.simulated_object import limits_of
from deepseek_operator.scaling.simulator import Faults, Scenario, simulate
from planner_values import H100, L40S, R1, planned, pool, refused, request, supply

QWEN_7B = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
LLAMA_70B = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"
TRACE_REQUESTS = 4000


def _workload(prompt: int, answer: int, per_minute: int) -> Workload:
    return Workload(input_tokens=prompt, output_tokens=answer, max_context_tokens=8192, requests_per_minute=per_minute)


def _sla(ttft: int, tpot: int, percentile: int = 95) -> Sla:
    return Sla(ttft_milliseconds=ttft, tpot_milliseconds=tpot, percentile=percentile)


def _poisson(workload: Workload) -> Trace:
    """Return requests of equal lengths at independent times."""
    draws, now, arrivals = random.Random(7), 0.0, array("d")  # noqa: S311 - draws of a test, not a secret
    for _ in range(TRACE_REQUESTS):
        now += draws.expovariate((workload.requests_per_minute or 0) / 60)
        arrivals.append(now)
    return Trace(
        arrivals=arrivals,
        prompt_tokens=array("l", [workload.input_tokens]) * TRACE_REQUESTS,
        output_tokens=array("l", [workload.output_tokens]) * TRACE_REQUESTS,
    )


@pytest.mark.parametrize(
    ("model", "workload", "sla", "available"),
    [
        pytest.param(QWEN_7B, _workload(512, 512, 30), _sla(1000, 40), supply(pool(H100)), id="two in flight"),
        pytest.param(QWEN_7B, _workload(512, 512, 1), _sla(1000, 40), supply(pool(H100)), id="hardly one in flight"),
        pytest.param(R1, _workload(512, 512, 1), _sla(1000, 11, 99), supply(pool("h200-sxm")), id="two that meet"),
        pytest.param(QWEN_7B, _workload(512, 512, 600), _sla(1000, 12), supply(pool(H100)), id="a tight TPOT"),
        pytest.param(QWEN_7B, _workload(1024, 512, 120), _sla(2000, 80), supply(pool("l4")), id="slow GPUs"),
        pytest.param(R1, _workload(1000, 2000, 100), _sla(3000, 53), supply(pool(H100, 2)), id="two nodes, tight TPOT"),
        pytest.param(R1, _workload(1000, 2000, 100), _sla(3000, 50), supply(pool("h200-sxm")), id="one large node"),
        pytest.param(
            R1, _workload(1000, 500, 1000), _sla(3000, 62, 99), supply(pool("h200-sxm")), id="engines of a replica"
        ),
        pytest.param(LLAMA_70B, _workload(1000, 1000, 300), _sla(2000, 50), supply(pool(H100, 2)), id="two replicas"),
        pytest.param(LLAMA_70B, _workload(4000, 400, 300), _sla(5000, 60), supply(pool(H100, 4)), id="long prompts"),
        pytest.param(QWEN_7B, _workload(512, 256, 240), _sla(1000, 60, 99), supply(pool(L40S)), id="a high percentile"),
    ],
)
def test_a_level_that_a_plan_keeps_is_kept_when_requests_come_at_random(
    model: str, workload: Workload, sla: Sla, available: Supply
):
    asked = request(model, workload=workload, sla=sla, max_replicas=8)
    plan = planned(asked, available)
    pace = pace_of(asked, plan)
    assert pace is not None
    replayed = simulate(
        Scenario(
            trace=_poisson(workload),
            pace=pace,
            limits=limits_of(plan),
            level=ServiceLevel(ttft_seconds=sla.ttft_milliseconds / 1000, tpot_seconds=sla.tpot_milliseconds / 1000),
            gpus_per_replica=plan.gpus_per_replica,
            start_seconds=60.0,
            first_replicas=plan.replicas,
            most_replicas=plan.replicas,
            faults=Faults(metric_age_seconds=0.0),
            seed=3,
        ),
        StaticPolicy(plan.replicas),
    )
    assert replayed.sla_percent >= sla.percentile


def test_what_bursts_of_a_rate_slow_below_the_level_is_refused():
    asked = request(R1, workload=_workload(1000, 2000, 100), sla=_sla(3000, 50))
    answer = refused(asked, supply(pool(H100, 2)))
    assert "predicted p95 TPOT" in answer.message


def test_a_pinned_batch_must_hold_three_deviations_above_the_mean():
    asked = request(QWEN_7B, workload=_workload(512, 512, 30), sla=_sla(1000, 40))
    few = refused(
        request(QWEN_7B, workload=asked.workload, sla=asked.sla, max_num_seqs=6, gpus=(H100,)), supply(pool(H100, 1, 1))
    )
    assert (
        "max_num_seqs is set to 6, and 7 requests at once are to be served by each engine of 1 replica" in few.message
    )
    enough = planned(request(QWEN_7B, workload=asked.workload, sla=asked.sla, max_num_seqs=7), supply(pool(H100)))
    assert enough.max_num_seqs == 7


@pytest.mark.parametrize("per_minute", [1, 30])
def test_tokens_of_a_rate_cost_what_the_gpus_cost_over_the_tokens_that_are_asked_for(per_minute: int):
    plan = planned(request(QWEN_7B, workload=_workload(512, 512, per_minute), sla=_sla(1000, 40)), supply(pool(H100)))
    assert plan.cost_per_hour_usd is not None
    amount = round(plan.cost_per_hour_usd * 1_000_000 / (per_minute * 60 * 512), 4)
    assert plan.cost_per_million_tokens_usd == amount
    assert f"which makes {amount} USD per million output tokens at this demand" in plan.reasons[0]


def test_a_rate_on_a_product_of_unknown_speed_is_refused_for_that():
    unknown = pool(H100)
    unknown = replace(unknown, gpu=replace(unknown.gpu, memory_bandwidth_gb_per_second=None))
    answer = refused(request(QWEN_7B, workload=_workload(512, 512, 30), sla=None), supply(unknown))
    assert "the catalogue lacks its bandwidth or matrix rate, so it is not known how many requests" in answer.message


def test_the_batch_of_an_engine_is_told_from_that_of_a_replica():
    plan = planned(request(R1, workload=_workload(1000, 500, 1000), sla=_sla(3000, 62, 99)), supply(pool("h200-sxm")))
    assert plan.parallelism.data > 1
    assert f"A batch of each engine ends at {plan.max_num_seqs:,} requests" in " ".join(plan.reasons)
