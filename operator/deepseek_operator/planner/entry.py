"""The planner's one entry: a request and a supply in, a plan or the reason why there is none out."""

from __future__ import annotations

from dataclasses import replace

from deepseek_operator.errors import shortened
from deepseek_operator.performance.second_source import SecondSource
from deepseek_operator.planner.alternatives import alternatives, cheaper_below, with_a_checkpoint
from deepseek_operator.planner.candidates import joins_gpus
from deepseek_operator.planner.choose import PoolAnswer, answers, cheapest
from deepseek_operator.planner.compromise import Compromise, CompromiseKind
from deepseek_operator.planner.explain import MOST_REASONS, reasons, tokens_cost
from deepseek_operator.planner.feasibility import Choice, with_batch_limit
from deepseek_operator.planner.nearest import nearest_plans, nearest_sentence, within_reach
from deepseek_operator.planner.offload_answer import host_memory_sentences
from deepseek_operator.planner.rdma import rdma_of
from deepseek_operator.planner.request import PlanRequest, Supply
from deepseek_operator.planner.result import Infeasible, InfeasibleReason, Plan


def plan(request: PlanRequest, supply: Supply) -> Plan | Infeasible:
    """Return the cheapest way to serve a request with the GPUs that exist, or why there is none.

    Tried are: every allowed product of the supply, the precisions that the quality class allows, every legal split that
    the nodes hold, and 1 to ``max_replicas`` replicas. A plan holds one request of ``max_context_tokens`` and the
    replica's share of the demand in its KV cache, and meets the service level at its percentile by the speed
    prediction. The cheapest wins, then fewest GPUs, mildest quantization, what is sure at the upper end of the
    prediction's band, simplest split. Deterministic: equal arguments give equal answers.

    When what is asked has no plan, the first of ``request.fallbacks`` that has one is planned instead; when none has
    and ``request.deploy_nearest`` is set, the nearest plan that gives up service. Either says so in ``compromise``.

    Args:
        request: one question; what it pins is obeyed or refused by name.
        supply: schedulable physical GPUs, whether or not they are free.

    Raises:
        UnknownQuantizationError: ``request.quantization`` is neither ``Auto`` nor in the catalogue.
        UnknownEngineReleaseError: the engine release is not in the catalogue.
        UnsupportedModelError: the model has an attention that memory cannot be computed for.
    """
    answer = _asked(request, supply.measured_for(request.model_name))
    if isinstance(answer, Plan):
        return answer if request.compromise is None else _on_the_ladder(answer, request.compromise)
    instead = _fallback(request, supply, answer) or _nearest_plan(request, supply, answer)
    return instead or _with_nearest(request, supply.measured_for(request.model_name), answer)


def plan_with(second: SecondSource | None, request: PlanRequest, supply: Supply) -> Plan | Infeasible:
    """Return `plan`'s answer with a second source of speeds; one that breaks meanwhile counts as none.

    Args:
        second: measured kernel times; None plans by the roofline alone.
        request: as for `plan`.
        supply: as for `plan`.
    """
    if second is None or second.failed:
        return plan(request, supply)
    others = tuple(replace(other, second_source=second) for other in request.fallbacks)
    answer = plan(replace(request, second_source=second, fallbacks=others), supply)
    return plan(request, supply) if second.failed else answer


def _asked(request: PlanRequest, supply: Supply) -> Plan | Infeasible:
    """Return the answer to the question itself; a refusal does not say yet what would be near."""
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


def _fallback(request: PlanRequest, supply: Supply, refused: Infeasible) -> Plan | None:
    """Return the plan of the first smaller model that has one."""
    for other in request.fallbacks:
        answer = _asked(other, supply.measured_for(other.model_name))
        if isinstance(answer, Plan):
            listed = " of fallbacks" if request.compromise is None else ""
            change = f"{shortened(other.model_name)}{listed} runs in its place"
            return _compromised(answer, CompromiseKind.FALLBACK, request, refused, change)
    return None


def _nearest_plan(request: PlanRequest, supply: Supply, refused: Infeasible) -> Plan | None:
    """Return the nearest plan that gives up service, where the owner takes one."""
    if not request.deploy_nearest or refused.reason is InfeasibleReason.CONTEXT_TOO_LONG:
        return None
    measured = supply.measured_for(request.model_name)
    found = within_reach(request, measured)
    answer = None if found is None else _asked(found.request, measured)
    if found is None or not isinstance(answer, Plan):
        return None
    change = f"the nearest plan runs (onInfeasible), as if asked to {found.nearest.change}"
    return _compromised(answer, CompromiseKind.NEAREST, request, refused, change)


def _on_the_ladder(plan: Plan, compromise: Compromise) -> Plan:
    """Return a plan that is asked for in place of another, and says so first."""
    said = f"{compromise.change}; {compromise.message}."
    return replace(plan, compromise=compromise, reasons=(said, *plan.reasons)[:MOST_REASONS])


def _compromised(plan: Plan, kind: CompromiseKind, request: PlanRequest, refused: Infeasible, change: str) -> Plan:
    compromise = Compromise(
        kind=kind, asked_model=request.model_name, reason=refused.reason.value, change=change, message=refused.message
    )
    said = f"{refused.message.rstrip('.')} ({refused.reason.value}); so {change}."
    return replace(plan, compromise=compromise, reasons=(said, *plan.reasons)[:MOST_REASONS])


def _with_nearest(request: PlanRequest, supply: Supply, refused: Infeasible) -> Infeasible:
    """Add what would be feasible."""
    if refused.reason is InfeasibleReason.CONTEXT_TOO_LONG:
        return refused
    found = nearest_plans(request, supply, refused.reason)
    sentences = (nearest_sentence(found), refused.nearest)
    return replace(refused, nearest=" ".join(text for text in sentences if text), nearest_plans=found)


def _plan(request: PlanRequest, supply: Supply, found: list[PoolAnswer], joins: frozenset[str]) -> Plan:
    answer, others = found[0], found[1:]
    best = answer.best
    assert best is not None  # noqa: S101 - the caller passes an answer with a choice
    best = with_batch_limit(request, best)
    answer = replace(answer, best=best)
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
        share=candidate.pool.share,
        pin=candidate.pool.pin,
        cost_per_hour_usd=best.cost_per_hour_usd,
        cost_per_million_tokens_usd=tokens_cost(request, best),
        features=request.features,
        reasons=reasons(request, answer, others, _surest(request, supply, best)),
        alternatives=alternatives(
            others, joins, with_a_checkpoint(request, supply, best), cheaper_below(request, supply, best)
        ),
        rdma=rdma_of(candidate.pool, gpus=candidate.split.world_size, nodes=candidate.nodes),
    )


def _surest(request: PlanRequest, supply: Supply, best: Choice) -> Choice | None:
    """Return the cheapest choice that keeps the service level at the upper end of the prediction's band too."""
    if best.is_sure or request.sla is None:
        return best
    return cheapest(replace(request, sla=replace(request.sla, surely=True)), supply)


def _infeasible(request: PlanRequest, supply: Supply, found: list[PoolAnswer], joins: frozenset[str]) -> Infeasible:
    name = shortened(request.model_name)
    limit = found[0].nearest if found else None
    if limit is None:
        there = ", ".join(sorted({pool.gpu.id for pool in supply.pools if pool.total_gpus}))
        left_out = f"; {supply.excluded}" if supply.excluded else ""
        asked = f"none of {', '.join(request.gpus)} (it has: {there})" if request.gpus and there else "no GPU"
        return Infeasible(
            reason=InfeasibleReason.NO_SUCH_GPU,
            message=f"{name} cannot be planned: the supply has {asked}{left_out}.",
            nearest="",
        )
    short_of_memory = limit.reason is InfeasibleReason.MEMORY_INSUFFICIENT
    on_host = host_memory_sentences(request, found[0].pool) if short_of_memory else ""
    return Infeasible(
        reason=limit.reason,
        message=f"{name} cannot be planned; the nearest attempt fails: {limit.detail}.",
        nearest=on_host,
        alternatives=alternatives(found, joins, with_a_checkpoint(request, supply, None)),
    )
