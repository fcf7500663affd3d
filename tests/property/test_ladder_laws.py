"""Laws of the quantization ladder: the owner's class is a limit, and no checkpoint is invented."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.quantizations import quantization
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.hardware import QUALITIES
from deepseek_operator.planner.price import ranking_price
from deepseek_operator.planner.request import PlanRequest, Quality, Supply
from deepseek_operator.planner.result import Infeasible, Plan
from planner_values import A100, CHAT_7B, CHAT_67B, H100, L40S, R1, SLA, pool, request, supply

LAWS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

requests = st.builds(
    request,
    st.sampled_from([CHAT_67B, CHAT_7B, R1]),
    sla=st.sampled_from([None, SLA]),
    max_replicas=st.integers(1, 3),
    quality=st.sampled_from(QUALITIES),
)
supplies = st.lists(
    st.builds(pool, st.sampled_from([H100, A100, L40S, "t4", "b200"]), st.integers(1, 3), st.sampled_from([1, 4, 8])),
    min_size=1,
    max_size=3,
    unique_by=lambda drawn: drawn.gpu.id,
).map(lambda drawn: supply(*drawn))


def _cost(found: Plan | Infeasible) -> Decimal:
    if isinstance(found, Infeasible):
        return Decimal("Infinity")
    return ranking_price(gpu(found.gpu)) * found.gpus_per_replica * found.replicas


@LAWS
@given(requests, supplies)
def test_a_plan_stays_in_its_class_and_needs_no_checkpoint_that_nobody_named(asked: PlanRequest, available: Supply):
    found = plan(asked, available)
    if isinstance(found, Infeasible):
        return
    rung = quantization(found.quantization)
    assert not rung.needs_checkpoint
    assert QUALITIES.index(Quality(rung.quality)) <= QUALITIES.index(asked.quality)


@LAWS
@given(requests, supplies)
def test_allowing_more_loss_never_costs_more(asked: PlanRequest, available: Supply):
    costs = [_cost(plan(replace(asked, quality=quality), available)) for quality in QUALITIES]
    assert costs == sorted(costs, reverse=True)


@LAWS
@given(requests, supplies)
def test_a_checkpoint_is_offered_only_in_the_class_and_when_it_saves(asked: PlanRequest, available: Supply):
    found = plan(asked, available)
    offered = [each for each in found.alternatives if quantization(each.quantization).needs_checkpoint]
    assert len(offered) <= 1
    for each in offered:
        allowed = QUALITIES.index(Quality(quantization(each.quantization).quality)) <= QUALITIES.index(asked.quality)
        assert (allowed, each.feasible) == (True, False)
        assert each.cost_per_hour_usd is None or each.cost_per_hour_usd < _cost(found)
