"""Does one candidate serve the demand: memory first, then the service level, then the limits of the owner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache

from deepseek_operator.memory.estimate import MemoryEstimate
from deepseek_operator.performance.prediction import Prediction
from deepseek_operator.performance.queueing import LatencyPercentiles, normal_excess
from deepseek_operator.planner.candidates import Candidate, Exclusion, node_shapes
from deepseek_operator.planner.demand import BATCH_DEVIATIONS, requests_for_rate, share
from deepseek_operator.planner.hardware import AUTO
from deepseek_operator.planner.host_room import host_memory_limit, replicas_in_host_memory
from deepseek_operator.planner.limits import Broken, memory_limit, owner_limit, service_level_limit
from deepseek_operator.planner.price import cost, ranking_price
from deepseek_operator.planner.request import PinnedParallelism, PlanRequest, Quality
from deepseek_operator.planner.result import InfeasibleReason
from deepseek_operator.planner.sizing import (
    predict_percentiles,
    predict_speed,
    size_memory,
    smaller_batches,
    steps_worth_trying,
)
from deepseek_operator.planner.topology import further_layouts, replicas_held
from deepseek_operator.units import ceil_div


@dataclass(frozen=True, kw_only=True)
class InFlight:
    """Requests in flight in one replica.

    Args:
        load: at which speed and service level are judged, 1 or more.
        most: for which batch and memory have room.
    """

    load: int
    most: int

    @classmethod
    def steady(cls, requests: int) -> InFlight:
        """Return a number that does not vary."""
        return cls(load=requests, most=requests)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A candidate that serves the demand with so many replicas.

    Args:
        requests: most requests in flight in the busiest replica, for which its batch and its memory have room.
        load: requests in flight in it at which speed and service level are judged: fewer only where they vary.
        percentiles: latencies at the service level's percentile; None without a service level.
        is_sure: whether the service level also holds at the upper end of the prediction's 90 % band.
        has_chosen_steps: whether the service level holds only with other tokens per step than the engine's own.
    """

    candidate: Candidate
    replicas: int
    requests: int
    load: int
    estimate: MemoryEstimate
    predicted: Prediction | None
    percentiles: LatencyPercentiles | None = None
    is_sure: bool = True
    has_chosen_steps: bool = False

    @property
    def gpus(self) -> int:
        """GPUs of all replicas."""
        return self.replicas * self.candidate.split.world_size

    @property
    def cost_per_hour_usd(self) -> Decimal | None:
        """Cost of all replicas; None when the product has no known price."""
        return cost(self.candidate.pool.gpu, self.gpus)

    @property
    def ranking_cost(self) -> Decimal:
        """What the objective compares: the cost, or the reference cost of a product without a price."""
        return ranking_price(self.candidate.pool.gpu) * self.gpus

    @property
    def rank(self) -> tuple[object, ...]:
        """Sort key: cheapest, sure memory, fewest GPUs, mildest precision, sure speed, own steps, simplest split."""
        split, pool = self.candidate.split, self.candidate.pool
        return (
            self.ranking_cost,
            not self.estimate.fits_surely,
            self.gpus,
            self.candidate.rung.order,
            not self.is_sure,
            self.has_chosen_steps,
            self.candidate.nodes,
            split.data,
            split.expert,
            split.pipeline,
            split.tensor,
            pool.gpu.id,
            pool.usable_memory_bytes,
            pool.nodes_by_gpu_count,
        )


def fewest_replicas(request: PlanRequest, candidate: Candidate) -> Choice | Exclusion:
    """Return the candidate with the fewest allowed replicas that serve, or the limit that even the most break.

    Where host memory holds fewer replicas than the GPUs, replicas that take less of each of more nodes are tried too.
    """
    within = _within_host_memory(request, candidate)
    outcome = _fewest_replicas(request, within)
    if isinstance(outcome, Choice) or within is candidate:
        return outcome
    for nodes, held in further_layouts(candidate.pool, candidate.split, candidate.nodes):
        spread = replace(candidate, nodes=nodes, most_replicas=min(request.max_replicas, held))
        other = _fewest_replicas(request, _within_host_memory(request, spread))
        if isinstance(other, Choice):
            return other
    return outcome


def _fewest_replicas(request: PlanRequest, candidate: Candidate) -> Choice | Exclusion:
    """Return the outcome for replicas on so many nodes each.

    More replicas never serve less: each gets a smaller share, so the number is found by bisection.
    """
    enough = check(request, candidate, candidate.most_replicas)
    if isinstance(enough, Exclusion):
        return enough
    if candidate.most_replicas < request.min_replicas:
        return _excluded(candidate, InfeasibleReason.TOO_FEW_NODES, _too_few_nodes(request, candidate))
    broken = owner_limit(request, candidate)
    if broken is not None:
        return _excluded(candidate, InfeasibleReason.BUDGET_EXCEEDED, broken)
    low = request.min_replicas
    while low < enough.replicas:
        middle = (low + enough.replicas) // 2
        outcome = check(request, candidate, middle)
        if isinstance(outcome, Exclusion):
            low = middle + 1
        else:
            enough = outcome
    return enough


def check(request: PlanRequest, candidate: Candidate, replicas: int) -> Choice | Exclusion:
    """Return the candidate as a choice when so many replicas of it serve the demand, else the first broken limit."""
    in_flight = _requests_per_replica(request, candidate, replicas)
    if in_flight is None:
        return _excluded(candidate, InfeasibleReason.SLA_UNREACHABLE, _cannot_keep_up(request, candidate, replicas))
    requests = in_flight.most
    per_engine = ceil_div(requests, candidate.split.data)
    if request.max_num_seqs is not None and per_engine > request.max_num_seqs:
        broken = Broken(
            detail=(
                f"max_num_seqs is set to {request.max_num_seqs}, and {per_engine} requests at once are to be served by "
                f"each engine of {replicas} replica{'s' if replicas > 1 else ''}"
            ),
            shortfall=per_engine / request.max_num_seqs,
        )
        return _excluded(candidate, InfeasibleReason.SLA_UNREACHABLE, broken)
    memory, short_of_memory = _fitting_memory(_without_goals(request), candidate, requests)
    if short_of_memory is not None:
        return short_of_memory
    limit = host_memory_limit(request, candidate, memory, replicas)
    if limit is not None:
        return _excluded(candidate, InfeasibleReason.MEMORY_INSUFFICIENT, limit)
    outcome = _served(request, candidate, memory, in_flight, replicas)
    if isinstance(outcome, Broken):
        instead = _with_other_steps(request, candidate, memory, in_flight, replicas, outcome)
        return instead or _excluded(candidate, InfeasibleReason.SLA_UNREACHABLE, outcome)
    return outcome


def _served(
    request: PlanRequest, candidate: Candidate, memory: MemoryEstimate, in_flight: InFlight, replicas: int
) -> Choice | Broken:
    """Return the candidate as a choice when it keeps the service level with the settings of an estimate."""
    predicted = predict_speed(request, candidate, memory, in_flight.load)
    at = predict_percentiles(request, candidate, memory, in_flight.load, predicted, replicas=replicas)
    limit = service_level_limit(request, predicted, at)
    if limit is not None:
        return limit
    return Choice(
        candidate=candidate,
        replicas=replicas,
        requests=in_flight.most,
        load=in_flight.load,
        estimate=memory,
        predicted=predicted,
        percentiles=at,
        is_sure=_is_sure(request, at),
    )


def _with_other_steps(
    request: PlanRequest,
    candidate: Candidate,
    memory: MemoryEstimate,
    in_flight: InFlight,
    replicas: int,
    broken: Broken,
) -> Choice | None:
    """Return the candidate with tokens per step that keep a service level which the engine's own miss; None without."""
    for settings in steps_worth_trying(request, candidate, memory, in_flight.load, broken.tpot_over_limit):
        other = size_memory(request, candidate, in_flight.most, settings)
        if memory_limit(request, other, in_flight.most) is not None:
            continue
        outcome = _served(request, candidate, other, in_flight, replicas)
        if isinstance(outcome, Choice) and host_memory_limit(request, candidate, other, replicas) is None:
            return replace(outcome, has_chosen_steps=True)
    return None


def _within_host_memory(request: PlanRequest, candidate: Candidate) -> Candidate:
    """Return the candidate with no more replicas than host memory can hold; one stays, so that its limit is named."""
    if not candidate.pool.host_memory_by_node:
        return candidate
    held = replicas_in_host_memory(request, candidate, size_memory(request, candidate, 1))
    return replace(candidate, most_replicas=max(1, held)) if held < candidate.most_replicas else candidate


@lru_cache(maxsize=64)
def _without_goals(request: PlanRequest) -> PlanRequest:
    """Return a question without what memory and speed of one replica do not depend on.

    A search for what would be near asks about the same replicas again and again, each time with another goal.
    """
    workload = replace(request.workload, concurrency=None, requests_per_minute=None)
    return replace(
        request,
        model_name="",
        workload=workload,
        sla=None,
        gpus=(),
        max_gpus_total=None,
        max_cost_per_hour_usd=None,
        min_replicas=1,
        max_replicas=1,
        quality=Quality.LOSSLESS,
        quantization=AUTO,
        assumes_checkpoints=False,
        parallelism=PinnedParallelism(),
        fallbacks=(),
        deploy_nearest=False,
        compromise=None,
        second_source=None,
    )


@lru_cache(maxsize=8192)
def _fitting_memory(
    request: PlanRequest, candidate: Candidate, requests: int
) -> tuple[MemoryEstimate, Exclusion | None]:
    """Return the memory with the preferred batch limits, or with the mildest smaller ones that fit."""
    preferred = size_memory(request, candidate, requests)
    limit = memory_limit(request, preferred, requests)
    if limit is None:
        return preferred, None
    excluded = _excluded(candidate, InfeasibleReason.MEMORY_INSUFFICIENT, limit)
    worst = preferred.worst_rank
    if worst.weights_bytes + worst.non_torch_bytes > worst.budget_bytes:
        return preferred, excluded
    for settings in smaller_batches(request, preferred.settings, ceil_div(requests, candidate.split.data)):
        memory = size_memory(request, candidate, requests, settings)
        if memory_limit(request, memory, requests) is None:
            return memory, None
    return preferred, excluded


def with_batch_limit(request: PlanRequest, choice: Choice) -> Choice:
    """Return the choice with a batch no larger than the service level's TPOT allows, so that a burst waits.

    Without it a burst would slow the answers of all requests below the level. The planned load always stays in one
    batch; a pinned ``max_num_seqs`` stays.
    """
    sla, settings = request.sla, choice.estimate.settings
    data = choice.candidate.split.data
    low, high = ceil_div(choice.requests, data), settings.max_num_seqs
    if sla is None or request.max_num_seqs is not None:
        return choice
    while low < high:
        middle = (low + high + 1) // 2
        predicted = predict_speed(request, choice.candidate, choice.estimate, middle * data)
        at = predict_percentiles(
            request, choice.candidate, choice.estimate, middle * data, predicted, replicas=choice.replicas
        )
        if at is not None and at.tpot_milliseconds <= sla.tpot_milliseconds:
            low = middle
        else:
            high = middle - 1
    if low == settings.max_num_seqs:
        return choice
    smaller = size_memory(request, choice.candidate, choice.requests, replace(settings, max_num_seqs=low))
    return replace(choice, estimate=smaller)


def _is_sure(request: PlanRequest, at: LatencyPercentiles | None) -> bool:
    sla = request.sla
    if sla is None or at is None:
        return True
    return at.ttft_upper_milliseconds <= sla.ttft_milliseconds and at.tpot_upper_milliseconds <= sla.tpot_milliseconds


def label(candidate: Candidate) -> str:
    """Return a candidate as people name it, such as ``4 x h100-sxm5-80gb (TP4)``."""
    rung = "" if candidate.rung.name == "Native" else f", {candidate.rung.name}"
    split = "" if candidate.split.world_size == 1 and not rung else f" ({candidate.split}{rung})"
    return f"{candidate.split.world_size} x {candidate.pool.name}{split}"


def _excluded(candidate: Candidate, reason: InfeasibleReason, broken: Broken) -> Exclusion:
    return Exclusion(
        gpu=candidate.pool.gpu.id,
        split=candidate.split,
        quantization=candidate.rung.name,
        reason=reason,
        detail=f"{label(candidate)}: {broken.detail}",
        shortfall=broken.shortfall,
    )


def _requests_per_replica(request: PlanRequest, candidate: Candidate, replicas: int) -> InFlight | None:
    """Requests in flight in the busiest replica; None when it cannot keep up with the arrival rate.

    Those of a closed loop are as many as are asked for. Those of a rate vary: a level is judged at its percentile of
    their number, and without one the speed is that of their mean.
    """
    workload = request.workload
    if workload.requests_per_minute is None:
        return InFlight.steady(share(workload.concurrency or 1, replicas))
    memory = size_memory(request, candidate, 1)
    judged = None if request.sla is None else normal_excess(request.sla.percentile)
    load, most = (
        requests_for_rate(
            workload.requests_per_minute,
            replicas,
            workload.output_tokens,
            lambda requests: predict_speed(request, candidate, memory, requests),
            deviations,
        )
        for deviations in (judged, BATCH_DEVIATIONS)
    )
    return None if load is None or most is None else InFlight(load=load, most=most)


def _too_few_nodes(request: PlanRequest, candidate: Candidate) -> Broken:
    held, gpus = candidate.most_replicas, candidate.split.world_size // candidate.nodes
    why = " by their host memory" if replicas_held(candidate.pool, gpus, candidate.nodes) > held else ""
    return Broken(
        detail=(
            f"the nodes ({node_shapes(candidate.pool)}) hold {held} replica{'s' if held > 1 else ''}{why} and "
            f"scaling.minReplicas asks for {request.min_replicas}"
        ),
        shortfall=request.min_replicas / held,
    )


def _cannot_keep_up(request: PlanRequest, candidate: Candidate, replicas: int) -> Broken:
    if predict_speed(request, candidate, size_memory(request, candidate, 1), 1) is None:
        return Broken(
            detail=(
                "the catalogue lacks its bandwidth or matrix rate, so it is not known how many requests a rate leaves "
                "in flight; give workload.concurrency"
            )
        )
    many = f"{replicas} replica{'s' if replicas > 1 else ''}"
    return Broken(detail=f"{many} cannot keep up with {request.workload.requests_per_minute:,} requests per minute")
