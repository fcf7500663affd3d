"""When nothing fits: the nearest change of the request or of the supply that would, along each axis.

The work is bounded: an axis that cannot help is left after one search, and the others are searched by halving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.gpus import gpus as catalogue
from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.quantizations import quantization
from deepseek_operator.memory.weights import parameter_counts
from deepseek_operator.planner.choose import cheapest
from deepseek_operator.planner.explain import replicas_text
from deepseek_operator.planner.feasibility import Choice
from deepseek_operator.planner.gpu_share import Sharing
from deepseek_operator.planner.hardware import AUTO, QUALITIES
from deepseek_operator.planner.request import GpuPool, PinnedParallelism, PlanRequest, Sla, Supply
from deepseek_operator.planner.result import InfeasibleReason, NearestAxis, NearestPlan
from deepseek_operator.planner.topology import is_geforce
from deepseek_operator.planner.widths import by_product
from deepseek_operator.units import format_usd

MOST_NODES_ADDED = 8
MOST_REPLICAS = 1000
"""The field's own limit (``spec.scaling.maxReplicas``)."""

MOST_SUGGESTIONS = 2
"""Suggestions in the sentence; the list has all that were found."""

SMALLER_MODELS = (
    "deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
)
"""Largest first. Source: model card of deepseek-ai/DeepSeek-R1, "DeepSeek-R1-Distill Models"."""

LOOSER_FACTORS = (2, 4, 8, 16, 1_000_000)
"""By how much a service level is loosened; the last limits nothing but waiting that grows without bound."""

_NODE_SIZE = 8


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A nearest plan with the question that has it as its answer.

    Args:
        request: what to ask; the supply is the same unless the axis is more or other GPUs to buy.
    """

    nearest: NearestPlan
    request: PlanRequest


def nearest_plans(request: PlanRequest, supply: Supply, reason: InfeasibleReason) -> tuple[NearestPlan, ...]:
    """Return changes that would each make the request feasible, at most one per axis, the most likely to help first.

    Each was planned in full, so it works if it is made. Axes that cannot help against ``reason`` are not tried: a
    broken limit of money asks for no more nodes, no service level makes memory, and no shorter context makes speed.
    """
    searches: list[Callable[[PlanRequest, Supply], Iterator[Suggestion]]] = [_without_pins]
    over_budget = reason is InfeasibleReason.BUDGET_EXCEEDED
    too_slow = reason in {InfeasibleReason.SLA_UNREACHABLE, InfeasibleReason.BUDGET_EXCEEDED}
    if not over_budget:
        searches.append(_more_replicas)
    searches += [_without_limits, _other_products]
    if not over_budget:
        searches.append(_more_nodes)
    searches.append(_other_quality)
    if reason is not InfeasibleReason.SLA_UNREACHABLE:
        searches.append(_shorter_context)
    searches.append(_fewer_requests)
    if too_slow:
        searches.append(_looser_service_level)
    found = [suggestion.nearest for search in searches for suggestion in search(request, supply)]
    if len(found) < (1 if too_slow else MOST_SUGGESTIONS) and not over_budget:
        found += [suggestion.nearest for suggestion in _product_to_buy(request, supply)]
    return (*found, *(suggestion.nearest for suggestion in _smaller_model(request, supply)))


def within_reach(request: PlanRequest, supply: Supply) -> Suggestion | None:
    """Return the nearest plan that gives up service but no limit of the owner; None when there is none.

    Given up is the first that is enough of: the service level, the requests at once, the context. Never given up are
    GPUs, money, quality, the model and what is pinned.
    """
    for search in (_looser_service_level, _fewer_requests, _shorter_context):
        for suggestion in search(request, supply):
            return suggestion
    return None


def nearest_sentence(found: tuple[NearestPlan, ...]) -> str:
    """Return the first two suggestions as one sentence; empty without any."""
    if not found:
        return ""
    text = "; or ".join(f"{each.change}: {each.plan}{_price(each)}" for each in found[:MOST_SUGGESTIONS])
    return f"{text[0].upper()}{text[1:]}."


def _price(found: NearestPlan) -> str:
    """Return the cost of GPUs that would have to be bought, as the end of a clause; empty for the others."""
    if found.axis is not NearestAxis.NEW_PRODUCT or found.cost_per_hour_usd is None:
        return ""
    return f", {format_usd(found.cost_per_hour_usd)} USD per hour"


def _best(request: PlanRequest, supply: Supply) -> Choice | None:
    return cheapest(request, supply)


def _suggestion(axis: NearestAxis, change: str, request: PlanRequest, best: Choice, plan: str = "") -> Suggestion:
    found = NearestPlan(
        axis=axis, change=change, plan=plan or replicas_text(best), cost_per_hour_usd=best.cost_per_hour_usd
    )
    return Suggestion(nearest=found, request=request)


def _without_pins(request: PlanRequest, supply: Supply) -> Iterator[Suggestion]:
    """Leave to the planner one of the things that the request pins."""
    freed = {
        "the parallelism": replace(request, parallelism=PinnedParallelism()),
        "the quantization": replace(request, quantization=AUTO),
        "the memory utilization": replace(request, gpu_memory_utilization_percent=None),
        "the batch limits": replace(request, max_num_seqs=None, max_num_batched_tokens=None),
        "the MIG profile": replace(request, mig_profile=""),
        "the sharing": replace(request, mig_profile="", sharing=Sharing.AUTO),
    }
    for what, free in freed.items():
        if free != request and (best := _best(free, supply)) is not None:
            yield _suggestion(NearestAxis.PIN, f"leave {what} to the planner", free, best)
            return


def _more_replicas(request: PlanRequest, supply: Supply) -> Iterator[Suggestion]:
    """Name the replicas of the cheapest plan on the GPUs that are there, where more than may run now would serve.

    Each takes a GPU at least and gets a request at least. The owner's limits hold at so many replicas too.
    """
    workload, gpus = request.workload, sum(pool.total_gpus for pool in supply.pools)
    requests = MOST_REPLICAS if workload.requests_per_minute is not None else workload.concurrency or 1
    most = min(MOST_REPLICAS, gpus, requests)
    if most <= request.max_replicas:
        return
    unlimited = replace(request, max_replicas=most, max_gpus_total=None, max_cost_per_hour_usd=None)
    cheap = _best(unlimited, supply)
    if cheap is None:
        return
    asked = replace(request, max_replicas=cheap.replicas)
    if (best := _best(asked, supply)) is not None:
        yield _suggestion(NearestAxis.REPLICAS, f"raise scaling.maxReplicas to {best.replicas}", asked, best)


def _without_limits(request: PlanRequest, supply: Supply) -> Iterator[Suggestion]:
    if request.max_gpus_total is None and request.max_cost_per_hour_usd is None:
        return
    free = replace(request, max_gpus_total=None, max_cost_per_hour_usd=None)
    best = _best(free, supply)
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
        yield _suggestion(NearestAxis.LIMIT, f"raise {' and '.join(changes)}{fewer}", free, best)


def _other_products(request: PlanRequest, supply: Supply) -> Iterator[Suggestion]:
    """Allow a product that is there and not named; unless products are named only GeForce boards need that."""
    unnamed = tuple(
        pool for pool in supply.pools if pool.gpu.id not in request.gpus and (request.gpus or is_geforce(pool.gpu))
    )
    allowed = replace(request, gpus=tuple(sorted({pool.gpu.id for pool in unnamed})))
    best = _best(allowed, Supply(pools=unnamed)) if unnamed else None
    if best is not None:
        yield _suggestion(NearestAxis.PRODUCT, f"allow {best.candidate.pool.gpu.id} in hardware.gpus", allowed, best)


def _more_nodes(request: PlanRequest, supply: Supply) -> Iterator[Suggestion]:
    """Add equal nodes of a product that is there already; the fewest nodes over all products win, then the cheapest."""
    there = [pool for pool in supply.pools if pool.largest_node and (not request.gpus or pool.gpu.id in request.gpus)]
    products = by_product(there)
    low, enough, winner = 1, MOST_NODES_ADDED + 1, None
    added = MOST_NODES_ADDED
    while low < enough:
        wider = [(pools, Supply(pools=tuple(_widened(pool, added) for pool in pools))) for pools in products]
        choices = [(best, pools) for pools, wide in wider if (best := _best(request, wide)) is not None]
        if choices:
            enough, winner = added, min(choices, key=lambda pair: pair[0].rank)
            products = [pools for _, pools in choices]  # more nodes never serve less, so the others need more
        elif winner is None:
            return
        else:
            low = added + 1
        added = (low + enough) // 2
    if winner is not None:
        best, pool = winner[0], winner[0].candidate.pool
        nodes = f"{enough} node{'s' if enough > 1 else ''} of {pool.largest_node} x {pool.name}"
        yield _suggestion(NearestAxis.NODES, f"add {nodes}", request, best, _spread(best))


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


def _other_quality(request: PlanRequest, supply: Supply) -> Iterator[Suggestion]:
    lower = QUALITIES[QUALITIES.index(request.quality) + 1 :]
    found = _first([replace(request, quality=quality) for quality in lower], supply)
    if found is not None:
        asked, best = found
        yield _suggestion(NearestAxis.QUALITY, f"allow quality {asked.quality.value}", asked, best)


def _shorter_context(request: PlanRequest, supply: Supply) -> Iterator[Suggestion]:
    """Halve the context until it is enough, no further than one request needs."""
    workload = request.workload
    shortest = workload.input_tokens + workload.output_tokens
    lengths = _halves(workload.max_context_tokens, shortest)
    found = _first(
        [replace(request, workload=replace(workload, max_context_tokens=length)) for length in lengths], supply
    )
    if found is not None:
        shorter, best = found
        tokens = shorter.workload.max_context_tokens
        yield _suggestion(NearestAxis.CONTEXT, f"shorten maxContextTokens to {tokens:,} tokens", shorter, best)


def _fewer_requests(request: PlanRequest, supply: Supply) -> Iterator[Suggestion]:
    """Halve the concurrency until it is enough."""
    workload = request.workload
    if workload.concurrency is None:
        return
    counts = _halves(workload.concurrency, 1)
    found = _first([replace(request, workload=replace(workload, concurrency=count)) for count in counts], supply)
    if found is not None:
        fewer, best = found
        count = fewer.workload.concurrency or 1
        plural = "s" if count > 1 else ""
        yield _suggestion(NearestAxis.CONCURRENCY, f"ask for {count} concurrent request{plural}", fewer, best)


def _halves(most: int, least: int) -> list[int]:
    """Return the halves of a number down to a least value, largest first.

    >>> _halves(32, 5), _halves(4, 4)
    ([16, 8], [])
    """
    found = []
    while (most := most // 2) >= least:
        found.append(most)
    return found


def _first(questions: Sequence[PlanRequest], supply: Supply) -> tuple[PlanRequest, Choice] | None:
    """Return the first question that has a plan, with it, by halving; None after one search when the last has none.

    Args:
        questions: each easier than the one before.
        supply: of all of them; each is asked with what its own model measured.
    """

    def best_of(question: PlanRequest) -> Choice | None:
        return _best(question, supply.measured_for(question.model_name))

    low, high = 0, len(questions) - 1
    found = best_of(questions[high]) if questions else None
    if found is None:
        return None
    while low < high:
        middle = (low + high) // 2
        if (best := best_of(questions[middle])) is not None:
            high, found = middle, best
        else:
            low = middle + 1
    return questions[high], found


def _looser_service_level(request: PlanRequest, supply: Supply) -> Iterator[Suggestion]:
    """Name the service level that the fastest fitting plan is predicted to reach."""
    sla = request.sla
    if sla is None:
        return
    found = _first([replace(request, sla=_times(sla, factor)) for factor in LOOSER_FACTORS], supply)
    if found is None or found[1].percentiles is None:
        return
    best, at = found[1], found[1].percentiles
    reached = replace(
        sla,
        ttft_milliseconds=max(at.ttft_milliseconds, sla.ttft_milliseconds),
        tpot_milliseconds=max(at.tpot_milliseconds, sla.tpot_milliseconds),
    )
    change = (
        f"allow TTFT {reached.ttft_milliseconds:,} ms and TPOT {reached.tpot_milliseconds:,} ms at "
        f"p{reached.percentile}"
    )
    yield _suggestion(NearestAxis.SERVICE_LEVEL, change, replace(request, sla=reached), best)


def _times(sla: Sla, factor: int) -> Sla:
    return replace(
        sla, ttft_milliseconds=sla.ttft_milliseconds * factor, tpot_milliseconds=sla.tpot_milliseconds * factor
    )


def _product_to_buy(request: PlanRequest, supply: Supply) -> Iterator[Suggestion]:
    """Name the cheapest priced product of which one node of eight would do, at the prices of the supply.

    Products that the request names come first; of another, the change says that it must be allowed too.
    """
    known = {pool.gpu.id: pool.gpu for pool in supply.pools if pool.share is None or not pool.share.is_part}
    pools = tuple(
        GpuPool(
            gpu=known.get(gpu.id, gpu),
            usable_memory_bytes=gpu.usable_memory_bytes,
            nodes_by_gpu_count=((_NODE_SIZE, 1),),
        )
        for gpu in catalogue()
        if gpu.usable_memory_bytes and (gpu.id in request.gpus or _is_worth_buying(gpu))
    )
    if request.gpus and (best := _best(request, Supply(pools=pools))) is not None:
        yield _suggestion(NearestAxis.NEW_PRODUCT, _node_of(best), request, best)
        return
    anywhere = replace(request, gpus=())
    worth_buying = tuple(pool for pool in pools if _is_worth_buying(pool.gpu))
    best = _best(anywhere, Supply(pools=worth_buying))
    if best is not None:
        allowed = f"allow {best.candidate.pool.gpu.id} in hardware.gpus and " if request.gpus else ""
        yield _suggestion(NearestAxis.NEW_PRODUCT, f"{allowed}{_node_of(best)}", anywhere, best)


def _node_of(best: Choice) -> str:
    return f"add a node of {_NODE_SIZE} x {best.candidate.pool.gpu.id}"


def _is_worth_buying(gpu: Gpu) -> bool:
    return gpu.price_per_hour_usd is not None and not is_geforce(gpu)


def _smaller_model(request: PlanRequest, supply: Supply) -> Iterator[Suggestion]:
    """Name the largest distilled model, smaller than the asked one, that can be served; its answers are another's.

    A pinned format that needs a checkpoint holds the asked model's weights, so that no other model can run in it.
    """
    if request.quantization != AUTO and quantization(request.quantization).needs_checkpoint:
        return
    asked = sum(parameter_counts(request.model).values())
    others = [
        replace(request, model_name=name, model=shape(name), fallbacks=())
        for name in SMALLER_MODELS
        if sum(parameter_counts(shape(name)).values()) < asked
        and request.workload.max_context_tokens <= shape(name).max_position_embeddings
    ]
    found = _first(others, supply)
    if found is not None:
        other, best = found
        yield _suggestion(NearestAxis.MODEL, f"list {other.model_name} in fallbacks", other, best)
