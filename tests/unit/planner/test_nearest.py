"""What would work when nothing does, and what runs in its place where the owner allows that."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.planner.compromise import Compromise, CompromiseKind
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.measurement import Measurement
from deepseek_operator.planner.nearest import within_reach
from deepseek_operator.planner.request import PinnedParallelism, PlanRequest, Sla, Supply
from deepseek_operator.planner.result import NearestAxis
from planner_values import CHAT_67B, H100, L40S, MIXED, R1, WORKLOAD, planned, pool, refused, request, supply

LLAMA_70B = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"
QWEN_32B = "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"
TIGHT_67B = request(sla=Sla(ttft_milliseconds=200, tpot_milliseconds=10))
BIG_R1 = request(R1, sla=None, workload=replace(WORKLOAD, max_context_tokens=65_536, concurrency=2048))
TWO_H100 = supply(pool(H100, 2))


def other_model(asked: PlanRequest, name: str) -> PlanRequest:
    return replace(asked, model_name=name, model=shape(name), fallbacks=())


@pytest.mark.parametrize(
    ("asked", "available", "axes"),
    [
        pytest.param(
            request(R1),
            supply(pool(H100)),
            {NearestAxis.NODES, NearestAxis.NEW_PRODUCT, NearestAxis.MODEL},
            id="memory: more nodes, another product, a smaller model",
        ),
        pytest.param(TIGHT_67B, MIXED, {NearestAxis.SERVICE_LEVEL, NearestAxis.MODEL}, id="service level"),
        pytest.param(
            request(max_cost_per_hour_usd=Decimal("0.50")),
            MIXED,
            {NearestAxis.LIMIT, NearestAxis.MODEL},
            id="money: never more nodes",
        ),
        pytest.param(
            BIG_R1, TWO_H100, {NearestAxis.CONCURRENCY, NearestAxis.NODES}, id="requests: fewer of them, or more nodes"
        ),
    ],
)
def test_a_refusal_names_a_plan_along_each_axis_that_helps(
    asked: PlanRequest, available: Supply, axes: set[NearestAxis]
) -> None:
    found = refused(asked, available).nearest_plans
    named = [each.axis for each in found]
    assert axes <= set(named)
    assert len(named) == len(set(named)) <= 10
    assert all(each.change and each.plan for each in found)
    if NearestAxis.LIMIT in axes:
        assert NearestAxis.NODES not in named


def test_more_replicas_are_named_where_the_gpus_hold_them() -> None:
    asked = request(workload=replace(WORKLOAD, concurrency=300))
    found = refused(asked, TWO_H100).nearest_plans[0]
    several = planned(replace(asked, max_replicas=16), TWO_H100)
    assert several.replicas > 1
    assert (found.axis, found.change) == ("MoreReplicas", f"raise scaling.maxReplicas to {several.replicas}")
    assert found.plan.startswith(f"{several.replicas} replicas of {several.gpus_per_replica} x h100-sxm5-80gb")
    assert found.cost_per_hour_usd == several.cost_per_hour_usd
    raised = planned(replace(asked, max_replicas=several.replicas), TWO_H100)
    assert (raised.replicas, raised.parallelism) == (several.replicas, several.parallelism)


def test_more_replicas_are_not_named_where_an_owner_s_limit_forbids_them() -> None:
    asked = request(workload=replace(WORKLOAD, concurrency=300), max_cost_per_hour_usd=Decimal(20))
    assert NearestAxis.REPLICAS not in {each.axis for each in refused(asked, TWO_H100).nearest_plans}


@pytest.mark.parametrize(
    ("gpu", "change"),
    [
        pytest.param(H100, "add a node of 8 x h100-sxm5-80gb", id="what the request allows"),
        pytest.param(
            "l4", "allow mi300x in hardware.gpus and add a node of 8 x mi300x", id="another where that is too small"
        ),
    ],
)
def test_what_to_buy_is_what_the_request_allows_where_that_would_do(gpu: str, change: str) -> None:
    answer = refused(request(gpus=(gpu,)), supply(pool(L40S)))
    assert [each.change for each in answer.nearest_plans if each.axis is NearestAxis.NEW_PRODUCT] == [change]


def test_the_fewest_nodes_are_found() -> None:
    def nodes(count: int) -> Supply:
        return supply(replace(pool(L40S, count), rdma_resource="rdma/hca", rdma_devices=8))

    (more,) = (each for each in refused(request(R1), nodes(1)).nearest_plans if each.axis == "MoreGpus")
    assert more.change == "add 7 nodes of 8 x l40s"
    planned(request(R1), nodes(8))
    refused(request(R1), nodes(7))


def test_the_service_level_that_is_named_has_a_plan() -> None:
    found = within_reach(TIGHT_67B, MIXED)
    assert found is not None
    assert found.nearest in refused(TIGHT_67B, MIXED).nearest_plans
    near = planned(replace(TIGHT_67B, deploy_nearest=True), MIXED)
    assert replace(near, compromise=None, reasons=()) == replace(planned(found.request, MIXED), reasons=())


def test_the_nearest_plan_runs_where_its_owner_takes_one_and_says_what_it_gives_up() -> None:
    found = planned(replace(BIG_R1, deploy_nearest=True), TWO_H100)
    answer = refused(BIG_R1, TWO_H100)
    (fewer,) = (each for each in answer.nearest_plans if each.axis is NearestAxis.CONCURRENCY)
    change = f"the nearest plan runs (onInfeasible), as if asked to {fewer.change}"
    assert found.compromise == Compromise(
        kind=CompromiseKind.NEAREST,
        asked_model=R1,
        reason=answer.reason.value,
        change=change,
        message=answer.message,
    )
    assert found.reasons[0] == f"{answer.message.rstrip('.')} ({answer.reason.value}); so {change}."
    assert len(found.reasons) <= 8


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request(max_cost_per_hour_usd=Decimal("0.50")), id="money"),
        pytest.param(request(max_gpus_total=1), id="GPUs"),
        pytest.param(request(gpus=("h200-sxm",)), id="a GPU product"),
        pytest.param(request(parallelism=PinnedParallelism(tensor=3)), id="a split"),
    ],
)
def test_the_nearest_plan_breaks_no_limit_and_no_pin(asked: PlanRequest) -> None:
    answer = refused(asked, MIXED)
    assert plan(replace(asked, deploy_nearest=True), MIXED) == answer


def test_the_first_feasible_fallback_runs_and_the_plan_names_both_models() -> None:
    asked = request(R1)
    few = supply(pool(L40S, 1))
    fallbacks = (other_model(asked, CHAT_67B), other_model(asked, QWEN_32B))
    refusal = refused(asked, few)
    first = next(each for each in fallbacks if plan(each, few).__class__.__name__ == "Plan")
    found = planned(replace(asked, fallbacks=fallbacks), few)
    change = f"{first.model_name} of fallbacks runs in its place"
    assert found == replace(
        planned(first, few),
        compromise=Compromise(
            kind=CompromiseKind.FALLBACK,
            asked_model=R1,
            reason="MemoryInsufficient",
            change=change,
            message=refusal.message,
        ),
        reasons=found.reasons,
    )
    assert found.reasons[0].endswith(f"(MemoryInsufficient); so {change}.")


def test_a_fallback_is_tried_before_the_nearest_plan() -> None:
    asked = replace(BIG_R1, deploy_nearest=True, fallbacks=(other_model(BIG_R1, LLAMA_70B),))
    found = planned(asked, supply(pool(H100, 2)))
    assert found.compromise is not None
    assert found.compromise.kind is CompromiseKind.FALLBACK


def test_neither_is_used_while_what_was_asked_is_feasible() -> None:
    asked = request()
    allowed = replace(asked, deploy_nearest=True, fallbacks=(other_model(asked, QWEN_32B),))
    assert plan(allowed, MIXED) == plan(asked, MIXED)


def test_what_engines_of_the_asked_model_reported_corrects_no_plan_of_a_fallback() -> None:
    asked = replace(request(R1), fallbacks=(other_model(request(R1), QWEN_32B),))
    split = Parallelism(tensor=4)
    report = Measurement(
        model_name=R1,
        gpu=L40S,
        total_memory_bytes=pool(L40S).usable_memory_bytes,
        parallelism=split,
        settings=EngineSettings(
            release="0.32.0",
            gpu_memory_utilization_percent=92,
            max_model_len=4096,
            max_num_seqs=64,
            max_num_batched_tokens=2048,
        ),
        kv_cache_tokens=1,
    )
    measured = supply(replace(pool(L40S, 1), measurements=(report,)))
    assert plan(asked, measured) == plan(asked, supply(pool(L40S, 1)))
