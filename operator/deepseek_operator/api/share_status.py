"""A share of a GPU as ``status.plan.share`` carries it, and the way back."""

from __future__ import annotations

from typing import Any

from deepseek_operator.api.status import GpuShareStatus
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism


def share_status(share: GpuShare) -> dict[str, Any]:
    """Return a share as the status shows it, keys always in this order."""
    return {
        "mechanism": share.mechanism.value,
        "resource": share.resource,
        "profile": share.profile,
        "slicesPerGpu": share.slices_per_gpu,
    }


def share_read(read: GpuShareStatus, memory_bytes: int) -> GpuShare:
    """Return the share that ``share_status`` wrote.

    Args:
        read: as the status has it.
        memory_bytes: of the share, which is what the plan's ``memoryPerGpu`` counts with.

    Raises:
        ValueError: the mechanism is none that this version knows.
    """
    return GpuShare(
        mechanism=ShareMechanism(read.mechanism),
        resource=read.resource,
        profile=read.profile,
        slices_per_gpu=read.slices_per_gpu,
        memory_bytes=memory_bytes,
    )
