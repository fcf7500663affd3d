"""Whether the nodes' host memory holds the engine's processes, offloaded weights and cached blocks."""

from __future__ import annotations

from functools import lru_cache

from deepseek_operator.memory.estimate import MemoryEstimate
from deepseek_operator.memory.host_memory import NodeMemory, host_memory
from deepseek_operator.planner.candidates import Candidate
from deepseek_operator.planner.engine_features import kv_offload_bytes_per_engine
from deepseek_operator.planner.limits import Broken
from deepseek_operator.planner.request import PlanRequest
from deepseek_operator.planner.topology import replicas_held
from deepseek_operator.units import format_gib

_cached_host_memory = lru_cache(maxsize=4096)(host_memory)


def node_need(request: PlanRequest, candidate: Candidate, memory: MemoryEstimate) -> NodeMemory:
    """Return the host memory of the node that a replica takes most of.

    Args:
        request: the question.
        candidate: GPUs, split and nodes of a replica.
        memory: of its GPUs, for what the engine is told.
    """
    return _cached_host_memory(
        request.model,
        candidate.split,
        memory.settings,
        gpus_per_node=candidate.split.world_size // candidate.nodes,
        kv_offload_bytes=kv_offload_bytes_per_engine(request.features, candidate.split.data),
        compute_capability=candidate.pool.gpu.architecture,
    ).worst_node


def replicas_in_host_memory(request: PlanRequest, candidate: Candidate, memory: MemoryEstimate) -> int:
    """Return how many replicas the nodes' host memory and GPUs hold, at most those that the candidate may have.

    Nodes that do not tell their memory are taken to have enough.
    """
    if not candidate.pool.host_memory_by_node:
        return candidate.most_replicas
    need = node_need(request, candidate, memory).needed_bytes
    gpus = candidate.split.world_size // candidate.nodes
    return min(candidate.most_replicas, replicas_held(candidate.pool, gpus, candidate.nodes, need))


def host_memory_limit(
    request: PlanRequest, candidate: Candidate, memory: MemoryEstimate, replicas: int
) -> Broken | None:
    """Return why the nodes' host memory does not hold so many replicas; None when it does."""
    held = replicas_in_host_memory(request, candidate, memory)
    if held >= replicas:
        return None
    need = node_need(request, candidate, memory)
    most = max(size for _, size, _ in candidate.pool.host_memory_by_node)
    where = "each node" if candidate.nodes > 1 else "its node"
    many = f"{held} of the {replicas} replicas" if held else "none"
    return Broken(
        detail=(
            f"a replica needs {format_gib(need.needed_bytes)} of host memory on {where}{_parts(need)}; the largest "
            f"node has {format_gib(most)}, and the nodes hold {many}"
        ),
        shortfall=max(replicas / max(1, held), need.needed_bytes / most),
    )


def _parts(need: NodeMemory) -> str:
    """Return what the need is made of beside the engine's processes, as a clause; empty where that is all."""
    parts = (
        (need.weight_offload_bytes, "offloaded weights"),
        (need.kv_offload_bytes, "KV blocks"),
        (need.engram_bytes, "look-up tables"),
        (need.adapter_bytes, "adapters"),
    )
    told = [f"{format_gib(size)} of {name}" for size, name in parts if size]
    return f", among it {' and '.join(told)}" if told else ""
