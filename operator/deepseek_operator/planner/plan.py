"""The planner's one entry: a request and a supply in, a plan or the reason why there is none out."""

from __future__ import annotations

from dataclasses import replace

from deepseek_operator.errors import shortened
from deepseek_operator.planner.alternatives import alternatives, cheaper_below, with_a_checkpoint
from deepseek_operator.planner.candidates import joins_gpus
from deepseek_operator.planner.choose import PoolAnswer, answers
from deepseek_operator.planner.explain import reasons
from deepseek_operator.planner.feasibility import Choice
from deepseek_operator.planner.nearest import nearest
from deepseek_operator.planner.offload_answer import host_memory_sentences
from deepseek_operator.planner.request import PlanRequest, Supply
from deepseek_operator.planner.result import Infeasible, InfeasibleReason, Plan


def plan(request: PlanRequest, supply: Supply) -> Plan | Infeasible:
    """Return the cheapest way to serve a request with the GPUs that exist, or why there is none.

    Tried are: every allowed product of the supply, the precisions that the quality class allows, every legal split that
    the nodes hold, and 1 to ``max_replicas`` replicas. A plan holds one request of ``max_context_tokens`` and the
    replica's share of the demand in its KV cache, and meets the service level at its percentile by the speed
    prediction. The cheapest wins, then fewest GPUs, mildest quantization, what is sure at the upper end of the
    prediction's band, simplest split. Deterministic: equal arguments give equal answers.

    Args:
        request: one question; what it pins is obeyed or refused by name.
        supply: schedulable physical GPUs, whether or not they are free.

    Raises:
        UnknownQuantizationError: ``request.quantization`` is neither ``Auto`` nor in the catalogue.
        UnknownEngineReleaseError: the engine release is not in the catalogue.
        UnsupportedModelError: the model has an attention that memory cannot be computed for.
    """
    longest = request.model.max_position_embeddings
    if request.workload.max_context_tokens > longest:
        return Infeasible(
            reason=InfeasibleReason.CONTEXT_TOO_LONG,
            message=(
                f"{shortened(request.model_name)} handles at most {longest:,} tokens of context; "
                f"{request.workload.max_context_tokens:,} tokens are asked for."
            ),
            nearest=f"Set maxContextTokens to {longest:,} tokens or less.",
        )
    found = answers(request, supply)
    joins = frozenset(answer.pool.gpu.id for answer in found if joins_gpus(request, answer.pool))
    if found and found[0].best is not None:
        return _plan(request, supply, found, joins)
    return _infeasible(request, supply, found, joins)


def _plan(request: PlanRequest, supply: Supply, found: list[PoolAnswer], joins: frozenset[str]) -> Plan:
    answer, others = found[0], found[1:]
    best = answer.best
    assert best is not None  # noqa: S101 - the caller passes an answer with a choice
    candidate, memory = best.candidate, best.estimate
    return Plan(
        model_name=request.model_name,
        gpu=candidate.pool.gpu.id,
        gpus_per_replica=candidate.split.world_size,
        nodes_per_replica=candidate.nodes,
        replicas=best.replicas,
        parallelism=candidate.split,
        quantization=candidate.rung.name,
        kv_cache_dtype=memory.settings.kv_cache_dtype,
        max_model_len=memory.settings.max_model_len,
        max_num_seqs=memory.settings.max_num_seqs,
        max_num_batched_tokens=memory.settings.max_num_batched_tokens,
        gpu_memory_utilization_percent=memory.settings.gpu_memory_utilization_percent,
        engine_release=memory.settings.release,
        memory=memory.worst_rank,
        kv_cache_tokens=memory.kv_cache_tokens,
        kv_cache_bytes_per_token=memory.kv_cache_bytes_per_token,
        kv_cache_error_percent=memory.kv_cache_error_percent,
        predicted=best.predicted,
        cost_per_hour_usd=best.cost_per_hour_usd,
        reasons=reasons(request, answer, others, _surest(request, supply, best)),
        alternatives=alternatives(
            others, joins, with_a_checkpoint(request, supply, best), cheaper_below(request, supply, best)
        ),
    )


def _surest(request: PlanRequest, supply: Supply, best: Choice) -> Choice | None:
    """Return the cheapest choice that keeps the service level at the upper end of the prediction's band too."""
    if best.is_sure or request.sla is None:
        return best
    found = answers(replace(request, sla=replace(request.sla, surely=True)), supply)
    return found[0].best if found else None


def _infeasible(request: PlanRequest, supply: Supply, found: list[PoolAnswer], joins: frozenset[str]) -> Infeasible:
    name = shortened(request.model_name)
    limit = found[0].nearest if found else None
    if limit is None:
        there = ", ".join(sorted({pool.gpu.id for pool in supply.pools if pool.total_gpus})) or "none"
        left_out = f"; {supply.excluded}" if supply.excluded else ""
        asked = f"none of {', '.join(request.gpus)}" if request.gpus else "no GPU"
        return Infeasible(
            reason=InfeasibleReason.NO_SUCH_GPU,
            message=f"{name} cannot be planned: the supply has {asked} (it has: {there}){left_out}.",
            nearest=nearest(request, supply),
        )
    short_of_memory = limit.reason is InfeasibleReason.MEMORY_INSUFFICIENT
    on_host = host_memory_sentences(request, found[0].pool) if short_of_memory else ""
    return Infeasible(
        reason=limit.reason,
        message=f"{name} cannot be planned; the nearest attempt fails: {limit.detail}.",
        nearest=" ".join(text for text in (nearest(request, supply), on_host) if text),
        alternatives=alternatives(found, joins, with_a_checkpoint(request, supply, None)),
    )
