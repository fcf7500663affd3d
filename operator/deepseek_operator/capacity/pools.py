"""Collecting nodes into pools: one per product, or per kind of share of it, as weak as its weakest node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from deepseek_operator.capacity.inventory import NodeInventory
from deepseek_operator.capacity.node_price import PRICE_LABEL
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.spot import spot_label
from deepseek_operator.planner.gpu_share import GpuShare, shared_gpu
from deepseek_operator.planner.measurement import Measurement
from deepseek_operator.planner.price import priced, spot_priced
from deepseek_operator.planner.request import GpuPool

RDMA_NETWORK_LABEL = "deepseek-operator.io/rdma-network"
"""Node label with the secondary network (NetworkAttachmentDefinition) that pods of a group join."""

RDMA_IPC_LOCK_LABEL = "deepseek-operator.io/rdma-ipc-lock"
"""Node label by which the owner of the nodes lets pods of a group have the capability IPC_LOCK: ``true``."""

PoolKey = tuple[str, GpuShare | None]
"""Catalogue id, and the kind of share without its size; None for whole GPUs."""


@dataclass
class PoolSoFar:
    """What the nodes of one pool have in common so far; changed by each node that is added.

    Args:
        gpu: the product at the dearest price seen.
        memory_bytes: the least of one GPU or share.
        host_bytes: the least of a node.
    """

    gpu: Gpu
    memory_bytes: int
    host_bytes: int
    share: GpuShare | None
    sizes: Counter[int] = field(default_factory=Counter)
    hosts: Counter[tuple[int, int]] = field(default_factory=Counter)
    members: list[NodeInventory] = field(default_factory=list)

    def pool(self, measurements: Iterable[Measurement]) -> GpuPool:
        """Return the pool of all nodes that were added; a part of a GPU takes no measurement of whole ones."""
        is_part = self.share is not None and self.share.is_part
        hosts = tuple(sorted((count, size, nodes) for (count, size), nodes in self.hosts.items()))
        share = None if self.share is None else replace(self.share, memory_bytes=self.memory_bytes)
        return GpuPool(
            gpu=shared_gpu(self.gpu, share),
            usable_memory_bytes=self.memory_bytes,
            nodes_by_gpu_count=tuple(sorted(self.sizes.items())),
            measurements=() if is_part else tuple(each for each in measurements if each.gpu == self.gpu.id),
            host_memory_bytes=self.host_bytes,
            host_memory_by_node=hosts if any(size for _, size, _ in hosts) else (),
            share=share,
            **common_rdma(self.members),
        )


class Pools:
    """Pools that nodes are added to."""

    def __init__(self) -> None:
        self._found: dict[PoolKey, PoolSoFar] = {}

    def add(self, node: NodeInventory, gpu: Gpu, count: int, memory_bytes: int, share: GpuShare | None = None) -> None:
        """Count in what a node offers of one kind.

        Args:
            node: the node.
            gpu: its product.
            count: GPUs, or shares of them.
            memory_bytes: of one of them.
            share: the kind of share; None for whole GPUs.
        """
        at_node, host = priced_at(node, gpu), node.host_memory_bytes
        found = self._found.setdefault(
            (gpu.id, None if share is None else share.key),
            PoolSoFar(gpu=at_node, memory_bytes=memory_bytes, host_bytes=host, share=share),
        )
        found.gpu = max(found.gpu, at_node, key=_price_order)
        found.memory_bytes, found.host_bytes = min(found.memory_bytes, memory_bytes), min(found.host_bytes, host)
        found.sizes[count] += 1
        found.hosts[count, host] += 1
        found.members.append(node)

    def made(self, measurements: Sequence[Measurement]) -> tuple[GpuPool, ...]:
        """Return all pools, by product; whole GPUs first, then the largest shares."""
        pools = (found.pool(measurements) for found in self._found.values())
        return tuple(sorted(pools, key=_order))


def common_rdma(nodes: Sequence[NodeInventory]) -> dict[str, Any]:
    """Return the ``rdma_*`` fields of a pool: what every node offers alike; empty where one has another network.

    Pods of a group may land on any of the nodes, and traffic between two nodes takes the way that both have.

    Args:
        nodes: of one product, 1 or more.
    """
    ways = {(node.rdma_resource, node.labels.get(RDMA_NETWORK_LABEL, "")) for node in nodes}
    resource, network = next(iter(ways))
    if len(ways) > 1 or resource is None:
        return {}
    return {
        "rdma_resource": resource,
        "rdma_devices": min(node.rdma_devices for node in nodes),
        "rdma_network": network,
        "rdma_ipc_lock": all(node.labels.get(RDMA_IPC_LOCK_LABEL) == "true" for node in nodes),
    }


def priced_at(node: NodeInventory, gpu: Gpu) -> Gpu:
    """Return the product at the price of a node: its label's, else that of spot capacity where it is, else as known."""
    if node.price_per_hour_usd is not None:
        return priced(gpu, node.price_per_hour_usd, f"the node label {PRICE_LABEL}")
    return spot_priced(gpu) if spot_label(node.labels) else gpu


def _price_order(gpu: Gpu) -> Decimal:
    """Sort key: the dearer product is the larger, and a product without a price counts as dearest."""
    return Decimal("Infinity") if gpu.price_per_hour_usd is None else gpu.price_per_hour_usd


def _order(pool: GpuPool) -> tuple[object, ...]:
    return pool.gpu.id, pool.share is not None, -pool.usable_memory_bytes, pool.name, pool.share and pool.share.resource
