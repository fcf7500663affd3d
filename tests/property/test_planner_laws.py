"""Laws of the planner over models, demands and supplies drawn at random."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from deepseek_operator.catalog.batch_limits import default_batch_limits
from deepseek_operator.memory.estimate import EngineSettings, estimate
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.price import ranking_price
from deepseek_operator.planner.request import GpuPool, PlanRequest, Quality, Sla, Supply, Workload
from deepseek_operator.planner.result import Infeasible, Plan
from planner_values import A100, CHAT_7B, CHAT_67B, H100, L40S, R1, RTX_4090, pool, request, supply

PRODUCTS = (H100, A100, L40S, RTX_4090, "h200-sxm", "l4", "h20-96gb")
LAWS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

workloads = st.builds(
    Workload,
    input_tokens=st.sampled_from([128, 1024, 2048]),
    output_tokens=st.sampled_from([64, 512]),
    max_context_tokens=st.sampled_from([2560, 4096]),
    concurrency=st.integers(1, 300),
)
service_levels = st.none() | st.builds(
    Sla, ttft_milliseconds=st.integers(100, 20_000), tpot_milliseconds=st.integers(10, 300)
)
requests = st.builds(
    request,
    st.sampled_from([CHAT_67B, CHAT_7B, R1]),
    workload=workloads,
    sla=service_levels,
    max_replicas=st.integers(1, 6),
    quality=st.sampled_from([Quality.LOSSLESS, Quality.NEAR_LOSSLESS]),
    max_gpus_total=st.none() | st.integers(1, 64),
    max_cost_per_hour_usd=st.none() | st.integers(1, 200).map(Decimal),
)
pools = st.builds(pool, st.sampled_from(PRODUCTS), st.integers(1, 4), st.sampled_from([1, 2, 4, 8, 16]))
supplies = st.lists(pools, min_size=1, max_size=3, unique_by=lambda drawn: drawn.gpu.id).map(
    lambda drawn: supply(*drawn)
)


def _ranking_cost(found: Plan | Infeasible, available: Supply) -> Decimal:
    if isinstance(found, Infeasible):
        return Decimal("Infinity")
    product = next(known.gpu for known in available.pools if known.gpu.id == found.gpu)
    return ranking_price(product) * found.gpus_per_replica * found.replicas


@LAWS
@given(requests, supplies)
def test_a_plan_fits_by_the_memory_estimate_and_keeps_every_limit(asked: PlanRequest, available: Supply):
    found = plan(asked, available)
    assume(isinstance(found, Plan))
    assert isinstance(found, Plan)
    nodes = next(known for known in available.pools if known.gpu.id == found.gpu)
    memory = estimate(
        asked.model,
        found.parallelism,
        EngineSettings(
            release=found.engine_release,
            gpu_memory_utilization_percent=found.gpu_memory_utilization_percent,
            max_model_len=found.max_model_len,
            max_num_seqs=found.max_num_seqs,
            max_num_batched_tokens=found.max_num_batched_tokens,
            kv_cache_dtype=found.kv_cache_dtype,
            quantization=found.quantization,
        ),
        nodes.usable_memory_bytes,
        nodes.gpu.compute_capability,
    )
    assert memory.fits, memory.limit
    assert memory.kv_cache_tokens == found.kv_cache_tokens
    workload = asked.workload
    assert workload.concurrency is not None
    served = found.replicas * found.kv_cache_tokens
    assert served >= workload.concurrency * (workload.input_tokens + workload.output_tokens)
    assert 1 <= found.replicas <= asked.max_replicas
    assert found.gpus_per_replica == found.parallelism.world_size
    assert found.gpus_per_replica * found.replicas <= nodes.total_gpus
    assert found.max_num_seqs <= max(
        default_batch_limits(nodes.usable_memory_bytes, nodes.gpu.id, found.engine_release).max_num_seqs,
        workload.concurrency,
    )
    if asked.max_gpus_total is not None:
        assert found.gpus_per_replica * asked.max_replicas <= asked.max_gpus_total
    if asked.max_cost_per_hour_usd is not None:
        assert found.cost_per_hour_usd is not None
        assert found.cost_per_hour_usd / found.replicas * asked.max_replicas <= asked.max_cost_per_hour_usd
    if asked.sla is not None:  # whose percentiles lie above the means
        assert found.predicted is not None
        assert found.predicted.ttft_milliseconds <= asked.sla.ttft_milliseconds
        assert found.predicted.tpot_milliseconds <= asked.sla.tpot_milliseconds


@LAWS
@given(requests, supplies, pools)
def test_more_supply_never_makes_a_plan_dearer_or_impossible(asked: PlanRequest, available: Supply, more: GpuPool):
    wider = Supply(
        pools=(*(known for known in available.pools if known.gpu.id != more.gpu.id), _merged(available, more))
    )
    assert _ranking_cost(plan(asked, wider), wider) <= _ranking_cost(plan(asked, available), available)


@LAWS
@given(requests, supplies, st.integers(0, 5000), st.integers(0, 200))
def test_a_looser_service_level_never_makes_a_plan_dearer(asked: PlanRequest, available: Supply, ttft: int, tpot: int):
    assume(asked.sla is not None)
    assert asked.sla is not None
    looser = replace(
        asked.sla,
        ttft_milliseconds=asked.sla.ttft_milliseconds + ttft,
        tpot_milliseconds=asked.sla.tpot_milliseconds + tpot,
    )
    before = _ranking_cost(plan(asked, available), available)
    assert _ranking_cost(plan(replace(asked, sla=looser), available), available) <= before
    assert _ranking_cost(plan(replace(asked, sla=None), available), available) <= before


@LAWS
@given(requests, supplies, st.integers(0, 64), st.integers(0, 100))
def test_a_bigger_budget_never_makes_a_plan_dearer(asked: PlanRequest, available: Supply, gpus: int, usd: int):
    bigger = replace(
        asked,
        max_gpus_total=None if asked.max_gpus_total is None else asked.max_gpus_total + gpus,
        max_cost_per_hour_usd=None if asked.max_cost_per_hour_usd is None else asked.max_cost_per_hour_usd + usd,
    )
    before = _ranking_cost(plan(asked, available), available)
    assert _ranking_cost(plan(bigger, available), available) <= before


@LAWS
@given(requests, supplies, st.integers(1, 100))
def test_more_requests_at_once_are_never_cheaper(asked: PlanRequest, available: Supply, more: int):
    assert asked.workload.concurrency is not None
    heavier = replace(asked, workload=replace(asked.workload, concurrency=asked.workload.concurrency + more))
    before = _ranking_cost(plan(asked, available), available)
    assert _ranking_cost(plan(heavier, available), available) >= before


@LAWS
@given(requests, supplies)
def test_a_lower_quality_class_is_never_dearer(asked: PlanRequest, available: Supply):
    lower = replace(asked, quality=Quality.ECONOMY)
    assert _ranking_cost(plan(lower, available), available) <= _ranking_cost(plan(asked, available), available)


@LAWS
@given(requests, supplies)
def test_equal_questions_get_equal_answers_in_any_order_of_the_pools(asked: PlanRequest, available: Supply):
    turned = Supply(pools=tuple(reversed(available.pools)))
    assert plan(asked, available) == plan(asked, turned)


def _merged(available: Supply, more: GpuPool) -> GpuPool:
    nodes = dict(more.nodes_by_gpu_count)
    for known in available.pools:
        if known.gpu.id == more.gpu.id:
            for gpus, count in known.nodes_by_gpu_count:
                nodes[gpus] = nodes.get(gpus, 0) + count
    return replace(more, nodes_by_gpu_count=tuple(sorted(nodes.items())))
