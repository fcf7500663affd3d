"""Why this plan: at most eight plain sentences with the numbers that decided."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from deepseek_operator.catalog.quantizations import NATIVE, Quantization, quantization
from deepseek_operator.performance.queueing import LatencyPercentiles
from deepseek_operator.planner.candidates import GEFORCE_CAUTION, Exclusion
from deepseek_operator.planner.choose import PoolAnswer
from deepseek_operator.planner.demand import tokens_in_flight
from deepseek_operator.planner.feasibility import Choice, fewest_replicas, label
from deepseek_operator.planner.feature_sentences import feature_sentences
from deepseek_operator.planner.hardware import AUTO, QUALITIES, can_be_quantized
from deepseek_operator.planner.price import cost_per_million_tokens_usd, planned_tokens_per_hour, price_origin
from deepseek_operator.planner.request import PlanRequest, Quality
from deepseek_operator.planner.result import InfeasibleReason
from deepseek_operator.planner.sharing import memory_not_isolated
from deepseek_operator.planner.sizing import default_utilization_percent, preferred_settings
from deepseek_operator.planner.topology import has_fast_link, is_geforce
from deepseek_operator.units import format_gib, format_tokens, format_usd

MOST_REASONS = 8


def reasons(
    request: PlanRequest, answer: PoolAnswer, others: list[PoolAnswer], sure: Choice | None = None
) -> tuple[str, ...]:
    """Return why the best choice of ``answer`` won, most deciding first.

    Args:
        request: the question.
        answer: the winning pool.
        others: all other pools, best first.
        sure: the cheapest choice whose service level holds at the upper end of the prediction's band.
    """
    best = answer.best
    if best is None:
        return ()
    sentences = [
        _why_cheapest(request, best, answer, others),
        _why_it_fits(request, best),
        _why_the_cache_is_enough(request, best),
        _why_not_smaller(answer),
        _why_this_split(best),
        _why_the_service_level_holds(request, best, sure),
        _why_this_precision(request, best),
        _cautions(best),
    ]
    return tuple(sentence for sentence in sentences if sentence)[:MOST_REASONS]


def cost_text(choice: Choice) -> str:
    """Return what a choice costs, for people; products without a price show the marked reference price."""
    price = choice.cost_per_hour_usd
    if price is not None:
        return f"{format_usd(price)} USD per hour"
    reference = choice.ranking_cost
    if not reference.is_finite():
        return "no known price"
    return f"no known price, ranked at a reference price of {format_usd(reference)} USD per hour"


def replicas_text(choice: Choice) -> str:
    """Return a choice as people name it, such as ``2 replicas of 4 x l40s (TP4)``."""
    text = label(choice.candidate)
    return text if choice.replicas == 1 else f"{choice.replicas} replicas of {text}"


def _for_the_minimum(request: PlanRequest, best: Choice) -> str:
    """Say that the demand alone takes fewer replicas than scaling.minReplicas; empty where it does not."""
    if request.min_replicas == 1 or best.replicas > request.min_replicas:
        return ""
    alone = fewest_replicas(replace(request, min_replicas=1), best.candidate)
    if isinstance(alone, Exclusion) or alone.replicas == best.replicas:
        return ""
    return f" with scaling.minReplicas {request.min_replicas} ({alone.replicas} of them would serve the demand alone)"


def _why_cheapest(request: PlanRequest, best: Choice, answer: PoolAnswer, others: list[PoolAnswer]) -> str:
    """Name the price and the next best product."""
    minimum, tokens = _for_the_minimum(request, best), _what_tokens_cost(request, best)
    start = f"{replicas_text(best)} is the cheapest that serves the demand{minimum}: {cost_text(best)}"
    feasible = [answer.best for answer in others if answer.best is not None]
    product = best.candidate.pool.gpu.id
    second = next((other for other in feasible if other.candidate.pool.gpu.id != product), next(iter(feasible), None))
    if second is not None:
        other = f"; the next best is {replicas_text(second)}: {cost_text(second)}"
        return f"{start}{other}.{tokens}{_which_nodes(answer)}"
    rest = "; no other product of the supply serves it" if others else ""
    return f"{start}{rest}.{tokens}{_which_nodes(answer)}"


def _which_nodes(answer: PoolAnswer) -> str:
    """Return which nodes of the product the pods keep to, and why not all of them would do; empty for all."""
    pool, out = answer.pool, answer.pool.left_out
    if not out.nodes:
        return _which_price(answer)
    inside, price = sum(nodes for _, nodes in pool.nodes_by_gpu_count), pool.gpu.price_per_hour_usd
    dearest = "that" if price is None else f"{format_usd(price)} USD"
    others = []
    if out.dearer:
        others.append(
            f"{_nodes(out.dearer)} {'costs' if out.dearer == 1 else 'cost'} more than {dearest} per GPU and hour"
        )
    if out.smaller:
        has = "has" if out.smaller == 1 else "have"
        others.append(f"{_nodes(out.smaller)} {has} less than {format_gib(pool.usable_memory_bytes)} per GPU")
    if out.apart:
        others.append(f"{_nodes(out.apart)} {'is' if out.apart == 1 else 'are'} not on their RDMA network")
    by = f" ({pool.pin})" if pool.pin is not None else ""
    why = f"; all would not do: {answer.wider.detail}" if answer.wider is not None else ""
    return f" Its pods keep to {_nodes(inside)}{by}, because {', '.join(others)}{why}."


def _which_price(answer: PoolAnswer) -> str:
    """Return that nodes of the product cost less than what counts; empty where all cost the same."""
    least = answer.least_price_usd
    if least is None:
        return ""
    cheapest = f"Its cheapest nodes cost {format_usd(least)} USD per GPU and hour"
    return f" {cheapest}; the dearest count, because pods may land there, unless maxCostPerHourUsd keeps them away."


def _nodes(count: int) -> str:
    return f"{count} node{'' if count == 1 else 's'}"


def tokens_cost(request: PlanRequest, best: Choice) -> Decimal | None:
    """Return USD per million output tokens at the planned load; None without a price or a prediction."""
    tokens = planned_tokens_per_hour(request.workload, best.predicted, best.replicas)
    return cost_per_million_tokens_usd(best.cost_per_hour_usd, tokens)


def _what_tokens_cost(request: PlanRequest, best: Choice) -> str:
    """Return where the price comes from and what it makes of a million tokens; empty without a price."""
    origin = price_origin(best.candidate.pool.gpu)
    if not origin:
        return ""
    amount = tokens_cost(request, best)
    tokens = "" if amount is None else f", which makes {amount} USD per million output tokens at this demand"
    return f" Counted with the {origin}{tokens}."


def _why_it_fits(request: PlanRequest, best: Choice) -> str:
    rank = best.estimate.worst_rank
    overhead = rank.activations_bytes + rank.non_torch_bytes + rank.cuda_graph_bytes
    utilization = best.estimate.settings.gpu_memory_utilization_percent
    default = default_utilization_percent(best.estimate.settings.release)
    note = (
        f" The utilization is below the engine's default of {default} %, because driver and NCCL hold the rest."
        if request.gpu_memory_utilization_percent is None and utilization < default
        else ""
    )
    settings, share = best.estimate.settings, best.candidate.pool.share
    whole = f"{format_gib(rank.budget_bytes)} ({utilization} % of {format_gib(rank.total_bytes)})"
    if settings.kv_cache_memory_bytes:
        whole = f"{format_gib(rank.budget_bytes)} of {format_gib(rank.total_bytes)}, with a KV cache of fixed size"
    return (
        f"{'The share' if share is not None and share.is_part else 'Each GPU'} may use {whole}: "
        f"{format_gib(rank.weights_bytes)} for weights, {format_gib(overhead)} for activations and overhead, "
        f"{format_gib(rank.kv_cache_bytes)} for the KV cache.{note}{_what_was_measured(best)}{_how_surely(best)}"
        f"{feature_sentences(request, best.candidate, best.estimate.settings)}"
    )


def _how_surely(best: Choice) -> str:
    memory = best.estimate
    if memory.fits_surely:
        return ""
    return (
        f" It fits by the mean of the estimate only: at the lower end of the 90 % band "
        f"(± {memory.kv_cache_error_percent} % of the KV cache) there may be no room for one request of "
        f"{format_tokens(memory.settings.max_model_len)}."
    )


def _what_was_measured(best: Choice) -> str:
    correction = best.estimate.overhead_correction_bytes
    if not correction:
        return ""
    more_or_less = "more" if correction > 0 else "less"
    return (
        f" The overhead is {format_gib(abs(correction))} {more_or_less} than known of the engine release, as an engine "
        "that runs this model on the same GPUs reported."
    )


def _why_the_cache_is_enough(request: PlanRequest, best: Choice) -> str:
    memory, workload = best.estimate, request.workload
    needed = tokens_in_flight(workload, best.requests)
    plural = "s" if best.requests > 1 else ""
    per_request = workload.input_tokens + workload.output_tokens
    if memory.kv_cache_pool is not None and not memory.kv_cache_pool.grows_evenly:
        return (
            f"The KV cache of a replica holds {memory.requests_held(per_request):,} requests of "
            f"{format_tokens(per_request)} beside the prefill in flight (± {memory.kv_cache_error_percent} %), of "
            f"which {best.requests:,} {'are' if best.requests > 1 else 'is'} planned; a request costs "
            f"{memory.kv_cache_bytes_per_token:,} bytes per token and a fixed part."
            f"{_who_may_wait(best, memory.requests_held(per_request), best.requests)}"
        )
    return (
        f"The KV cache of a replica holds {format_tokens(memory.kv_cache_tokens)} "
        f"(± {memory.kv_cache_error_percent} %); {best.requests} request{plural} at once of "
        f"{format_tokens(per_request)} need {format_tokens(needed)}, the longest alone"
        f" {format_tokens(workload.max_context_tokens)}.{_who_may_wait(best, memory.kv_cache_tokens, needed)}"
    )


def _who_may_wait(best: Choice, held: int, needed: int) -> str:
    """Say when the cache holds what is planned by the mean of the estimate, and not at the lower end of its band."""
    surely = held * (100 - best.estimate.kv_cache_error_percent) // 100
    if surely >= needed:
        return ""
    return f" At the lower end of that 90 % band it would hold {surely:,}, and some of these requests would wait."


def _why_not_smaller(answer: PoolAnswer) -> str:
    simpler = answer.simpler
    if simpler is None:
        return ""
    kind = "does not fit" if simpler.reason is InfeasibleReason.MEMORY_INSUFFICIENT else "is not enough"
    return f"A smaller split {kind}: {simpler.detail}."


def _why_this_split(best: Choice) -> str:
    split, gpu = best.candidate.split, best.candidate.pool.gpu
    if split.world_size == 1:
        share = best.candidate.pool.share
        one = f"One GPU{'' if share is None else f' ({share})'}"
        return f"{one} holds a whole replica, so nothing is split."
    where = "one node" if best.candidate.nodes == 1 else f"{best.candidate.nodes} nodes"
    if has_fast_link(gpu):
        link = f"joined by {gpu.link_kind} inside a node"
    else:
        link = "joined by PCIe, where a tensor-parallel group above 4 is planned only when it is pinned"
    if best.candidate.nodes > 1:
        rdma = best.candidate.pool.rdma_resource
        missing = "not every node offers the same RDMA resource, and the predicted speed counts that"
        link += f", between nodes by {f'RDMA ({rdma})' if rdma else f'TCP ({missing})'}"
    parts = []
    if split.tensor > 1:
        parts.append(f"{split.tensor} GPUs share every layer")
    if split.pipeline > 1:
        parts.append(f"{split.pipeline} pipeline stages follow one another")
    if split.data > 1:
        parts.append(f"{split.data} engines hold their own attention and KV cache")
    if split.expert:
        parts.append("experts are spread over all of them")
    return f"{split}: {', '.join(parts)}, on {where}, {link}."


def _why_the_service_level_holds(request: PlanRequest, best: Choice, sure: Choice | None) -> str:
    sla, predicted = request.sla, best.predicted
    if predicted is None:
        return "Its speed is not predicted, because the catalogue lacks its bandwidth or matrix rate."
    ttft_error = predicted.ttft_error_percent or predicted.error_percent
    tpot_error = predicted.tpot_error_percent or predicted.error_percent
    load = (
        f"at {best.load} request{'s' if best.load > 1 else ''} per replica{_of_rate(request)} ({predicted.source_text})"
    )
    means = f"TTFT {predicted.ttft_milliseconds:,} ms (± {ttft_error} %) and TPOT {predicted.tpot_milliseconds:,} ms"
    at = best.percentiles
    if sla is None or at is None:
        return f"Predicted {load}: {means} (± {tpot_error} %) on average; the bands hold 90 %."
    level = f"p{at.percentile}"
    return (
        f"Predicted {load}: {level} TTFT {at.ttft_milliseconds:,} ms of {sla.ttft_milliseconds:,} allowed "
        f"(± {ttft_error} %) and {level} TPOT {at.tpot_milliseconds:,} ms of {sla.tpot_milliseconds:,} allowed "
        f"(± {tpot_error} %), with means of {predicted.ttft_milliseconds:,} and {predicted.tpot_milliseconds:,} ms. "
        f"{_how_sure(best, at, sure)}{_why_this_batch(request, best)}"
    )


def _of_rate(request: PlanRequest) -> str:
    """Say which of the varying numbers in flight of a rate speed is told at; empty for a steady number."""
    rate, sla = request.workload.requests_per_minute, request.sla
    if rate is None:
        return ""
    of_number = "the mean" if sla is None else f"p{sla.percentile}"
    return f", {of_number} of those in flight at {rate:,} a minute"


def _why_this_batch(request: PlanRequest, best: Choice) -> str:
    """Say which batch limits differ from those that the engine would be told otherwise."""
    told = best.estimate.settings
    preferred = preferred_settings(request, best.candidate, best.requests)
    text = ""
    if told.max_num_seqs < preferred.max_num_seqs:
        each = " of each engine" if best.candidate.split.data > 1 else ""
        end = f" A batch{each} ends at {told.max_num_seqs:,} requests"
        text += f"{end}, so that a burst waits and does not slow all others."
    if best.has_chosen_steps:
        text += (
            f" Steps of {told.max_num_batched_tokens:,} tokens keep the service level, which the engine's "
            f"{preferred.max_num_batched_tokens:,} miss."
        )
    elif told.max_num_batched_tokens < preferred.max_num_batched_tokens:
        text += f" Steps of {told.max_num_batched_tokens:,} tokens leave room for the KV cache."
    return text


def _how_sure(best: Choice, at: LatencyPercentiles, sure: Choice | None) -> str:
    """Say whether the service level holds at the upper end of the band, and what would make it so."""
    if best.is_sure:
        return "The service level holds at the upper end of these 90 % bands too: it is sure."
    ends = f"{at.ttft_upper_milliseconds:,} and {at.tpot_upper_milliseconds:,} ms"
    start = f"That is likely, not sure: the upper ends of these 90 % bands are {ends}"
    if sure is None:
        return f"{start}, and nothing in the supply is sure."
    return f"{start}; {replicas_text(sure)} would be sure: {cost_text(sure)}."


def _why_this_precision(request: PlanRequest, best: Choice) -> str:
    rung, quality = quantization(best.candidate.rung.name), request.quality
    if rung.name == NATIVE:
        if request.quantization != AUTO:
            return f"Quantization {NATIVE} is what the request pins."
        if quality is Quality.LOSSLESS:
            return "The checkpoint runs as stored (Lossless)."
        if not can_be_quantized(request.model):
            return f"The checkpoint runs as stored, in {request.model.stored_precision}; it cannot be quantized again."
        return f"Quality {quality.value} would allow quantizing while loading, but it would not be cheaper."
    if request.quantization == AUTO:
        why = (
            f"Quality {quality.value} allows {rung.name}, which makes the plan cheaper than Native or its memory surer"
        )
    else:
        lower = QUALITIES.index(Quality(rung.quality)) > QUALITIES.index(quality)
        why = f"Quantization {rung.name} is what the request pins"
        why += f", although its class {rung.quality} is below quality {quality.value}" if lower else ""
    return f"{why}. {published_loss(rung)}"


def published_loss(rung: Quantization) -> str:
    """Return what is published about the loss of a rung, with its source, as one sentence.

    >>> published_loss(quantization("NVFP4"))[:75]
    'Published loss: usually below 1 % against FP8, says the maker of the format'
    """
    source = f" ({rung.quality_source})" if rung.quality_source else ""
    return f"Published loss: {rung.quality_note}{source}."


def _cautions(best: Choice) -> str:
    gpu, rung, share = best.candidate.pool.gpu, best.candidate.rung, best.candidate.pool.share
    notes = []
    if not_isolated := memory_not_isolated(share):
        notes.append(f"{not_isolated}; it is as fast as predicted while every sharer is busy, and nothing is promised")
    if rung.weight_only:
        notes.append(
            f"{gpu.id} has no native units for the stored precision, so weights are widened to 16 bits when they are "
            "used (memory is saved, arithmetic is not)"
        )
    if is_geforce(gpu):
        notes.append(GEFORCE_CAUTION)
    return f"Note: {'; '.join(notes)}." if notes else ""
