"""How much of a model must lie in host memory so that the rest fits on the GPUs, and what fits without."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.estimate import EngineSettings, MemoryEstimate, estimate
from deepseek_operator.memory.kv_cache import NULL_BLOCKS, max_in_flight_tokens
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.units import format_gib

OFFLOAD_GRANULARITY_PERCENT = 5
"""Headroom on the host beside the offloaded weights, for rounding of pinned buffers and the process itself."""


@dataclass(frozen=True, kw_only=True)
class OffloadNeed:
    """What must leave the GPUs.

    Args:
        gpu_weights_bytes: weights that stay, all GPUs together.
        offloaded_bytes: weights that must lie in host memory (or on disk), all GPUs together.
        host_memory_bytes: host memory to provide for them.
    """

    gpu_weights_bytes: int
    offloaded_bytes: int
    host_memory_bytes: int

    def sentence(self, available_host_bytes: int) -> str:
        """Return whether a host with so much memory can hold it, with the numbers."""
        if not self.offloaded_bytes:
            return "everything fits on the GPUs"
        has = f"{format_gib(self.offloaded_bytes)} of weights must leave the GPUs"
        if self.host_memory_bytes <= available_host_bytes:
            return f"{has} and fit in {format_gib(available_host_bytes)} of host memory"
        missing = self.host_memory_bytes - available_host_bytes
        return (
            f"{has} and need {format_gib(self.host_memory_bytes)} of host memory, but there are "
            f"{format_gib(available_host_bytes)}: {format_gib(missing)} would be read from disk for every pass"
        )


def request_cache_bytes(answer: MemoryEstimate, stage: int) -> int:
    """Return the KV cache of one request of ``max_model_len`` on a rank of a stage; 0 where no cache can be kept."""
    pool = answer.kv_cache_pool
    if pool is None:
        return 0
    in_flight = max_in_flight_tokens(answer.parallelism, answer.settings)
    blocks = pool.blocks_per_request(answer.settings.max_model_len, in_flight) + NULL_BLOCKS
    return blocks * pool.stage_block_bytes[stage]


def offload_need(answer: MemoryEstimate) -> OffloadNeed:
    """Return what must leave the GPUs so that one request of ``max_model_len`` can be served.

    Args:
        answer: an estimate, usually one that does not fit. Its budget less overheads and KV cache is what the weights
            may take on a rank.

    Every data-parallel rank keeps its own share; ranks of a stage are alike.
    """
    kept = moved = 0
    ranks_per_stage = answer.parallelism.tensor * answer.parallelism.data
    for rank in answer.ranks:
        needed = request_cache_bytes(answer, rank.stage)
        excess = min(rank.weights_bytes, max(0, needed - rank.kv_cache_bytes))
        moved += ranks_per_stage * excess
        kept += ranks_per_stage * (rank.weights_bytes - excess)
    return OffloadNeed(
        gpu_weights_bytes=kept,
        offloaded_bytes=moved,
        host_memory_bytes=moved + moved * OFFLOAD_GRANULARITY_PERCENT // 100,
    )


@dataclass(frozen=True, kw_only=True)
class FittingModel:
    """A model that fits with a quantization, and its estimate."""

    name: str
    quantization: str
    memory: MemoryEstimate


def what_fits(
    shapes: Iterable[tuple[str, ModelShape]],
    quantizations: Iterable[str],
    split: Parallelism,
    settings: EngineSettings,
    total_memory_bytes: int,
    compute_capability: tuple[int, int] | None = None,
) -> tuple[FittingModel, ...]:
    """Return the models of which one request of ``max_model_len`` fits, most weights first.

    Args:
        shapes: candidates with their names.
        quantizations: names in ``catalog.quantizations``, mildest first; the first that fits is taken.
        split: how each would be cut; candidates whose heads it does not divide are not filtered here.
        settings: what the engine is told; its quantization is replaced.
        total_memory_bytes: memory of one GPU.
        compute_capability: as ``estimate``.
    """
    ladder = tuple(quantizations)
    found = []
    for name, shape in shapes:
        for quantization in ladder:
            asked = replace(settings, quantization=quantization)
            memory = estimate(shape, split, asked, total_memory_bytes, compute_capability)
            if memory.fits:
                found.append(FittingModel(name=name, quantization=quantization, memory=memory))
                break
    return tuple(sorted(found, key=lambda each: (-each.memory.worst_rank.weights_bytes, each.name)))
