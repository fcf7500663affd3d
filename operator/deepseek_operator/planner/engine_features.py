"""What an owner asks of the engine beside the model: speculative decoding, offloading and adapters.

All of it is obeyed as asked; the planner counts what it takes and refuses what cannot run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.settings import Drafter, EngineSettings


class SpeculativeMethod(StrEnum):
    """How draft tokens are made."""

    MTP = "MTP"
    NGRAM = "NGram"
    DRAFT_MODEL = "DraftModel"


DRAFTERS = {
    SpeculativeMethod.MTP: Drafter.CHECKPOINT,
    SpeculativeMethod.NGRAM: Drafter.PROMPT,
    SpeculativeMethod.DRAFT_MODEL: Drafter.MODEL,
}


class KvOffloadBackend(StrEnum):
    """Who moves KV blocks to host memory."""

    NATIVE = "Native"
    LMCACHE = "LMCache"


@dataclass(frozen=True, kw_only=True)
class Speculative:
    """Speculative decoding.

    Args:
        tokens: draft tokens per step, 1 or more.
        draft_model: repository of the draft model, for `SpeculativeMethod.DRAFT_MODEL`; else empty.
    """

    method: SpeculativeMethod
    tokens: int
    draft_model: str = ""


@dataclass(frozen=True, kw_only=True)
class KvOffload:
    """KV cache blocks in host memory.

    Args:
        host_memory_bytes: of one replica, all its engines together.
    """

    backend: KvOffloadBackend
    host_memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class EngineFeatures:
    """Everything of this kind that a plan counts; the default is nothing.

    Args:
        weight_offload_bytes: weights that each GPU may keep in host memory, 0 or more.
        max_loras: LoRA adapters that are served, 0 or more.
        max_lora_rank: rank of their buffers, one that the engine takes; 0 without adapters.
    """

    speculative: Speculative | None = None
    kv_offload: KvOffload | None = None
    weight_offload_bytes: int = 0
    max_loras: int = 0
    max_lora_rank: int = 0

    @property
    def change_gpu_memory(self) -> bool:
        """Whether an engine with them has another amount of KV cache than one without."""
        return replace(self, kv_offload=None) != NO_FEATURES


NO_FEATURES = EngineFeatures()


def with_features(
    settings: EngineSettings, features: EngineFeatures, draft: ModelShape | None = None
) -> EngineSettings:
    """Return what the engine is told with the features that change the memory of its ranks.

    Args:
        settings: without features.
        features: what is asked.
        draft: the draft model, where there is one.
    """
    if features == NO_FEATURES:
        return settings
    speculative = features.speculative
    return replace(
        settings,
        cpu_offload_bytes=features.weight_offload_bytes,
        num_speculative_tokens=0 if speculative is None else speculative.tokens,
        drafter=Drafter.CHECKPOINT if speculative is None else DRAFTERS[speculative.method],
        draft_model=draft,
        max_loras=features.max_loras,
        max_lora_rank=features.max_lora_rank,
    )


def kv_offload_bytes_per_engine(features: EngineFeatures, engines: int) -> int:
    """Return the host memory for KV blocks of one of a replica's data-parallel engines, 0 without."""
    return 0 if features.kv_offload is None else features.kv_offload.host_memory_bytes // engines
