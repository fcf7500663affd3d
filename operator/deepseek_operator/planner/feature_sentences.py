"""What a plan says about speculative decoding, offloading and adapters: how much they take, and what is counted on."""

from __future__ import annotations

from deepseek_operator.catalog.draft_acceptance import acceptance
from deepseek_operator.catalog.host_links import host_link
from deepseek_operator.memory.lora import lora_bytes
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.planner.candidates import Candidate
from deepseek_operator.planner.featured_speed import draft_kind
from deepseek_operator.planner.request import PlanRequest
from deepseek_operator.units import format_gib


def feature_sentences(request: PlanRequest, candidate: Candidate, told: EngineSettings) -> str:
    """Return a sentence for each feature that a request has, each with a space before it; empty without any.

    Args:
        request: names the features.
        candidate: that won.
        told: what its engine is told.
    """
    sentences = (
        _speculative(request),
        _weight_offload(request, candidate),
        _kv_offload(request),
        _adapters(request, candidate, told),
    )
    return "".join(f" {sentence}" for sentence in sentences if sentence)


def _speculative(request: PlanRequest) -> str:
    kind, asked = draft_kind(request.features, request.model), request.features.speculative
    if kind is None or asked is None:
        return ""
    rates = acceptance(kind)
    mean, low, high = rates.tokens_per_step(asked.tokens)
    known = rates.source if rates.verified else f"unverified: {rates.source}"
    many = f"{asked.tokens} token{'s' if asked.tokens > 1 else ''}"
    draft = f" by {asked.draft_model}" if asked.draft_model else ""
    return (
        f"Speculative decoding ({asked.method}) drafts {many} per step{draft}, and a step is counted to yield "
        f"{mean:.2f} tokens ({low:.2f} to {high:.2f}; {known})."
    )


def _weight_offload(request: PlanRequest, candidate: Candidate) -> str:
    size, link = request.features.weight_offload_bytes, candidate.pool.gpu.host_link
    if not size:
        return ""
    speed = f", {host_link(link).name} at {host_link(link).gb_per_second:g} GB/s," if link else ""
    return (
        f"Up to {format_gib(size)} of weights per GPU lie in host memory and are read over the host link{speed} at "
        "each step, whose real speed is not measured."
    )


def _kv_offload(request: PlanRequest) -> str:
    offload = request.features.kv_offload
    if offload is None:
        return ""
    return (
        f"KV blocks of up to {format_gib(offload.host_memory_bytes)} per replica stay in host memory "
        f"({offload.backend}); the prediction does not count on finding any."
    )


def _adapters(request: PlanRequest, candidate: Candidate, told: EngineSettings) -> str:
    features = request.features
    if not features.max_loras:
        return ""
    most = max(lora_bytes(request.model, candidate.split, told))
    many = f"{features.max_loras} adapter{'s' if features.max_loras > 1 else ''}"
    return (
        f"Buffers for {many} of rank {features.max_lora_rank} take {format_gib(most)} of each GPU's weights, whichever "
        "layers the adapters change; their effect on the speed is not predicted."
    )
