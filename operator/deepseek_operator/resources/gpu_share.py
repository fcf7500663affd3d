"""What a pod asks for to get its share of a GPU: resources, claims, annotations and labels of nodes, by mechanism.

Each mechanism is told no more than the plan's share says; the rest of the pod is that of a whole GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.mig import resource_profile
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.resources.names import Manifest
from deepseek_operator.resources.resource_claim_template import ANNOTATION_CLAIMED_GPUS, REQUEST_NAME
from deepseek_operator.units import MIB

HAMI_MEMORY = "nvidia.com/gpumem"
"""Memory of each GPU of the pod in MiB, which HAMi's hook of the CUDA library enforces."""

HAMI_CORES = "nvidia.com/gpucores"
"""Percent of each GPU's multiprocessors; 100 keeps all others away. Both: Project-HAMi/HAMi, config.md."""

HAMI_PRIORITY = "nvidia.com/priority"
"""0 goes first, 1 is the default and yields. Source: Project-HAMi/HAMi docs, config.md, ``resourcePriority``."""

HAMI_FIRST_CLASSES = frozenset({"Critical", "High"})
"""Values of ``spec.priority`` whose pods go before others on a GPU that HAMi divides."""

KAI_SCHEDULER = "kai-scheduler"
KAI_MEMORY = "gpu-memory"
"""Annotation: memory of one GPU in MiB. Source: kai-scheduler docs/gpu-sharing/README.md."""

KAI_CONTAINER = "gpu-fraction-container-name"
"""Annotation: the container that gets the GPU. Source: kai-scheduler docs/gpu-sharing/README.md."""

KAI_QUEUE = "kai.scheduler/queue"
"""Label: the queue that the pod is counted in. Source: kai-scheduler docs/queues/README.md."""

SHARED_SUFFIX = "-SHARED"
"""What feature discovery appends to the product of a GPU with replicas, unless these have a resource of their own."""

STRATEGY_LABEL = "nvidia.com/gpu.sharing-strategy"
REPLICAS_LABEL = "nvidia.com/gpu.replicas"

STRATEGIES = {ShareMechanism.TIME_SLICING: "time-slicing", ShareMechanism.MPS: "mps"}
"""Values of the label. Source: NVIDIA/k8s-device-plugin@1b826acc, ``internal/lm/resource.go``."""

RENAMED_SUFFIX = ".shared"
"""What the device plugin appends to a resource with ``renameByDefault``."""


@dataclass(frozen=True, kw_only=True)
class ShareRequest:
    """How a pod asks for its GPUs.

    Args:
        resources: extended resources of the engine container and their amounts.
        annotations: of the pod.
        labels: of the pod.
        claims: names of the pod's claims that the engine container uses.
        scheduler: name of the scheduler; empty for the cluster's default.
    """

    resources: dict[str, str]
    annotations: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    claims: tuple[str, ...] = ()
    scheduler: str = ""


def share_request(
    share: GpuShare | None, *, gpu: Gpu, gpus: int, container: str, priority: str = "", queue: str = ""
) -> ShareRequest:
    """Return how a pod asks for its GPUs.

    Args:
        share: of the plan; None for whole GPUs.
        gpu: the product.
        gpus: GPUs of the pod; 1 for a part of one.
        container: name of the engine container.
        priority: ``spec.priority``; empty for the default.
        queue: ``spec.queueName``; empty for none.
    """
    if share is None:
        return ShareRequest(resources={gpu.k8s_resource: str(gpus)})
    if share.mechanism is ShareMechanism.HAMI:
        return _hami(share, gpus, priority)
    if share.mechanism is ShareMechanism.KAI:
        return ShareRequest(
            resources={},
            annotations={KAI_CONTAINER: container, KAI_MEMORY: str(share.memory_bytes // MIB)},
            labels={KAI_QUEUE: name} if (name := pod_queue(share, queue)) else {},
            scheduler=KAI_SCHEDULER,
        )
    if share.mechanism is ShareMechanism.DRA:
        told = {ANNOTATION_CLAIMED_GPUS: str(gpus)}
        return ShareRequest(resources={}, annotations=told, claims=(REQUEST_NAME,))
    return ShareRequest(resources={share.resource: "1"})


def pod_queue(share: GpuShare | None, queue: str) -> str:
    """Return the queue that pods carry as a label of their own; empty where the workload names it, for Kueue."""
    return queue if share is not None and share.mechanism is ShareMechanism.KAI else ""


def _hami(share: GpuShare, gpus: int, priority: str) -> ShareRequest:
    resources = {share.resource: str(gpus)}
    if share.is_part:
        resources[HAMI_MEMORY] = str(share.memory_bytes // MIB)
        resources[HAMI_CORES] = str(100 // share.slices_per_gpu)
        resources[HAMI_PRIORITY] = "0" if priority in HAMI_FIRST_CLASSES else "1"
    else:
        resources[HAMI_CORES] = "100"
    return ShareRequest(resources=resources)


def lacks_peer_copies(share: GpuShare | None) -> bool:
    """Return whether GPUs cannot copy to each other, so that the engine's own all-reduce must be off.

    Source: Project-HAMi/HAMi, its own vLLM example (CUDA IPC fails under its hook).
    """
    return share is not None and share.mechanism is ShareMechanism.HAMI


def label_values(gpu: Gpu, share: GpuShare | None) -> list[str]:
    """Return the values of the product label on nodes that offer a share, sorted; empty without such a label.

    >>> from deepseek_operator.catalog.gpus import gpu
    >>> label_values(gpu("h200-sxm"), None)
    ['NVIDIA-H200']
    """
    if gpu.label_value is None:
        return []
    values = sorted({gpu.label_value, *gpu.label_variants})
    if share is None:
        return values
    if share.is_single_strategy:
        return [f"{value}-MIG-{resource_profile(share.profile)}" for value in values]
    if share.mechanism in STRATEGIES and not share.resource.endswith(RENAMED_SUFFIX):
        return [f"{value}{SHARED_SUFFIX}" for value in values]
    return values


def label_rules(share: GpuShare | None) -> Sequence[Manifest]:
    """Return what else a node must be labelled with, so that its shares are as large as planned."""
    if share is None or share.mechanism not in STRATEGIES:
        return []
    return [
        {"key": STRATEGY_LABEL, "operator": "In", "values": [STRATEGIES[share.mechanism]]},
        {"key": REPLICAS_LABEL, "operator": "In", "values": [str(share.slices_per_gpu)]},
    ]
