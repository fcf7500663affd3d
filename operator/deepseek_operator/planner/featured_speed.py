"""The speed of a replica with speculative decoding or weights in host memory."""

from __future__ import annotations

from dataclasses import replace

from deepseek_operator.catalog.draft_acceptance import DraftKind, acceptance
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.host_links import host_link
from deepseek_operator.catalog.quantizations import NATIVE, quantization
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.estimate import MemoryEstimate
from deepseek_operator.memory.kv_cache import kv_cache_law
from deepseek_operator.memory.kv_laws import CacheOptions
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.quantized_format import quantized_weights
from deepseek_operator.memory.weight_offload import offload
from deepseek_operator.performance.engine_extras import HostWeights, Speculation, predict_with
from deepseek_operator.performance.features import Precision, ServingPoint
from deepseek_operator.performance.prediction import Prediction
from deepseek_operator.performance.roofline import matrix_tflops
from deepseek_operator.planner.candidates import Candidate
from deepseek_operator.planner.engine_features import EngineFeatures, SpeculativeMethod
from deepseek_operator.planner.hardware import rung_on
from deepseek_operator.planner.request import PlanRequest


def predict_featured(
    request: PlanRequest, candidate: Candidate, memory: MemoryEstimate, point: ServingPoint
) -> Prediction | None:
    """Return the speed of a replica with the features of a request; None when a rate or a host link is not known.

    Args:
        request: names the features.
        candidate: GPUs, split and precision.
        memory: of the replica.
        point: its load without features.
    """
    features = request.features
    host = None
    if features.weight_offload_bytes:
        host = _host_weights(request.model, candidate, memory)
        if host is None:
            return None
    return predict_with(point, speculation(features, request.model, request.draft_model, candidate, point), host)


def draft_kind(features: EngineFeatures, model: ModelShape) -> DraftKind | None:
    """Return what drafts for a model; None without speculative decoding."""
    if features.speculative is None:
        return None
    if features.speculative.method is SpeculativeMethod.NGRAM:
        return DraftKind.PROMPT
    if features.speculative.method is SpeculativeMethod.DRAFT_MODEL:
        return DraftKind.MODEL
    return DraftKind.PREDICTION_LAYERS if model.block_draft is None else DraftKind.BLOCK


def speculation(
    features: EngineFeatures,
    model: ModelShape,
    draft: ModelShape | None,
    candidate: Candidate,
    point: ServingPoint,
) -> Speculation | None:
    """Return the speculative decoding of a replica; None without.

    Args:
        features: of the request.
        model: that is served.
        draft: its draft model.
        candidate: GPUs, split and precision.
        point: the replica's load.
    """
    kind = draft_kind(features, model)
    if kind is None or features.speculative is None:
        return None
    layers = 0
    if kind is DraftKind.PREDICTION_LAYERS:
        layers = 1  # the engine runs one prediction layer per drafted token, again and again
    elif model.block_draft is not None and kind is DraftKind.BLOCK:
        layers = model.block_draft.num_layers
    return Speculation(
        tokens=features.speculative.tokens,
        acceptance=acceptance(kind),
        draft_layers=layers,
        block=kind is DraftKind.BLOCK,
        draft_point=None if draft is None else _draft_point(draft, candidate.pool.gpu, point),
    )


def _draft_point(draft: ModelShape, gpu: Gpu, point: ServingPoint) -> ServingPoint:
    """Return the draft model under the load of the model, cut like it and in the format of its own checkpoint."""
    rung = rung_on(quantization(NATIVE), draft, gpu)
    split = Parallelism(tensor=point.parallelism.tensor, data=point.parallelism.data)
    caches = kv_cache_law(draft, gpu.architecture).caches(CacheOptions(tensor=split.tensor))
    return replace(
        point,
        shape=draft,
        parallelism=split,
        precision=Precision(
            bytes_per_parameter=rung.bytes_per_parameter,
            tflops=matrix_tflops(gpu, rung.multiply_bits) or point.precision.tflops,
        ),
        kv_bytes_per_token=sum(cache.page_bytes / cache.block_tokens for cache in caches),
    )


def _host_weights(model: ModelShape, candidate: Candidate, memory: MemoryEstimate) -> HostWeights | None:
    """Return which share of a rank's weights lies in host memory; None where the product's link is not known."""
    gpu, settings = candidate.pool.gpu, memory.settings
    if not gpu.host_link:
        return None
    stages = quantized_weights(model, candidate.split, settings.quantization, gpu.architecture)
    fullest = max(stages, key=lambda stage: stage.total_bytes)
    moved = offload(fullest.offloadable, settings.cpu_offload_bytes).device_bytes
    return HostWeights(
        share=min(1.0, moved / fullest.total_bytes),
        gb_per_second=host_link(gpu.host_link).gb_per_second,
        step_tokens=settings.max_num_batched_tokens,
    )
