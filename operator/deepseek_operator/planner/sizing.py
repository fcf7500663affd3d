"""What the engine of one replica is told, and the memory that follows."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from deepseek_operator.catalog.batch_limits import STEP_TOKENS, default_batch_limits
from deepseek_operator.catalog.engines import DEFAULT_ENGINE, engine_release
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.memory.estimate import EngineSettings, MemoryEstimate, estimate
from deepseek_operator.performance.chunked_prefill import further_steps
from deepseek_operator.performance.features import Precision, ServingPoint
from deepseek_operator.performance.prediction import Prediction
from deepseek_operator.performance.queueing import LatencyPercentiles, latency_percentiles
from deepseek_operator.performance.roofline import matrix_tflops, predict
from deepseek_operator.performance.second_source import is_asked
from deepseek_operator.planner.candidates import Candidate
from deepseek_operator.planner.demand import batch_limit
from deepseek_operator.planner.engine_features import NO_FEATURES, with_features
from deepseek_operator.planner.featured_speed import predict_featured
from deepseek_operator.planner.measurement import overhead_correction_bytes
from deepseek_operator.planner.request import GpuPool, PlanRequest
from deepseek_operator.units import ceil_div

MOST_UTILIZATION_STEPS = 10
"""Percentage points by which an unpinned memory utilization may be lowered below the engine's default."""

_cached_estimate = lru_cache(maxsize=8192)(estimate)
_cached_speed = lru_cache(maxsize=8192)(predict)
_cached_percentiles = lru_cache(maxsize=8192)(latency_percentiles)


LEAST_BATCHED_TOKENS = 2048
"""Fewest tokens per step that are planned to make room: the smallest that the engine itself takes for a server.

Source: vLLM 0.32 ``EngineArgs.get_batch_defaults``.
"""


LARGEST_STEP_GAIN = 1.25
"""By how much other tokens per step may improve the time per output token, so that asking is worth its while.

Source: on the measured points of dense models aiconfigurator-core 0.12.0 finds steps of 4,096, 8,192 and 16,384 tokens
at most 20 % apart, and it has half the say.
"""


def size_memory(
    request: PlanRequest, candidate: Candidate, requests: int, settings: EngineSettings | None = None
) -> MemoryEstimate:
    """Return the memory of one replica for so many requests at once.

    The engine's default memory utilization is lowered, unless it is pinned, when driver and NCCL hold so much that the
    engine would refuse to start with it.

    Args:
        request: the question.
        candidate: GPUs, split and precision.
        requests: planned requests in flight in the replica, 1 or more.
        settings: what the engine is told; None takes those of ``preferred_settings``.
    """
    settings = settings or preferred_settings(request, candidate, requests)
    memory = _estimate(request, candidate, settings)
    if request.gpu_memory_utilization_percent is not None or not _asks_for_held_memory(memory):
        return memory
    for step in range(1, MOST_UTILIZATION_STEPS + 1):
        percent = settings.gpu_memory_utilization_percent - step
        lowered = _estimate(request, candidate, replace(settings, gpu_memory_utilization_percent=percent))
        if not _asks_for_held_memory(lowered):
            return lowered
    return memory


def predict_speed(
    request: PlanRequest, candidate: Candidate, memory: MemoryEstimate, requests: int
) -> Prediction | None:
    """Return the speed of one replica with so many requests in flight; None when the product's rates are unknown."""
    point = _point(request, candidate, memory, requests)
    if point is None:
        return None
    if request.features == NO_FEATURES:
        second = request.second_source
        return _cached_speed(point) if second is None else predict(point, second=second)
    return predict_featured(request, candidate, memory, point)


def predict_percentiles(
    request: PlanRequest,
    candidate: Candidate,
    memory: MemoryEstimate,
    requests: int,
    predicted: Prediction | None,
    *,
    replicas: int,
) -> LatencyPercentiles | None:
    """Return the latencies at the service level's percentile.

    None without a service level or a prediction, and when waiting would grow without bound.
    """
    point = _point(request, candidate, memory, requests)
    if request.sla is None or predicted is None or point is None:
        return None
    per_minute = request.workload.requests_per_minute
    rate = None if per_minute is None else per_minute / 60 / replicas
    return _cached_percentiles(point, predicted, request.sla.percentile, arrivals_per_second=rate)


def _point(request: PlanRequest, candidate: Candidate, memory: MemoryEstimate, requests: int) -> ServingPoint | None:
    gpu, rung, workload = _measured_as(candidate.pool), candidate.rung, request.workload
    tflops = matrix_tflops(gpu, rung.multiply_bits)
    if tflops is None:
        return None
    return ServingPoint(
        shape=request.model,
        parallelism=candidate.split,
        gpu=gpu,
        precision=Precision(bytes_per_parameter=rung.bytes_per_parameter, tflops=tflops),
        kv_bytes_per_token=float(memory.kv_cache_bytes_per_token * candidate.split.pipeline),
        batch=requests,
        input_tokens=workload.input_tokens,
        output_tokens=workload.output_tokens,
        nodes=candidate.nodes,
        rdma=candidate.pool.rdma_resource is not None,
        max_num_batched_tokens=memory.settings.max_num_batched_tokens,
    )


def _measured_as(pool: GpuPool) -> Gpu:
    """Return the product to predict for; a part goes by its own name, because only whole GPUs were measured."""
    share = pool.share
    return pool.gpu if share is None or not share.is_part else replace(pool.gpu, id=pool.name)


def default_utilization_percent(release: str) -> int:
    """Return the memory utilization that the engine release takes when it is told none."""
    return engine_release(DEFAULT_ENGINE, release).gpu_memory_utilization_percent


def smaller_batches(request: PlanRequest, settings: EngineSettings, per_engine: int) -> list[EngineSettings]:
    """Return settings that leave more room for the cache, the mildest first: no room for a burst, then shorter steps.

    Args:
        request: the question; what it pins stays.
        settings: what the engine would be told.
        per_engine: planned requests at once in one engine, which always stay in one batch.
    """
    found: list[EngineSettings] = []
    if request.max_num_seqs is None and per_engine < settings.max_num_seqs:
        found.append(replace(settings, max_num_seqs=per_engine))
    tokens, least = settings.max_num_batched_tokens, max(LEAST_BATCHED_TOKENS, per_engine)
    while request.max_num_batched_tokens is None and tokens // 2 >= least:
        tokens //= 2
        found.append(replace(found[-1] if found else settings, max_num_batched_tokens=tokens))
    return found


def steps_worth_trying(
    request: PlanRequest, candidate: Candidate, memory: MemoryEstimate, requests: int, tpot_over_limit: float
) -> list[EngineSettings]:
    """Return the settings of an estimate with other tokens per step that change a prediction; none where pinned.

    By the roofline alone only the first token depends on them, while a prompt does not fit into one step. A second
    source that is asked about the replica says what they do to the others.

    Args:
        request: the question.
        candidate: GPUs, split and precision.
        memory: an estimate of it with the engine's own tokens per step.
        requests: planned requests in flight in the replica, 1 or more.
        tpot_over_limit: the time per output token with those steps over the service level's.
    """
    second = request.second_source is not None
    too_long = tpot_over_limit > (LARGEST_STEP_GAIN if second else 1.0)
    if too_long or request.max_num_batched_tokens is not None:
        return []
    point = _point(request, candidate, memory, requests)
    if point is None:
        return []
    settings = memory.settings
    others = [each for each in STEP_TOKENS if each != settings.max_num_batched_tokens]
    if not (second and request.features == NO_FEATURES and is_asked(point)):
        longer = [each for each in others if each > settings.max_num_batched_tokens]
        others = longer if tpot_over_limit <= 1 and further_steps(point) else []
    return [replace(settings, max_num_batched_tokens=each) for each in others]


def preferred_settings(request: PlanRequest, candidate: Candidate, requests: int) -> EngineSettings:
    """Return what the engine is told when nothing speaks against it: its own defaults and room for a burst."""
    release = engine_release(DEFAULT_ENGINE, request.engine_release)
    pool = candidate.pool
    limits = default_batch_limits(pool.usable_memory_bytes, pool.gpu.id, request.engine_release)
    per_engine = ceil_div(requests, candidate.split.data)
    told = EngineSettings(
        release=request.engine_release,
        gpu_memory_utilization_percent=(
            request.gpu_memory_utilization_percent or release.gpu_memory_utilization_percent
        ),
        max_model_len=request.workload.max_context_tokens,
        max_num_seqs=batch_limit(request, per_engine, limits.max_num_seqs),
        max_num_batched_tokens=request.max_num_batched_tokens or limits.max_num_batched_tokens,
        kv_cache_dtype=request.kv_cache_dtype,
        quantization=candidate.rung.name,
    )
    return with_features(told, request.features, request.draft_model)


def _estimate(request: PlanRequest, candidate: Candidate, settings: EngineSettings) -> MemoryEstimate:
    """Return the memory of a replica; on a share that nothing but the engine keeps, with a KV cache of fixed size.

    That cache is what the estimate leaves at the lower end of its 90 % band, so that weights and overheads find their
    room within the share even when they take more than estimated.
    """
    share = candidate.pool.share
    flexible = replace(settings, kv_cache_memory_bytes=0) if settings.kv_cache_memory_bytes else settings
    estimated = _estimated(request, candidate, flexible)
    if share is None or share.isolates_memory:
        return estimated
    fixed = max(1, estimated.worst_rank.kv_cache_bytes - estimated.kv_cache_error_bytes)
    return _estimated(request, candidate, replace(settings, kv_cache_memory_bytes=fixed))


def _estimated(request: PlanRequest, candidate: Candidate, settings: EngineSettings) -> MemoryEstimate:
    return _cached_estimate(
        request.model,
        candidate.split,
        settings,
        candidate.pool.usable_memory_bytes,
        candidate.pool.gpu.architecture,
        overhead_correction_bytes=overhead_correction_bytes(
            candidate.pool.measurements,
            request.model,
            candidate.split,
            settings,
            candidate.pool.usable_memory_bytes,
            candidate.pool.gpu.architecture,
        ),
    )


def _asks_for_held_memory(memory: MemoryEstimate) -> bool:
    """Whether the cache would do, and only the budget asks for memory that driver and NCCL hold."""
    return bool(memory.limit) and memory.longest_context_tokens >= memory.settings.max_model_len
