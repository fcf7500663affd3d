"""The features of a plan as ``status.plan.features`` lists them: one word each, and the way back."""

from __future__ import annotations

from collections.abc import Sequence

from deepseek_operator.planner.engine_features import (
    EngineFeatures,
    KvOffload,
    KvOffloadBackend,
    Speculative,
    SpeculativeMethod,
)


def feature_words(features: EngineFeatures) -> list[str]:
    """Return the features, the same order always; empty without any.

    >>> feature_words(EngineFeatures(speculative=Speculative(method=SpeculativeMethod.MTP, tokens=1), max_loras=2,
    ...     max_lora_rank=32))
    ['speculative=MTP:1', 'loras=2:32']
    """
    words = []
    if (speculative := features.speculative) is not None:
        words.append(f"speculative={speculative.method}:{speculative.tokens}")
        words[-1] += f":{speculative.draft_model}" if speculative.draft_model else ""
    if features.weight_offload_bytes:
        words.append(f"weightOffloadBytes={features.weight_offload_bytes}")
    if (offload := features.kv_offload) is not None:
        words.append(f"kvOffload={offload.backend}:{offload.host_memory_bytes}")
    if features.max_loras:
        words.append(f"loras={features.max_loras}:{features.max_lora_rank}")
    return words


def features_read(words: Sequence[str]) -> EngineFeatures:
    """Return the features that words say.

    Raises:
        ValueError: a word that this version does not write.

    >>> features_read(["kvOffload=Native:1024"]).kv_offload.host_memory_bytes
    1024
    """
    try:
        return _features(dict(word.split("=", 1) for word in words))
    except IndexError:
        raise ValueError(f"features that lack a part: {list(words)}") from None


def _features(told: dict[str, str]) -> EngineFeatures:
    speculative = told.pop("speculative", "")
    offload = told.pop("kvOffload", "")
    loras = told.pop("loras", "0:0").split(":")
    weights = int(told.pop("weightOffloadBytes", "0"))
    if told:
        raise ValueError(f"unknown features: {sorted(told)}")
    return EngineFeatures(
        speculative=_speculative(speculative.split(":", 2)) if speculative else None,
        kv_offload=_kv_offload(offload.split(":")) if offload else None,
        weight_offload_bytes=weights,
        max_loras=int(loras[0]),
        max_lora_rank=int(loras[1]),
    )


def _speculative(parts: Sequence[str]) -> Speculative:
    return Speculative(
        method=SpeculativeMethod(parts[0]), tokens=int(parts[1]), draft_model=parts[2] if len(parts) > 2 else ""
    )


def _kv_offload(parts: Sequence[str]) -> KvOffload:
    return KvOffload(backend=KvOffloadBackend(parts[0]), host_memory_bytes=int(parts[1]))
