"""Collecting nodes into pools: of one product, or of one kind of share of it; each as weak as its weakest node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from deepseek_operator.capacity.inventory import NodeInventory
from deepseek_operator.capacity.node_price import PRICE_LABEL
from deepseek_operator.capacity.tiers import RDMA_NETWORK_LABEL, NodeOffer, Tier, tiers
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.spot import spot_label
from deepseek_operator.planner.gpu_share import GpuShare, shared_gpu
from deepseek_operator.planner.measurement import Measurement
from deepseek_operator.planner.price import priced, spot_priced
from deepseek_operator.planner.request import GpuPool

RDMA_IPC_LOCK_LABEL = "deepseek-operator.io/rdma-ipc-lock"
"""Node label by which the owner of the nodes lets pods of a group have the capability IPC_LOCK: ``true``."""

PoolKey = tuple[str, GpuShare | None]
"""Catalogue id, and the kind of share without its size; None for whole GPUs."""


class Pools:
    """Pools that nodes are added to."""

    def __init__(self) -> None:
        self._found: dict[PoolKey, list[NodeOffer]] = {}

    def add(self, node: NodeInventory, gpu: Gpu, count: int, memory_bytes: int, share: GpuShare | None = None) -> None:
        """Count in what a node offers of one kind.

        Args:
            node: the node.
            gpu: its product.
            count: GPUs, or shares of them.
            memory_bytes: of one of them.
            share: the kind of share; None for whole GPUs.
        """
        key = (gpu.id, None if share is None else share.key)
        offer = NodeOffer(node=node, gpu=priced_at(node, gpu), count=count, memory_bytes=memory_bytes, share=share)
        self._found.setdefault(key, []).append(offer)

    def made(self, measurements: Sequence[Measurement]) -> tuple[GpuPool, ...]:
        """Return all pools, by product; whole GPUs first, then the largest shares; of each the widest last."""
        pools = (_pool(tier, measurements) for offers in self._found.values() for tier in tiers(offers))
        return tuple(sorted(pools, key=_order))


def _pool(tier: Tier, measurements: Iterable[Measurement]) -> GpuPool:
    """Return the pool of a tier; a part of a GPU takes no measurement of whole ones."""
    offers = tier.members
    dearest = max(offers, key=lambda offer: offer.price).gpu
    memory_bytes = min(offer.memory_bytes for offer in offers)
    share = None if offers[0].share is None else replace(offers[0].share, memory_bytes=memory_bytes)
    is_part = share is not None and share.is_part
    by_host = Counter((offer.count, offer.node.host_memory_bytes) for offer in offers)
    hosts = tuple(sorted((count, size, nodes) for (count, size), nodes in by_host.items()))
    return GpuPool(
        gpu=shared_gpu(dearest, share),
        usable_memory_bytes=memory_bytes,
        nodes_by_gpu_count=tuple(sorted(Counter(offer.count for offer in offers).items())),
        measurements=() if is_part else tuple(each for each in measurements if each.gpu == dearest.id),
        host_memory_bytes=min(size for _, size, _ in hosts),
        host_memory_by_node=hosts if any(size for _, size, _ in hosts) else (),
        share=share,
        pin=tier.pin,
        left_out=tier.left_out,
        **common_rdma([offer.node for offer in offers]),
    )


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


def _order(pool: GpuPool) -> tuple[object, ...]:
    kind = pool.share and pool.share.resource
    return pool.gpu.id, pool.share is not None, -pool.usable_memory_bytes, pool.name, kind, -pool.left_out.nodes
