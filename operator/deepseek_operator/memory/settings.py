"""What the engine is told, in its own names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deepseek_operator.catalog.shapes import ModelShape


class KvCacheDtype(StrEnum):
    """Storage of the KV cache, with the engine's own names."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FP8 = "fp8"
    FP8_E4M3 = "fp8_e4m3"
    FP8_E5M2 = "fp8_e5m2"
    FP8_DS_MLA = "fp8_ds_mla"
    NVFP4_DS_MLA = "nvfp4_ds_mla"


class IndexerKvDtype(StrEnum):
    """Storage of the sparse indexer's keys (``--attention-config.indexer_kv_dtype``); ``auto`` is FP8."""

    AUTO = "auto"
    FP8 = "fp8"
    MXFP4 = "mxfp4"


class Drafter(StrEnum):
    """Who proposes tokens for speculative decoding: layers of the checkpoint, the prompt, or a second model."""

    CHECKPOINT = "checkpoint"
    PROMPT = "prompt"
    MODEL = "model"


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What the engine is told, in its own names.

    Args:
        release: engine release whose overheads and defaults apply, such as ``0.32.0``.
        gpu_memory_utilization_percent: share of a GPU's total memory that the engine may use, 1-100.
        max_model_len: longest context in tokens (prompt and answer).
        max_num_seqs: requests in one batch.
        max_num_batched_tokens: tokens in one scheduler step.
        quantization: name in ``catalog.quantizations``; ``Native`` runs the checkpoint as stored.
        enforce_eager: no CUDA graphs.
        indexer_kv_dtype: storage of the indexer's keys of V4 and V4.1.
        kv_cache_memory_bytes: fixed KV cache of a GPU, which replaces the utilization; 0 lets the engine decide.
        num_speculative_tokens: tokens that ``drafter`` proposes per step; 0 for no drafting.
        drafter: who proposes them.
        draft_model: the second model, for `Drafter.MODEL`.
        max_loras: LoRA adapters in one batch (``--max-loras``); 0 serves none.
        max_lora_rank: their largest rank (``--max-lora-rank``).
        async_scheduling: whether the next step is scheduled while one runs (the engine's default).
        gpu_memory_utilization_basis_points: hundredths of a percent on top of the whole percents, 0-99, for
            engines that were started with a fraction such as 0.835.
        cpu_offload_bytes: weights that each GPU may keep in host memory (``--cpu-offload-gb``), 0 or more.
    """

    release: str
    gpu_memory_utilization_percent: int
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_cache_dtype: KvCacheDtype = KvCacheDtype.AUTO
    quantization: str = "Native"
    enforce_eager: bool = False
    gpu_memory_utilization_basis_points: int = 0
    cpu_offload_bytes: int = 0
    indexer_kv_dtype: IndexerKvDtype = IndexerKvDtype.AUTO
    kv_cache_memory_bytes: int = 0
    num_speculative_tokens: int = 0
    async_scheduling: bool = True
    drafter: Drafter = Drafter.CHECKPOINT
    draft_model: ModelShape | None = None
    max_loras: int = 0
    max_lora_rank: int = 0

    @property
    def loads_draft_layers(self) -> bool:
        """Whether the checkpoint's own draft layers are loaded."""
        return self.num_speculative_tokens > 0 and self.drafter is Drafter.CHECKPOINT
