"""The limits that a candidate can break, in words with their numbers: memory, service level, GPUs and money."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from deepseek_operator.memory.estimate import MemoryEstimate
from deepseek_operator.performance.prediction import Prediction
from deepseek_operator.performance.queueing import LatencyPercentiles
from deepseek_operator.planner.candidates import Candidate
from deepseek_operator.planner.demand import tokens_in_flight
from deepseek_operator.planner.price import cost
from deepseek_operator.planner.request import PlanRequest
from deepseek_operator.units import ceil_div, format_gib, format_tokens, format_usd


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A broken limit.

    Args:
        detail: the limit, what is needed and what there is, as the rest of a sentence.
        shortfall: needed over available; infinite when no number says how far it is.
        tpot_over_limit: the time per output token over its limit, above 0; infinite when it is not predicted.
    """

    detail: str
    shortfall: float = math.inf
    tpot_over_limit: float = math.inf


def memory_limit(request: PlanRequest, memory: MemoryEstimate, requests: int) -> Broken | None:
    """Return why a replica cannot hold its weights or its requests; None when it can."""
    rank = memory.worst_rank
    if rank.weights_bytes > rank.budget_bytes:
        return Broken(
            detail=(
                f"{format_gib(rank.weights_bytes)} of weights per GPU against {format_gib(rank.budget_bytes)} usable"
            ),
            shortfall=rank.weights_bytes / max(1, rank.budget_bytes),
        )
    if rank.kv_cache_bytes <= 0:
        overhead = rank.budget_bytes - rank.kv_cache_bytes - rank.weights_bytes
        return Broken(
            detail=(
                f"{format_gib(rank.weights_bytes)} of weights and {format_gib(overhead)} of activations and overhead "
                f"per GPU leave nothing of {format_gib(rank.budget_bytes)} for the KV cache"
            ),
            shortfall=(rank.budget_bytes - rank.kv_cache_bytes) / rank.budget_bytes,
        )
    pool = memory.kv_cache_pool
    if pool is None:
        return Broken(detail=memory.limit)
    if pool.stored.told:
        return Broken(
            detail=(
                f"a KV cache of {memory.settings.kv_cache_dtype.value} needs the engine's option --attention-backend "
                f"{pool.stored.backend}, which is not set; leave the KV cache to the planner"
            )
        )
    if not pool.grows_evenly:
        return _curve_limit(request, memory, requests)
    longest = request.workload.max_context_tokens
    in_flight = tokens_in_flight(request.workload, requests)
    if memory.kv_cache_tokens < max(in_flight, longest):
        need = (
            f"{requests} request{'s' if requests > 1 else ''} at once"
            if in_flight >= longest
            else "one request of the longest context"
        )
        return Broken(
            detail=(
                f"the KV cache holds {format_tokens(memory.kv_cache_tokens)} beside {format_gib(rank.weights_bytes)} "
                f"of weights per GPU, {need} need{'' if requests > 1 and in_flight >= longest else 's'} "
                f"{format_tokens(max(in_flight, longest))}"
            ),
            shortfall=1 + (max(in_flight, longest) - memory.kv_cache_tokens) / max(in_flight, longest),
        )
    return Broken(detail=memory.limit, shortfall=1.0) if memory.limit else None


def _curve_limit(request: PlanRequest, memory: MemoryEstimate, requests: int) -> Broken | None:
    """The limit of a cache whose requests have a fixed cost, so that tokens do not say how many it holds."""
    per_request = request.workload.input_tokens + request.workload.output_tokens
    held = memory.requests_held(per_request)
    if memory.limit:
        return Broken(detail=memory.limit, shortfall=1.0)
    if held >= requests:
        return None
    return Broken(
        detail=(
            f"the KV cache holds {held} request{'' if held == 1 else 's'} of {format_tokens(per_request)} beside "
            f"{format_gib(memory.worst_rank.weights_bytes)} of weights per GPU and the prefill in flight, {requests} "
            f"at once are needed"
        ),
        shortfall=requests / max(1, held),
    )


def service_level_limit(
    request: PlanRequest, predicted: Prediction | None, at: LatencyPercentiles | None
) -> Broken | None:
    """Return which latency is above the service level at its percentile; None when both are within it.

    Args:
        request: the question; ``sla.surely`` judges the upper end of the prediction's band.
        predicted: the means; None when the product's rates are not known.
        at: the percentiles; None when waiting grows without bound.
    """
    sla = request.sla
    if sla is None:
        return None
    if predicted is None:
        return Broken(detail="the catalogue lacks its bandwidth or matrix rate, so the service level cannot be checked")
    if at is None:
        return Broken(detail="prompts arrive faster than they can be read, so the first tokens wait without bound")
    ttft = at.ttft_upper_milliseconds if sla.surely else at.ttft_milliseconds
    tpot = at.tpot_upper_milliseconds if sla.surely else at.tpot_milliseconds
    pairs = (("TTFT", ttft, sla.ttft_milliseconds), ("TPOT", tpot, sla.tpot_milliseconds))
    level = f"p{sla.percentile}"
    broken = [f"{level} {name} {value:,} ms against {limit:,} ms" for name, value, limit in pairs if value > limit]
    if not broken:
        return None
    return Broken(
        detail=f"predicted {' and '.join(broken)}",
        shortfall=max(value / limit for _, value, limit in pairs),
        tpot_over_limit=tpot / sla.tpot_milliseconds,
    )


def owner_limit(request: PlanRequest, candidate: Candidate) -> Broken | None:
    """Return the limit of GPUs or money that a candidate breaks at ``max_replicas``; None when it keeps them.

    A product without a known price breaks any limit of money, because nothing shows that it is kept.
    """
    shares, share = candidate.split.world_size * request.max_replicas, candidate.pool.share
    gpus = shares if share is None else ceil_div(shares, share.slices_per_gpu)
    scaled = f"at {request.max_replicas} replica{'s' if request.max_replicas > 1 else ''}"
    if request.max_gpus_total is not None and gpus > request.max_gpus_total:
        return Broken(
            detail=f"{gpus} GPUs {scaled} against a limit of {request.max_gpus_total} GPUs",
            shortfall=gpus / max(1, request.max_gpus_total),
        )
    if request.max_cost_per_hour_usd is None:
        return None
    price = cost(candidate.pool.gpu, shares)
    limit = request.max_cost_per_hour_usd
    if price is None:
        return Broken(detail=f"no known price, so the limit of {format_usd(limit)} USD per hour cannot be kept")
    if price <= limit:
        return None
    return Broken(
        detail=f"{format_usd(price)} USD per hour {scaled} against a limit of {format_usd(limit)} USD per hour",
        shortfall=float(price / max(limit, Decimal("0.01"))),
    )
