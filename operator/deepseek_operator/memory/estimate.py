"""Bytes of every rank of one engine process group: the answer of this floor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deepseek_operator.memory.parallelism import Parallelism


class KvCacheDtype(StrEnum):
    """Storage of the KV cache, with the engine's own names."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FP8 = "fp8"


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
    """

    release: str
    gpu_memory_utilization_percent: int
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_cache_dtype: KvCacheDtype = KvCacheDtype.AUTO
    quantization: str = "Native"
    enforce_eager: bool = False


@dataclass(frozen=True, kw_only=True)
class RankMemory:
    """Memory of one GPU of a pipeline stage (ranks of a stage are alike).

    ``kv_cache_bytes`` is what the budget leaves for the KV cache; 0 or less means that the rank does not fit.
    """

    stage: int
    total_bytes: int
    budget_bytes: int
    weights_bytes: int
    activations_bytes: int
    non_torch_bytes: int
    cuda_graph_bytes: int
    kv_cache_bytes: int


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Memory of one replica.

    Args:
        ranks: one entry per pipeline stage, first stage first.
        kv_cache_bytes_per_token: on the rank that stores most.
        kv_cache_tokens: tokens that the whole replica's cache holds (all data-parallel engines together).
        kv_cache_error_percent: half width of the 90 % band of ``kv_cache_tokens``.
        longest_context_tokens: longest single request that fits (0 when nothing fits).
        fits: whether one request of ``max_model_len`` fits.
        limit: when it does not fit, one sentence with the numbers; else empty.
    """

    parallelism: Parallelism
    settings: EngineSettings
    ranks: tuple[RankMemory, ...]
    kv_cache_bytes_per_token: int
    kv_cache_tokens: int
    kv_cache_error_percent: int
    longest_context_tokens: int
    fits: bool
    limit: str

    @property
    def worst_rank(self) -> RankMemory:
        """The rank with the least room for the KV cache; the first of equals."""
        return min(self.ranks, key=lambda rank: rank.kv_cache_bytes)
