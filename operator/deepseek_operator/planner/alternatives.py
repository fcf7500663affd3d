"""What else could be, per GPU product: dearer plans that work, and the limit that excluded the others."""

from __future__ import annotations

from deepseek_operator.planner.choose import PoolAnswer
from deepseek_operator.planner.explain import GEFORCE_CAUTION, cost_text, replicas_text
from deepseek_operator.planner.feasibility import Choice
from deepseek_operator.planner.result import Alternative, InfeasibleReason
from deepseek_operator.planner.topology import is_geforce

MOST_ALTERNATIVES = 6


def alternatives(others: list[PoolAnswer], joins: frozenset[str]) -> tuple[Alternative, ...]:
    """Return at most six alternatives, one per product, in the order in which they come near.

    Args:
        others: pools that were not chosen, best first.
        joins: ids of the products that may be joined into one replica (see ``candidates.joins_gpus``).
    """
    by_gpu: dict[str, Alternative] = {}
    for answer in others:
        alternative = _alternative(answer, joins)
        if alternative is not None:
            by_gpu.setdefault(alternative.gpu, alternative)
    return tuple(by_gpu.values())[:MOST_ALTERNATIVES]


def of_choice(choice: Choice, detail: str) -> Alternative:
    """Return a choice as an alternative with the given sentence."""
    candidate = choice.candidate
    return Alternative(
        gpu=candidate.pool.gpu.id,
        gpus_per_replica=candidate.split.world_size,
        parallelism=candidate.split,
        quantization=candidate.rung.name,
        feasible=True,
        cost_per_hour_usd=choice.cost_per_hour_usd,
        detail=detail,
    )


def _alternative(answer: PoolAnswer, joins: frozenset[str]) -> Alternative | None:
    if answer.best is not None:
        return of_choice(answer.best, f"{replicas_text(answer.best)} would also do: {cost_text(answer.best)}.")
    limit = answer.nearest
    if limit is None:
        return None
    detail = f"{limit.detail}."
    gpu = answer.pool.gpu
    too_small = limit.reason in {InfeasibleReason.MEMORY_INSUFFICIENT, InfeasibleReason.SLA_UNREACHABLE}
    if too_small and is_geforce(gpu) and gpu.id not in joins:
        detail = (
            f"{limit.detail}; several are joined only when hardware.gpus names {gpu.id}: no link, no peer-to-peer "
            f"copies, and {GEFORCE_CAUTION}."
        )
    return Alternative(
        gpu=limit.gpu,
        gpus_per_replica=limit.split.world_size,
        parallelism=limit.split,
        quantization=limit.quantization,
        feasible=False,
        cost_per_hour_usd=None,
        detail=detail,
    )
