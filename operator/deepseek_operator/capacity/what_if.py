"""The cluster as it would be with other nodes."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Sequence

from deepseek_operator.capacity.facts import NodeFacts, PodFacts
from deepseek_operator.capacity.host_use import MILLI, HostUse
from deepseek_operator.capacity.node_price import PRICE_LABEL
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.instances import CloudInstance
from deepseek_operator.errors import InventoryError, shortened
from deepseek_operator.units import GIB

INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"
"""Source: Kubernetes, well-known labels."""

MOST_ADDED_NODES = 10_000
"""More in one question are a slip of the keyboard."""


def with_nodes(nodes: Sequence[NodeFacts], instance: CloudInstance, count: int) -> list[NodeFacts]:
    """Return the nodes and some more of a cloud instance type, named ``INSTANCE-added-0`` and on, as names are free.

    Args:
        nodes: that are there.
        instance: with whole GPUs of a product that a node label tells apart.
        count: 1 to ``MOST_ADDED_NODES``.

    Raises:
        InventoryError: the count or the instance type cannot be; the text says why.
    """
    if not 1 <= count <= MOST_ADDED_NODES:
        raise InventoryError(f"{instance.name}={count}: add 1 to {MOST_ADDED_NODES:,} nodes")
    product = gpu(instance.gpu_id)
    if not instance.gpus or product.label_key is None or product.label_value is None:
        raise InventoryError(f"{instance.name}: it holds no whole GPU of a product that a node label tells apart")
    labels = {product.label_key: product.label_value, INSTANCE_TYPE_LABEL: instance.name}
    if instance.price_per_gpu_hour_usd is not None:
        labels[PRICE_LABEL] = f"{instance.price_per_gpu_hour_usd:.4f}"
    taken = {node.name for node in nodes}
    free = (name for number in itertools.count() if (name := f"{instance.name}-added-{number}") not in taken)
    return [
        *nodes,
        *(
            NodeFacts(
                name=name,
                labels=labels,
                allocatable={product.k8s_resource: instance.gpus},
                host=HostUse(
                    cpu_milli=(instance.vcpus or 0) * MILLI, memory_bytes=(instance.host_memory_gib or 0) * GIB
                ),
            )
            for name in itertools.islice(free, count)
        ),
    ]


def without_nodes(
    nodes: Sequence[NodeFacts], pods: Sequence[PodFacts], pattern: str
) -> tuple[list[NodeFacts], list[PodFacts]]:
    """Return the nodes whose names do not match, and the pods that are not on those that do.

    Args:
        nodes: that are there.
        pods: that are there.
        pattern: a name, or a shell pattern such as ``a100-*``.

    Raises:
        InventoryError: no node's name matches.
    """
    gone = {node.name for node in nodes if fnmatch.fnmatchcase(node.name, pattern)}
    if not gone:
        raise InventoryError(f"no node is called {shortened(pattern)!r}; see `kubectl deepseek inventory -o table`")
    return [node for node in nodes if node.name not in gone], [pod for pod in pods if pod.node not in gone]
