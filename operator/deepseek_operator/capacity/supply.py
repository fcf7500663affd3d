"""From the inventory to what the planner may count on, and a short name for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.selection import why_excluded
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.planner.request import GpuPool, Supply

_DIGEST_CHARACTERS = 16


def supply(
    inventory: Inventory,
    node_selector: Mapping[str, str] | None = None,
    tolerations: Sequence[Mapping[str, object]] = (),
    gpus: Iterable[str] = (),
) -> Supply:
    """Return the GPUs that a workload may be planned on, whether or not they are free today.

    Args:
        inventory: of the whole cluster.
        node_selector: labels that a node must carry, with exactly these values; None selects every node.
        tolerations: the user's, as in ``pod.spec``; the one for the GPU's own taint is implied.
        gpus: catalogue ids that are allowed; empty allows every product.

    Returns:
        One pool per GPU product, sorted by its id. Where drivers report slightly different memory for one
        product, the pool carries the smallest, so that a plan fits on each of its nodes.
    """
    allowed = frozenset(gpus)
    sizes: dict[str, Counter[int]] = {}
    products: dict[str, tuple[Gpu, int]] = {}
    for node in inventory.nodes:
        gpu, memory_bytes = node.gpu, node.usable_memory_bytes
        if gpu is None or memory_bytes is None or (allowed and gpu.id not in allowed):
            continue
        if why_excluded(node, node_selector or {}, tolerations):
            continue
        sizes.setdefault(gpu.id, Counter())[node.allocatable_gpus] += 1
        _, smallest_bytes = products.setdefault(gpu.id, (gpu, memory_bytes))
        products[gpu.id] = (gpu, min(smallest_bytes, memory_bytes))
    return Supply(
        pools=tuple(
            GpuPool(gpu=gpu, usable_memory_bytes=memory_bytes, nodes_by_gpu_count=tuple(sorted(sizes[gpu_id].items())))
            for gpu_id, (gpu, memory_bytes) in sorted(products.items(), key=lambda item: item[0])
        )
    )


def supply_digest(supply: Supply) -> str:
    """Return a short text that changes exactly when the planner would see other GPUs.

    Holds products, memory and node sizes; not names, labels or what is free, so a pod that starts or a node that
    is replaced by its like changes nothing.

    >>> supply_digest(Supply(pools=()))
    'e3b0c44298fc1c14'
    """
    seen = "\\n".join(f"{pool.gpu.id} {pool.usable_memory_bytes} {pool.nodes_by_gpu_count}" for pool in supply.pools)
    return sha256(seen.encode()).hexdigest()[:_DIGEST_CHARACTERS]
