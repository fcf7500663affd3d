"""Which network the nodes of a replica talk over."""

from __future__ import annotations

from deepseek_operator.catalog.rdma import rdma_units
from deepseek_operator.planner.request import GpuPool
from deepseek_operator.planner.result import Rdma
from deepseek_operator.units import ceil_div


def rdma_of(pool: GpuPool, *, gpus: int, nodes: int) -> Rdma | None:
    """Return the RDMA devices that each pod of a replica takes; None on one node, or where the nodes offer none.

    Args:
        pool: where the replica is planned.
        gpus: of one replica.
        nodes: that it spans.
    """
    if nodes < 2 or pool.rdma_resource is None:
        return None
    here = ceil_div(gpus, nodes)
    return Rdma(
        resource=pool.rdma_resource,
        devices=rdma_units(pool.rdma_resource, pool.rdma_devices, here, max(pool.largest_node, here)),
        network=pool.rdma_network,
        ipc_lock=pool.rdma_ipc_lock,
    )
