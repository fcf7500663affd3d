"""When nothing fits: the nearest change of the request or of the supply that would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from deepseek_operator.catalog.gpus import gpus as catalogue
from deepseek_operator.planner.choose import answers
from deepseek_operator.planner.explain import cost_text, replicas_text
from deepseek_operator.planner.feasibility import Choice
from deepseek_operator.planner.hardware import AUTO, QUALITIES
from deepseek_operator.planner.request import GpuPool, PinnedParallelism, PlanRequest, Supply
from deepseek_operator.planner.topology import is_geforce
from deepseek_operator.units import format_usd

MOST_NODES_ADDED = 8
MOST_SUGGESTIONS = 2
_NODE_SIZE = 8


def nearest(request: PlanRequest, supply: Supply) -> str:
    """Return at most two changes that would make the request feasible, as one sentence; empty when none is found.

    Each was planned in full, so it works if it is made. Tried in order: limits of GPUs and money, other products of the
    supply, more nodes of the same product, a milder demand on quality, a shorter context, fewer requests at once, a
    looser service level, and nodes of another product.
    """
    found: list[str] = []
    for suggestion in _suggestions(request, supply):
        found.append(suggestion)
        if len(found) == MOST_SUGGESTIONS:
            break
    if not found:
        return ""
    text = "; or ".join(found)
    return f"{text[0].upper()}{text[1:]}."


def _suggestions(request: PlanRequest, supply: Supply) -> Iterator[str]:
    yield from _without_pins(request, supply)
    yield from _without_limits(request, supply)
    yield from _other_products(request, supply)
    yield from _more_nodes(request, supply)
    yield from _other_quality(request, supply)
    yield from _smaller_demand(request, supply)
    yield from _looser_service_level(request, supply)
    yield from _product_to_buy(request)


def _best(request: PlanRequest, supply: Supply) -> Choice | None:
    found = answers(request, supply)
    return found[0].best if found else None


def _without_pins(request: PlanRequest, supply: Supply) -> Iterator[str]:
    """Leave to the planner, one after another, what the request pins."""
    freed = {
        "the parallelism": replace(request, parallelism=PinnedParallelism()),
        "the quantization": replace(request, quantization=AUTO),
        "the memory utilization": replace(request, gpu_memory_utilization_percent=None),
        "the batch limits": replace(request, max_num_seqs=None, max_num_batched_tokens=None),
    }
    for what, free in freed.items():
        if free != request and (best := _best(free, supply)) is not None:
            yield f"leave {what} to the planner: {replicas_text(best)}"


def _without_limits(request: PlanRequest, supply: Supply) -> Iterator[str]:
    if request.max_gpus_total is None and request.max_cost_per_hour_usd is None:
        return
    best = _best(replace(request, max_gpus_total=None, max_cost_per_hour_usd=None), supply)
    if best is None:
        return
    gpus = best.candidate.split.world_size * request.max_replicas
    changes = []
    if request.max_gpus_total is not None and gpus > request.max_gpus_total:
        changes.append(f"maxGpusTotal to {gpus}")
    if request.max_cost_per_hour_usd is not None:
        price = best.candidate.pool.gpu.price_per_hour_usd
        if price is not None and price * gpus > request.max_cost_per_hour_usd:
            changes.append(f"maxCostPerHourUsd to {format_usd(price * gpus)}")
    if changes:
        fewer = " or lower maxReplicas" if request.max_replicas > 1 else ""
        yield f"raise {' and '.join(changes)}{fewer} for {replicas_text(best)}"


def _other_products(request: PlanRequest, supply: Supply) -> Iterator[str]:
    named_only = tuple(sorted({pool.gpu.id for pool in supply.pools}))
    if set(named_only) <= set(request.gpus):
        return
    allowed = replace(request, gpus=()) if request.gpus else replace(request, gpus=named_only)
    best = _best(allowed, supply)
    if best is not None:
        yield f"allow {best.candidate.pool.gpu.id} in hardware.gpus: {replicas_text(best)}"


def _more_nodes(request: PlanRequest, supply: Supply) -> Iterator[str]:
    """Add equal nodes of a product that is there already; the fewest nodes over all products win, then the cheapest."""
    pools = [pool for pool in supply.pools if pool.largest_node and (not request.gpus or pool.gpu.id in request.gpus)]
    for added in range(1, MOST_NODES_ADDED + 1):
        wider = [(pool, _widened(pool, added)) for pool in pools]
        choices = [(best, pool) for pool, wide in wider if (best := _best(request, Supply(pools=(wide,)))) is not None]
        if choices:
            best, pool = min(choices, key=lambda pair: pair[0].rank)
            nodes = f"{added} node{'s' if added > 1 else ''} of {pool.largest_node} x {pool.gpu.id}"
            yield f"add {nodes}: {_spread(best)}"
            return


def _widened(pool: GpuPool, added: int) -> GpuPool:
    nodes = dict(pool.nodes_by_gpu_count)
    nodes[pool.largest_node] += added
    return replace(pool, nodes_by_gpu_count=tuple(sorted(nodes.items())))


def _spread(best: Choice) -> str:
    candidate = best.candidate
    if candidate.nodes == 1:
        return f"{replicas_text(best)} then serves it"
    each = candidate.split.world_size // candidate.nodes
    return f"{candidate.nodes} nodes of {each} x {candidate.pool.gpu.id} then hold one replica ({candidate.split})"


def _other_quality(request: PlanRequest, supply: Supply) -> Iterator[str]:
    for quality in QUALITIES[QUALITIES.index(request.quality) + 1 :]:
        best = _best(replace(request, quality=quality), supply)
        if best is not None:
            yield f"allow quality {quality.value}: {replicas_text(best)}"
            return


def _smaller_demand(request: PlanRequest, supply: Supply) -> Iterator[str]:
    workload = request.workload
    shortest = workload.input_tokens + workload.output_tokens
    context = workload.max_context_tokens // 2
    while context >= shortest:
        if _best(replace(request, workload=replace(workload, max_context_tokens=context)), supply) is not None:
            yield f"shorten maxContextTokens to {context:,} tokens"
            break
        context //= 2
    requests = (workload.concurrency or 1) // 2
    while requests >= 1:
        if _best(replace(request, workload=replace(workload, concurrency=requests)), supply) is not None:
            yield f"ask for {requests} concurrent request{'s' if requests > 1 else ''}"
            return
        requests //= 2


def _looser_service_level(request: PlanRequest, supply: Supply) -> Iterator[str]:
    """Name the service level that the fastest fitting plan is predicted to reach."""
    sla = request.sla
    if sla is None:
        return
    for factor in (2, 4, 8, 16):
        loose = replace(
            sla,
            ttft_milliseconds=sla.ttft_milliseconds * factor,
            tpot_milliseconds=sla.tpot_milliseconds * factor,
        )
        best = _best(replace(request, sla=loose), supply)
        if best is not None and best.percentiles is not None:
            at = best.percentiles
            yield (
                f"allow TTFT {at.ttft_milliseconds:,} ms and TPOT {at.tpot_milliseconds:,} ms at p{at.percentile}: "
                f"{replicas_text(best)}"
            )
            return


def _product_to_buy(request: PlanRequest) -> Iterator[str]:
    """Name the cheapest priced product of the catalogue of which one node of eight would do."""
    pools = tuple(
        GpuPool(gpu=gpu, usable_memory_bytes=gpu.usable_memory_bytes, nodes_by_gpu_count=((_NODE_SIZE, 1),))
        for gpu in catalogue()
        if gpu.usable_memory_bytes and gpu.price_per_hour_usd is not None and not is_geforce(gpu)
    )
    best = _best(replace(request, gpus=()), Supply(pools=pools))
    if best is not None:
        yield f"add a node of {_NODE_SIZE} x {best.candidate.pool.gpu.id}: {replicas_text(best)}, {cost_text(best)}"
