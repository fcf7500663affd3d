"""What one pod asks a node for: GPUs exactly, CPU and host memory by a stated rule."""

from __future__ import annotations

from deepseek_operator.memory.host_memory import BASE_HOST_MEMORY_BYTES, HOST_MEMORY_PER_GPU_BYTES
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.resources.names import Manifest
from deepseek_operator.units import GIB

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


def host_memory_bytes(gpus: int) -> int:
    """Return the host memory to request for a pod with that many GPUs.

    >>> host_memory_bytes(1) // GIB, host_memory_bytes(8) // GIB
    (8, 36)
    """
    return BASE_HOST_MEMORY_BYTES + gpus * HOST_MEMORY_PER_GPU_BYTES


def shm_bytes(gpus: int) -> int:
    """Return the size limit of ``/dev/shm`` for a pod with that many GPUs.

    >>> shm_bytes(1) // GIB, shm_bytes(8) // GIB
    (3, 10)
    """
    return SHM_BASE_BYTES + gpus * SHM_PER_GPU_BYTES


def build_resources(parallelism: Parallelism, k8s_resource: str, gpus_per_pod: int) -> Manifest:
    """Return the ``resources`` of the engine container.

    Args:
        parallelism: split of the replica.
        k8s_resource: extended resource of the GPU's vendor, such as ``nvidia.com/gpu``.
        gpus_per_pod: whole GPUs, 1 or more; requests equal limits because GPUs cannot be overcommitted.
    """
    gpus = {k8s_resource: str(gpus_per_pod)}
    memory_gib = host_memory_bytes(gpus_per_pod) // GIB
    return {
        "requests": {"cpu": str(cpu_cores(parallelism)), "memory": f"{memory_gib}Gi", **gpus},
        "limits": gpus,
    }
