"""Laws of what the planner chooses: prices, percentiles, bands, open streams and what GPUs are there."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from deepseek_operator.catalog.batch_limits import default_batch_limits
from deepseek_operator.planner.choose import answers, cheapest
from deepseek_operator.planner.feasibility import Choice
from deepseek_operator.planner.price import priced, ranking_price
from deepseek_operator.planner.request import GpuPool, PlanRequest, Sla, Supply, Workload
from planner_values import A100, CHAT_7B, H100, L40S, R1, pool, request, supply
from property.test_planner_laws import LAWS, _merged, pools, requests, supplies

streams = st.builds(
    request,
    st.sampled_from([CHAT_7B, R1]),
    workload=st.builds(
        Workload,
        input_tokens=st.sampled_from([128, 2048]),
        output_tokens=st.sampled_from([64, 512]),
        max_context_tokens=st.just(4096),
        requests_per_minute=st.integers(1, 2000),
    ),
    sla=st.builds(
        Sla,
        ttft_milliseconds=st.integers(500, 20_000),
        tpot_milliseconds=st.integers(10, 300),
        percentile=st.sampled_from([50, 90, 95, 99]),
    ),
    max_replicas=st.integers(1, 6),
)


def choice(asked: PlanRequest, available: Supply) -> Choice | None:
    """Return what is chosen; quicker than a plan, which also says what else would work."""
    found = answers(asked, available)
    return found[0].best if found else None


def cost(asked: PlanRequest, available: Supply) -> Decimal:
    best = choice(asked, available)
    return Decimal("Infinity") if best is None else best.ranking_cost


def _with_price(available: Supply, gpu: str, factor: Decimal) -> Supply:
    return Supply(
        pools=tuple(
            replace(each, gpu=priced(each.gpu, ranking_price(each.gpu) * factor, "this test"))
            if each.gpu.id == gpu
            else each
            for each in available.pools
        )
    )


@LAWS
@given(requests | streams, supplies, st.integers(1, 99))
def test_a_cheaper_price_never_makes_the_same_gpu_less_likely(asked: PlanRequest, available: Supply, percent: int):
    before = choice(asked, available)
    assume(before is not None)
    assert before is not None
    gpu = before.candidate.pool.gpu.id
    after = choice(asked, _with_price(available, gpu, Decimal(percent) / 100))
    assert after is not None
    assert after.candidate.pool.gpu.id == gpu


@LAWS
@given(requests | streams, supplies, st.integers(1, 200))
def test_skipping_what_is_dearer_changes_no_answer(asked: PlanRequest, available: Supply, usd: int):
    best = choice(asked, available)
    assert cheapest(asked, available) == best
    affordable = best is not None and best.ranking_cost < usd
    assert cheapest(asked, available, Decimal(usd)) == (best if affordable else None)


@LAWS
@given(streams, supplies, pools)
def test_more_supply_never_makes_a_stream_infeasible_or_dearer(asked: PlanRequest, available: Supply, more: GpuPool):
    others = tuple(known for known in available.pools if known.gpu.id != more.gpu.id)
    wider = Supply(pools=(*others, _merged(available, more)))
    assert cost(asked, wider) <= cost(asked, available)


@LAWS
@given(streams, supplies, st.integers(0, 5000), st.integers(0, 200))
def test_a_looser_level_never_makes_a_stream_dearer(asked: PlanRequest, available: Supply, ttft: int, tpot: int):
    sla = asked.sla
    assert sla is not None
    looser = replace(
        sla, ttft_milliseconds=sla.ttft_milliseconds + ttft, tpot_milliseconds=sla.tpot_milliseconds + tpot
    )
    before = cost(asked, available)
    assert cost(replace(asked, sla=looser), available) <= before


@LAWS
@given(requests | streams, supplies, st.integers(50, 99), st.integers(50, 99))
def test_a_smaller_share_of_requests_is_never_dearer(asked: PlanRequest, available: Supply, one: int, other: int):
    assume(asked.sla is not None)
    assert asked.sla is not None
    smaller, larger = (replace(asked, sla=replace(asked.sla, percentile=each)) for each in sorted((one, other)))
    assert cost(smaller, available) <= cost(larger, available)


@LAWS
@given(requests | streams, supplies)
def test_what_is_sure_is_never_cheaper_than_what_is_likely(asked: PlanRequest, available: Supply):
    assume(asked.sla is not None)
    assert asked.sla is not None
    sure = replace(asked, sla=replace(asked.sla, surely=True))
    assert cost(asked, available) <= cost(sure, available)


long_prompts = st.builds(
    request,
    st.sampled_from([CHAT_7B, R1]),
    workload=st.builds(
        Workload,
        input_tokens=st.sampled_from([2048, 6000, 16_000]),
        output_tokens=st.sampled_from([64, 512]),
        max_context_tokens=st.just(32_768),
        concurrency=st.integers(1, 64),
    ),
    sla=st.builds(
        Sla,
        ttft_milliseconds=st.integers(300, 6000),
        tpot_milliseconds=st.integers(20, 200),
        percentile=st.sampled_from([50, 95]),
    ),
    max_replicas=st.integers(1, 4),
)


@LAWS
@given(long_prompts, st.sampled_from([H100, A100, L40S]))
def test_chosen_steps_never_cost_more_than_the_engines_own(asked: PlanRequest, gpu: str):
    model = replace(asked.model, max_position_embeddings=asked.workload.max_context_tokens)
    asked, available = replace(asked, model=model), supply(pool(gpu, 2))
    own = default_batch_limits(available.pools[0].usable_memory_bytes, gpu, asked.engine_release)
    best = choice(asked, available)
    assert cost(asked, available) <= cost(replace(asked, max_num_batched_tokens=own.max_num_batched_tokens), available)
    if best is not None and best.has_chosen_steps:
        told = best.estimate.settings.max_num_batched_tokens
        assert told != own.max_num_batched_tokens
        assert cost(replace(asked, max_num_batched_tokens=told), available) <= best.ranking_cost
