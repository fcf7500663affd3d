"""Laws of what is near: a suggestion has a plan, a compromise keeps limits, a cheaper GPU stays chosen."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.nearest import within_reach
from deepseek_operator.planner.request import PlanRequest, Sla, Supply
from deepseek_operator.planner.result import Infeasible, Plan
from planner_values import A100, CHAT_7B, CHAT_67B, H100, L40S, WORKLOAD, pool, request, supply

PRODUCTS = (H100, A100, L40S)
supplies = st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=3, unique=True).map(
    lambda ids: supply(*(pool(gpu_id) for gpu_id in ids))
)
limits = st.none() | st.sampled_from([Decimal("0.50"), Decimal("2.00"), Decimal("8.00")])
questions = st.builds(
    lambda model, ttft, tpot, concurrency, limit: request(
        model,
        sla=Sla(ttft_milliseconds=ttft, tpot_milliseconds=tpot),
        workload=replace(WORKLOAD, concurrency=concurrency),
        max_cost_per_hour_usd=limit,
    ),
    st.sampled_from([CHAT_7B, CHAT_67B]),
    st.sampled_from([50, 500, 5000]),
    st.sampled_from([5, 20, 80]),
    st.sampled_from([1, 32, 1024]),
    limits,
)


@settings(max_examples=15, deadline=None)
@given(questions, supplies)
def test_a_refusal_that_names_service_to_give_up_is_right(asked: PlanRequest, available: Supply) -> None:
    answer = plan(asked, available)
    found = within_reach(asked, available)
    if isinstance(answer, Infeasible) and found is not None:
        assert isinstance(plan(found.request, available), Plan)


@settings(max_examples=15, deadline=None)
@given(questions, supplies)
def test_the_nearest_plan_keeps_the_limit_of_money(asked: PlanRequest, available: Supply) -> None:
    answer = plan(replace(asked, deploy_nearest=True), available)
    if isinstance(answer, Plan) and asked.max_cost_per_hour_usd is not None:
        assert answer.cost_per_hour_usd is not None
        assert answer.cost_per_hour_usd <= asked.max_cost_per_hour_usd
