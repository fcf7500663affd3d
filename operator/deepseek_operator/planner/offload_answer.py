"""What a refusal for lack of GPU memory says about the host memory of the nodes."""

from __future__ import annotations

from deepseek_operator.catalog.quantizations import quantization
from deepseek_operator.memory.estimate import MemoryEstimate
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.candidates import Candidate, joins_gpus
from deepseek_operator.planner.hardware import AUTO, Rung, refusal, rung_on
from deepseek_operator.planner.host_offload import (
    Offloaded,
    fitting_sentence,
    ladder_on,
    offloaded,
    smaller_that_fit,
)
from deepseek_operator.planner.parallelism import legal_tensors
from deepseek_operator.planner.request import GpuPool, PinnedParallelism, PlanRequest
from deepseek_operator.planner.sizing import size_memory
from deepseek_operator.planner.topology import most_tensor
from deepseek_operator.units import ceil_div


def host_memory_sentences(request: PlanRequest, pool: GpuPool) -> str:
    """Return what one node's host memory would make possible, and what fits without; empty when nothing is known.

    Quality classes are not looked at: the mildest precision that GPUs and host memory hold together is named, or the
    one that misses least. Each sentence ends with a full stop.

    Args:
        request: what does not fit the memory of the pool's GPUs.
        pool: nodes of one product; those that do not tell their memory get no answer.
    """
    split = _split(request, pool)
    if split is None or not pool.host_memory_bytes or refusal(request, pool):
        return ""
    tried = [(rung, _sized(request, pool, split, rung)) for rung in _rungs(request, pool)]
    moved = [
        found
        for _, memory in tried
        if (found := offloaded(request.model, memory, pool.gpu, pool.host_memory_bytes)) is not None
    ]
    if not moved:
        return ""
    best = next((each for each in moved if each.holds), min(moved, key=lambda each: each.host_memory_bytes))
    fitting = fitting_sentence(smaller_that_fit(request.model, tried[0][1], pool.gpu), pool.gpu.id, split.world_size)
    return " ".join(f"{text}." for text in (_about(best), fitting) if text)


def _about(found: Offloaded) -> str:
    text = found.sentence()
    text = text[0].upper() + text[1:]
    per_gpu = ceil_div(found.need.offloaded_bytes, found.gpus)
    return f"{text}; spec.engine.weightOffloadBytes: {per_gpu} asks for it" if found.holds else text


def _split(request: PlanRequest, pool: GpuPool) -> Parallelism | None:
    """Return the largest tensor-parallel group of a node; None where the request pins a split of another kind."""
    pinned = request.parallelism
    if pinned not in (PinnedParallelism(), PinnedParallelism(tensor=pinned.tensor)) or not pool.largest_node:
        return None
    most = most_tensor(pool) if joins_gpus(request, pool) else 1
    if pinned.tensor is not None:
        return Parallelism(tensor=pinned.tensor) if pinned.tensor <= pool.largest_node else None
    return Parallelism(tensor=max((size for size in legal_tensors(request.model) if size <= most), default=1))


def _rungs(request: PlanRequest, pool: GpuPool) -> list[Rung]:
    """Return the precisions that the product runs, mildest first; only the pinned one where one is pinned."""
    names = ladder_on(pool.gpu, request.model) if request.quantization == AUTO else (request.quantization,)
    return [rung_on(quantization(name), request.model, pool.gpu) for name in names]


def _sized(request: PlanRequest, pool: GpuPool, split: Parallelism, rung: Rung) -> MemoryEstimate:
    return size_memory(request, Candidate(pool=pool, split=split, rung=rung, nodes=1, most_replicas=1), 1)
