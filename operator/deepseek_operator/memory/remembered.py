"""What this floor remembers of models that were asked about, and how to forget it."""

from __future__ import annotations

from deepseek_operator.memory import kv_cache, layer_tensors, stages, weight_offload, weights


def times_remembered() -> int:
    """Return how often something new was remembered since the process started."""
    return weights.stage_weights.cache_info().misses


def forget() -> None:
    """Drop everything; a process that answers about ever new models calls it to stay small."""
    for remembering in (
        weights.stage_weights,
        weight_offload.offload,
        stages.layer_kinds,
        layer_tensors.layer_tensors,
        kv_cache.kv_cache_law,
        kv_cache._pool,
    ):
        remembering.cache_clear()
