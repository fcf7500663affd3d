"""What one pod asks a node for: GPUs exactly, CPU and host memory by a stated rule."""

from __future__ import annotations

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.host_memory import NodeMemory, host_memory
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.engine_features import kv_offload_bytes_per_engine
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.gpu_share import ShareRequest
from deepseek_operator.resources.names import Manifest
from deepseek_operator.units import GIB, ceil_div

SHM_BASE_BYTES = 2 * GIB
SHM_PER_GPU_BYTES = GIB
"""Limit of ``/dev/shm``; vLLM's Kubernetes guide mounts 2Gi for one GPU, and each further rank adds its own buffers."""


def cpu_cores(parallelism: Parallelism) -> int:
    """Return the CPU cores to request: one per process that is busy while the engine serves.

    One worker per GPU, one API server and one scheduler per data-parallel engine, and one coordinator where there are
    several. Nothing is set as a limit: start-up (compilation, loading) may use what the node has.

    Source: vLLM's architecture overview, "process count summary".

    >>> cpu_cores(Parallelism(tensor=1)), cpu_cores(Parallelism(tensor=8)), cpu_cores(Parallelism(data=8))
    (3, 10, 25)
    """
    coordinator = 1 if parallelism.data > 1 else 0
    return parallelism.world_size + 2 * parallelism.data + coordinator


def node_memory(shape: ModelShape, plan: Plan) -> NodeMemory:
    """Return the host memory of the node that a replica of a plan takes most of.

    Args:
        shape: the planned model.
        plan: its accepted plan.
    """
    return host_memory(
        shape,
        plan.parallelism,
        plan.engine_settings,
        gpus_per_node=plan.gpus_per_replica // plan.nodes_per_replica,
        kv_offload_bytes=kv_offload_bytes_per_engine(plan.features, plan.parallelism.data),
        compute_capability=gpu(plan.gpu).architecture,
    ).worst_node


def shm_bytes(memory: NodeMemory) -> int:
    """Return the size limit of ``/dev/shm`` of a pod, whole GiB: the ranks' buffers and what they share there.

    Args:
        memory: what `node_memory` says; the shared tables of V4.1 are part of it.
    """
    shared = ceil_div(memory.shared_memory_bytes, GIB) * GIB
    return SHM_BASE_BYTES + memory.num_ranks * SHM_PER_GPU_BYTES + shared


def requested_memory_bytes(memory: NodeMemory) -> int:
    """Return the host memory that a pod requests: what it needs, in whole GiB."""
    return ceil_div(memory.needed_bytes, GIB) * GIB


def build_resources(parallelism: Parallelism, asked: ShareRequest, memory: NodeMemory) -> Manifest:
    """Return the ``resources`` of the engine container.

    Memory is requested and not limited: pages of the checkpoint that the kernel may drop would count against a limit.

    Args:
        parallelism: split of the replica.
        asked: how the pod gets its GPUs: by claims, or by extended resources such as ``nvidia.com/gpu``, whose
            requests equal their limits, because they cannot be overcommitted.
        memory: host memory of the pod's node.
    """
    resources: Manifest = {
        "requests": {
            "cpu": str(cpu_cores(parallelism)),
            "memory": f"{requested_memory_bytes(memory) // GIB}Gi",
            **asked.resources,
        },
    }
    if asked.resources:
        resources["limits"] = dict(asked.resources)
    if asked.claims:
        resources["claims"] = [{"name": name} for name in asked.claims]
    return resources
