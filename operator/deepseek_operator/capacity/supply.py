"""From the inventory to what the planner may count on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from deepseek_operator.api.spec_hardware import Spot
from deepseek_operator.capacity.inventory import Inventory, NodeInventory
from deepseek_operator.capacity.pools import Pools
from deepseek_operator.capacity.selection import why_excluded
from deepseek_operator.capacity.share_room import offers_of
from deepseek_operator.planner.measurement import Measurement
from deepseek_operator.planner.request import Supply


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
        One pool per GPU product and per kind of share of it, sorted by its id. Where drivers report slightly different
        memory for one product, the pool carries the smallest, so that a plan fits on each of its nodes; host memory
        likewise. Where nodes of one product have different prices (a label, spot capacity), it carries the highest,
        because pods may land on any of them.
    """
    pools, excluded = Pools(), Counter[str]()
    for node in inventory.nodes:
        whole_not = _why_not_whole(node, node_selector or {}, tolerations, spot)
        share_not = why_excluded(node, node_selector or {}, tolerations, spot, for_share=True)
        gpu, memory_bytes = node.gpu, node.usable_memory_bytes
        if gpu is not None and memory_bytes is not None and not whole_not:
            pools.add(node, gpu, node.allocatable_gpus, memory_bytes)
        offers = () if share_not else offers_of(node, inventory.features)
        for offer in offers:
            if gpu is not None:
                pools.add(node, gpu, offer.slices, offer.share.memory_bytes, offer.share)
        if whole_not and not offers:
            excluded[share_not if node.shares else whole_not] += 1
    return Supply(pools=pools.made(measurements), excluded=_clause(excluded))


def _why_not_whole(
    node: NodeInventory, node_selector: Mapping[str, str], tolerations: Sequence[Mapping[str, object]], spot: Spot
) -> str:
    if node.gpu is None or node.usable_memory_bytes is None:
        return "the product or its memory is not known"
    return why_excluded(node, node_selector, tolerations, spot)


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
