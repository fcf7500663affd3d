"""What else could be, per GPU product: dearer plans that work, and the limit that excluded the others."""

from __future__ import annotations

from dataclasses import replace

from deepseek_operator.catalog.quantizations import quantization
from deepseek_operator.planner.candidates import not_joined
from deepseek_operator.planner.choose import PoolAnswer, cheapest
from deepseek_operator.planner.explain import cost_text, published_loss, replicas_text
from deepseek_operator.planner.feasibility import Choice
from deepseek_operator.planner.hardware import AUTO, QUALITIES
from deepseek_operator.planner.request import PlanRequest, Quality, Supply
from deepseek_operator.planner.result import Alternative, InfeasibleReason
from deepseek_operator.planner.topology import is_geforce

MOST_ALTERNATIVES = 6


def alternatives(
    others: list[PoolAnswer], joins: frozenset[str], *excluded: Alternative | None
) -> tuple[Alternative, ...]:
    """Return at most six alternatives: what something else would allow, then one per product, nearest first.

    Args:
        others: pools that were not chosen, best first.
        joins: ids of the products that may be joined into one replica (see ``candidates.joins_gpus``).
        excluded: what a lower quality class or a quantized checkpoint would allow, see ``cheaper_below`` and
            ``with_a_checkpoint``.
    """
    by_gpu: dict[str, Alternative] = {}
    for answer in others:
        alternative = _alternative(answer, joins)
        if alternative is not None:
            by_gpu.setdefault(alternative.gpu, alternative)
    first = [each for each in excluded if each is not None]
    return (*first, *by_gpu.values())[:MOST_ALTERNATIVES]


def cheaper_below(request: PlanRequest, supply: Supply, best: Choice) -> Alternative | None:
    """Return the plan of the next lower quality class when it is cheaper than the best allowed one, else None."""
    following = QUALITIES[QUALITIES.index(request.quality) + 1 :]
    if request.quantization != AUTO or not following:
        return None
    other = cheapest(replace(request, quality=following[0]), supply, best.ranking_cost)
    if other is None:
        return None
    detail = (
        f"Quality {request.quality.value} excludes {other.candidate.rung.name}; with {following[0].value} "
        f"{replicas_text(other)} would do: {cost_text(other)}."
    )
    return _of_choice(other, detail, feasible=False)


def with_a_checkpoint(request: PlanRequest, supply: Supply, best: Choice | None) -> Alternative | None:
    """Return what a quantized checkpoint, which the user would have to name, allows inside the quality class.

    Args:
        request: the question.
        supply: the GPUs that there are.
        best: the plan; None when there is none.

    Returns:
        The cheapest such plan when it is cheaper than ``best``, else None.
    """
    if request.quantization != AUTO or request.quality is Quality.LOSSLESS:
        return None
    below = None if best is None else best.ranking_cost
    other = cheapest(replace(request, assumes_checkpoints=True), supply, below)
    if other is None:
        return None
    rung = quantization(other.candidate.rung.name)
    detail = (
        f"{replicas_text(other)} would fit with a checkpoint of the model in {rung.name}, which precision.checkpoint "
        f"and precision.quantization would have to name: {cost_text(other)}. {published_loss(rung)}"
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
