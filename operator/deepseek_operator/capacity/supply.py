"""From the inventory to what the planner may count on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

from deepseek_operator.api.spec_hardware import Spot
from deepseek_operator.capacity.inventory import Inventory, NodeInventory
from deepseek_operator.capacity.node_price import PRICE_LABEL
from deepseek_operator.capacity.selection import why_excluded
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.spot import spot_label
from deepseek_operator.planner.measurement import Measurement
from deepseek_operator.planner.price import priced, spot_priced
from deepseek_operator.planner.request import GpuPool, Supply


def supply(
    inventory: Inventory,
    node_selector: Mapping[str, str] | None = None,
    tolerations: Sequence[Mapping[str, object]] = (),
    spot: Spot = Spot.NEVER,
    measurements: Sequence[Measurement] = (),
) -> Supply:
    """Return the GPUs that a workload may be planned on, whether or not they are free today.

    Args:
        inventory: of the whole cluster.
        node_selector: labels that a node must carry, with exactly these values; None selects every node.
        tolerations: the user's, as in ``pod.spec``; the one for the GPU's own taint is implied.
        spot: whether interruptible nodes may be used.
        measurements: what engines that are alike have reported; each pool gets those of its product.

    Returns:
        One pool per GPU product, sorted by its id. Where drivers report slightly different memory for one
        product, the pool carries the smallest, so that a plan fits on each of its nodes; host memory likewise. Where
        nodes of one product have different prices (a label, spot capacity), it carries the highest, because pods may
        land on any of them.
    """
    sizes: dict[str, Counter[int]] = {}
    products: dict[str, tuple[Gpu, int, int]] = {}
    rdma: dict[str, list[tuple[str | None, int]]] = {}
    excluded: Counter[str] = Counter()
    for node in inventory.nodes:
        gpu, memory_bytes = node.gpu, node.usable_memory_bytes
        if gpu is None or memory_bytes is None:
            excluded["the product or its memory is not known"] += 1
            continue
        if why_not := why_excluded(node, node_selector or {}, tolerations, spot):
            excluded[why_not] += 1
            continue
        sizes.setdefault(gpu.id, Counter())[node.allocatable_gpus] += 1
        rdma.setdefault(gpu.id, []).append((node.rdma_resource, node.rdma_devices))
        at_node, host_bytes = _priced(node, gpu), node.host_memory_bytes
        dearest, least_bytes, least_host_bytes = products.setdefault(gpu.id, (at_node, memory_bytes, host_bytes))
        products[gpu.id] = (
            max(dearest, at_node, key=_price_order),
            min(least_bytes, memory_bytes),
            min(least_host_bytes, host_bytes),
        )
    return Supply(
        pools=tuple(
            GpuPool(
                gpu=gpu,
                usable_memory_bytes=memory_bytes,
                nodes_by_gpu_count=tuple(sorted(sizes[gpu_id].items())),
                measurements=tuple(each for each in measurements if each.gpu == gpu_id),
                host_memory_bytes=host_bytes,
                rdma_resource=common_rdma(rdma[gpu_id])[0],
                rdma_devices=common_rdma(rdma[gpu_id])[1],
            )
            for gpu_id, (gpu, memory_bytes, host_bytes) in sorted(products.items(), key=lambda item: item[0])
        ),
        excluded=_clause(excluded),
    )


def common_rdma(nodes: Sequence[tuple[str | None, int]]) -> tuple[str | None, int]:
    """Return the RDMA resource that every node offers and the fewest units of it; ``(None, 0)`` where one has another.

    Pods of a group may land on any of the nodes, and traffic between two nodes takes the way that both have.

    >>> common_rdma([("rdma/hca", 63), ("rdma/hca", 32)]), common_rdma([("rdma/hca", 63), (None, 0)])
    (('rdma/hca', 32), (None, 0))
    """
    resources = {resource for resource, _ in nodes}
    resource = resources.pop() if len(resources) == 1 else None
    return (None, 0) if resource is None else (resource, min(units for _, units in nodes))


def _priced(node: NodeInventory, gpu: Gpu) -> Gpu:
    """Return the product at the price of a node: its label's, else that of spot capacity where it is, else as known."""
    if node.price_per_hour_usd is not None:
        return priced(gpu, node.price_per_hour_usd, f"the node label {PRICE_LABEL}")
    return spot_priced(gpu) if spot_label(node.labels) else gpu


def _price_order(gpu: Gpu) -> Decimal:
    """Sort key: the dearer product is the larger, and a product without a price counts as dearest."""
    return Decimal("Infinity") if gpu.price_per_hour_usd is None else gpu.price_per_hour_usd


def _clause(excluded: Mapping[str, int]) -> str:
    """Return how many GPU nodes were left out with the commonest reason, ties by text; empty when none was.

    >>> _clause({"it is cordoned": 1, "its taint a=b:NoSchedule is not tolerated": 2})
    '3 GPU nodes are left out (most often: its taint a=b:NoSchedule is not tolerated)'
    """
    if not excluded:
        return ""
    reason = min(excluded, key=lambda text: (-excluded[text], text))
    nodes = sum(excluded.values())
    often = "most often: " if len(excluded) > 1 else ""
    return f"{nodes} GPU {'node is' if nodes == 1 else 'nodes are'} left out ({often}{reason})"
