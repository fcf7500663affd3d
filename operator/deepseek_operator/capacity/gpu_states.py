"""What the GPUs of a node are used for: every physical GPU counts once."""

from __future__ import annotations

from deepseek_operator.capacity.inventory import NodeInventory
from deepseek_operator.catalog.gpu_labels import GpuSharing

GPU_STATES = ("used", "free", "unusable", "shared", "unhealthy")
"""Held by pods; free; on a node that nothing can be planned on; offered in parts or by claim only; not offered.

Whole GPUs beside MIG slices count as whole; unhealthy ones of such a node cannot be told from those in MIG mode.
"""


def gpu_states(node: NodeInventory) -> dict[str, int]:
    """Return the physical GPUs of a node by state, the keys being ``GPU_STATES``; their sum is all of them.

    Who holds parts of a GPU is told by the pods of the node, in the units that they ask for.

    Args:
        node: any GPU node; one whose GPUs cannot be counted has 0 of everything.
    """
    states = dict.fromkeys(GPU_STATES, 0)
    shared = node.sharing is not GpuSharing.WHOLE or bool(node.shares)
    if not node.allocatable_gpus:
        return states | {"shared" if shared else "unusable": node.physical_gpus}
    return states | {
        "used": min(node.requested_gpus, node.allocatable_gpus),
        "free" if node.plannable else "unusable": node.free_gpus,
        "shared" if shared else "unhealthy": max(0, node.physical_gpus - node.allocatable_gpus),
    }
