"""What else could be, per GPU product: dearer plans that work, and the limit that excluded the others."""

from __future__ import annotations

from dataclasses import replace

from deepseek_operator.planner.candidates import not_joined
from deepseek_operator.planner.choose import PoolAnswer, answers
from deepseek_operator.planner.explain import cost_text, replicas_text
from deepseek_operator.planner.feasibility import Choice
from deepseek_operator.planner.hardware import AUTO, QUALITIES
from deepseek_operator.planner.request import PlanRequest, Supply
from deepseek_operator.planner.result import Alternative, InfeasibleReason
from deepseek_operator.planner.topology import is_geforce

MOST_ALTERNATIVES = 6


def alternatives(
    others: list[PoolAnswer], joins: frozenset[str], excluded_by_quality: Alternative | None = None
) -> tuple[Alternative, ...]:
    """Return at most six alternatives: a lower quality if that is cheaper, then one per product, nearest first.

    Args:
        others: pools that were not chosen, best first.
        joins: ids of the products that may be joined into one replica (see ``candidates.joins_gpus``).
        excluded_by_quality: what a lower quality class would allow, see ``cheaper_below``.
    """
    by_gpu: dict[str, Alternative] = {}
    for answer in others:
        alternative = _alternative(answer, joins)
        if alternative is not None:
            by_gpu.setdefault(alternative.gpu, alternative)
    first = () if excluded_by_quality is None else (excluded_by_quality,)
    return (*first, *by_gpu.values())[:MOST_ALTERNATIVES]


def cheaper_below(request: PlanRequest, supply: Supply, best: Choice) -> Alternative | None:
    """Return the plan of the next lower quality class when it is cheaper than the best allowed one, else None."""
    following = QUALITIES[QUALITIES.index(request.quality) + 1 :]
    if request.quantization != AUTO or not following:
        return None
    found = answers(replace(request, quality=following[0]), supply)
    other = found[0].best if found else None
    if other is None or other.ranking_cost >= best.ranking_cost:
        return None
    detail = (
        f"Quality {request.quality.value} excludes {other.candidate.rung.name}; with {following[0].value} "
        f"{replicas_text(other)} would do: {cost_text(other)}."
    )
    return _of_choice(other, detail, feasible=False)


def _of_choice(choice: Choice, detail: str, *, feasible: bool) -> Alternative:
    candidate = choice.candidate
    return Alternative(
        gpu=candidate.pool.gpu.id,
        gpus_per_replica=candidate.split.world_size,
        parallelism=candidate.split,
        quantization=candidate.rung.name,
        feasible=feasible,
        cost_per_hour_usd=choice.cost_per_hour_usd,
        detail=detail,
    )


def _alternative(answer: PoolAnswer, joins: frozenset[str]) -> Alternative | None:
    if answer.best is not None:
        detail = f"{replicas_text(answer.best)} would also do: {cost_text(answer.best)}."
        return _of_choice(answer.best, detail, feasible=True)
    limit = answer.nearest
    if limit is None:
        return None
    detail = f"{limit.detail}."
    gpu = answer.pool.gpu
    too_small = limit.reason in {InfeasibleReason.MEMORY_INSUFFICIENT, InfeasibleReason.SLA_UNREACHABLE}
    if too_small and is_geforce(gpu) and gpu.id not in joins:
        detail = f"{limit.detail}; {not_joined(answer.pool)}."
    return Alternative(
        gpu=limit.gpu,
        gpus_per_replica=limit.split.world_size,
        parallelism=limit.split,
        quantization=limit.quantization,
        feasible=False,
        cost_per_hour_usd=None,
        detail=detail,
    )
