"""The search: the cheapest way to serve the demand on each pool, and over all pools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from deepseek_operator.catalog.quantizations import NATIVE
from deepseek_operator.planner.candidates import SINGLE_GPU, Exclusion, candidates, is_named
from deepseek_operator.planner.feasibility import Choice, fewest_replicas
from deepseek_operator.planner.hardware import Rung, refusal, rungs
from deepseek_operator.planner.price import ranking_price
from deepseek_operator.planner.request import GpuPool, PlanRequest, Supply
from deepseek_operator.planner.result import InfeasibleReason
from deepseek_operator.planner.sharing import allowed_pools
from deepseek_operator.planner.widths import by_product, widest_first, worth_narrowing

_HOW_FAR = (
    InfeasibleReason.NO_SUCH_GPU,
    InfeasibleReason.QUANTIZATION_UNAVAILABLE,
    InfeasibleReason.SPLIT_ILLEGAL,
    InfeasibleReason.MEMORY_INSUFFICIENT,
    InfeasibleReason.SLA_UNREACHABLE,
    InfeasibleReason.TOO_FEW_NODES,
    InfeasibleReason.BUDGET_EXCEEDED,
)
"""Order in which a candidate meets the limits: the later one is met, the nearer it was."""


ANY_COST = Decimal("Infinity")
"""No limit of money for the search."""


@dataclass(frozen=True, kw_only=True)
class PoolAnswer:
    """What one pool can do: its best choice, or the exclusion that came nearest.

    Args:
        nearest: the exclusion that came nearest; None only when nothing was excluded.
        simpler: the largest smaller split that failed, to explain why the choice is not smaller.
        wider: why all nodes of the product would not do, where the pool leaves some of them out.
        least_price_usd: per GPU and hour, of the cheapest nodes of the product, where the pool counts a dearer price.
    """

    pool: GpuPool
    best: Choice | None
    nearest: Exclusion | None
    simpler: Exclusion | None
    wider: Exclusion | None = None
    least_price_usd: Decimal | None = None


def answers(request: PlanRequest, supply: Supply) -> list[PoolAnswer]:
    """Return each allowed product's answer: those with a choice first, best first, then the others by name.

    Of the pools of one product, or of one kind of share of it, the widest that has a choice answers.
    """
    found = [answer_of_product(request, pools) for pools in by_product(_allowed(request, supply))]
    chosen = sorted((answer for answer in found if answer.best), key=_rank)
    rest = sorted(
        (answer for answer in found if not answer.best),
        key=_distance,
    )
    return chosen + rest


def cheapest(request: PlanRequest, supply: Supply, below: Decimal | None = None) -> Choice | None:
    """Return the best choice over all pools, quicker than ``answers``: what costs more than the best so far is skipped.

    Skipping changes no answer: a replica's GPUs, at the fewest replicas asked for, already cost more.

    Args:
        request: the question.
        supply: the GPUs that there are.
        below: USD per hour, known or by the reference price, that a choice must stay below; None has no limit.
    """
    best: Choice | None = None
    for pools in by_product(_allowed(request, supply)):
        most = (ANY_COST if below is None else below) if best is None else best.ranking_cost
        alone = len(pools) == 1  # what is skipped says nothing of whether a wider pool would do
        found = (answer_of_pool(request, pools[0], most) if alone else answer_of_product(request, pools)).best
        if found is None or (below is not None and found.ranking_cost >= below):
            continue
        if best is None or found.rank < best.rank:
            best = found
    return best


def answer_of_product(request: PlanRequest, pools: Sequence[GpuPool]) -> PoolAnswer:
    """Return the answer of the widest pool of a product that has a choice; of the widest where none has.

    A narrower pool is planned on only where a wider one breaks a limit: pods then find less room, now and when they
    scale. A node more leaves each pool as it was or makes it larger, so what has a choice keeps one.

    Args:
        request: the question.
        pools: of one product and kind of share, 1 or more; each leaves out other nodes of it.
    """
    ordered = widest_first(pools)
    widest = answer_of_pool(request, ordered[0])
    if widest.best is not None:
        return replace(widest, least_price_usd=_least_price(ordered))
    narrower = worth_narrowing(ordered, lambda pool: answer_of_pool(request, pool).best is not None)
    nearest = widest
    for alike in narrower:
        found = [replace(answer_of_pool(request, pool), wider=widest.nearest) for pool in alike]
        chosen = [answer for answer in found if answer.best is not None]
        if chosen:
            return min(chosen, key=_rank)
        nearest = min(nearest, *found, key=_distance)
    return nearest


def _least_price(pools: Sequence[GpuPool]) -> Decimal | None:
    """Return the lowest price below that of the first of these pools; None when that is the lowest."""
    counted = pools[0].gpu.price_per_hour_usd
    known = [pool.gpu.price_per_hour_usd for pool in pools if pool.gpu.price_per_hour_usd is not None]
    least = min(known, default=None)
    return least if counted is None or (least is not None and least < counted) else None


def answer_of_pool(request: PlanRequest, pool: GpuPool, most: Decimal = ANY_COST) -> PoolAnswer:
    """Return the best choice of one pool by the objective, with what was excluded on the way.

    Args:
        request: the question.
        pool: nodes of one GPU product.
        most: USD per hour above which a candidate is not worth trying.
    """
    refused = refusal(request, pool)
    if refused is not None:
        return PoolAnswer(pool=pool, best=None, nearest=_pool_exclusion(pool, refused[0], refused[1]), simpler=None)
    allowed, unavailable = rungs(request, pool.gpu)
    exclusions = [_pool_exclusion(pool, InfeasibleReason.QUANTIZATION_UNAVAILABLE, detail) for detail in unavailable]
    best: Choice | None = None
    for rung in allowed:
        choice, failed = _search(request, pool, rung, best, most)
        exclusions += failed
        if choice is not None and (best is None or choice.rank < best.rank):
            best = choice
    nearest = max(exclusions, key=_nearness, default=None)
    return PoolAnswer(pool=pool, best=best, nearest=nearest, simpler=_simpler(best, exclusions))


def _allowed(request: PlanRequest, supply: Supply) -> list[GpuPool]:
    named = [pool for pool in supply.pools if pool.total_gpus > 0 and (not request.gpus or is_named(request, pool))]
    return allowed_pools(request, named)


def how_far(exclusion: Exclusion | None) -> int:
    """Return how many limits an excluded candidate had passed."""
    return -1 if exclusion is None else _HOW_FAR.index(exclusion.reason)


def _search(
    request: PlanRequest, pool: GpuPool, rung: Rung, best: Choice | None, most: Decimal
) -> tuple[Choice | None, list[Exclusion]]:
    """Try the splits smallest first; one that needs more GPUs than the best so far cannot win and is skipped.

    Skipping changes no answer: on one pool every GPU costs the same, so a plan's cost rises with its GPUs, and a
    replica alone, at the fewest replicas that are asked for, would already take more of them.
    """
    each = ranking_price(pool.gpu) * request.min_replicas
    if each > most:
        return best, []
    tried, ruled_out = candidates(request, pool, rung)
    exclusions = list(ruled_out)
    for candidate in tried:
        gpus = candidate.split.world_size * request.min_replicas
        if each * candidate.split.world_size > most or (best is not None and gpus > best.gpus):
            break
        outcome = fewest_replicas(request, candidate)
        if isinstance(outcome, Exclusion):
            exclusions.append(outcome)
        elif best is None or outcome.rank < best.rank:
            best = outcome
    return best, exclusions


def _simpler(best: Choice | None, exclusions: list[Exclusion]) -> Exclusion | None:
    if best is None:
        return None
    smaller = [
        exclusion
        for exclusion in exclusions
        if exclusion.reason in {InfeasibleReason.MEMORY_INSUFFICIENT, InfeasibleReason.SLA_UNREACHABLE}
        and exclusion.quantization == best.candidate.rung.name
        and exclusion.split.world_size < best.candidate.split.world_size
    ]
    return max(smaller, key=_nearness, default=None)


def _nearness(exclusion: Exclusion) -> tuple[float, ...]:
    """Sort key: the later the broken limit the nearer, then the smaller shortfall, then the smaller, simpler split."""
    split = exclusion.split
    native = exclusion.quantization == NATIVE
    return how_far(exclusion), -exclusion.shortfall, native, -split.world_size, -split.pipeline


def _distance(answer: PoolAnswer) -> tuple[object, ...]:
    nearest = answer.nearest
    shortfall = math.inf if nearest is None else nearest.shortfall
    return -how_far(nearest), shortfall, answer.pool.gpu.id, answer.pool.nodes_by_gpu_count


def _rank(answer: PoolAnswer) -> tuple[object, ...]:
    assert answer.best is not None  # noqa: S101 - callers sort answers with a choice
    return answer.best.rank


def _pool_exclusion(pool: GpuPool, reason: InfeasibleReason, detail: str) -> Exclusion:
    return Exclusion(gpu=pool.gpu.id, split=SINGLE_GPU, quantization=NATIVE, reason=reason, detail=detail)
