"""Which extended resources give a pod the network that GPUs of several nodes talk over, and how many of them.

With remote direct memory access (RDMA) a network card reads and writes GPU memory by itself; without it traffic between
nodes goes through the hosts' memory and their TCP stacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_operator.units import ceil_div


@dataclass(frozen=True, kw_only=True)
class RdmaResource:
    """One kind of extended resource.

    Args:
        prefix: what its name begins with.
        shared: whether one unit gives access to every card of the node; else each unit is one card of its own.
        source: where the name is documented.
    """

    prefix: str
    shared: bool
    source: str


RDMA_RESOURCES = (
    RdmaResource(
        prefix="nvidia.com/hostdev", shared=False, source="NVIDIA Network Operator, host device network deployment"
    ),
    RdmaResource(
        prefix="vpc.amazonaws.com/efa",
        shared=False,
        source="Amazon EKS, machine learning with EFA: one unit per device",
    ),
    RdmaResource(
        prefix="rdma/",
        shared=True,
        source="Mellanox/k8s-rdma-shared-dev-plugin README: resourcePrefix defaults to rdma, rdmaHcaMax units",
    ),
)
"""The kinds that are known, the one with cards of the pod's own first. Names were not checked on such hardware."""


def rdma_resource(name: str) -> RdmaResource | None:
    """Return the kind that an extended resource is of; None when it is no RDMA resource.

    >>> rdma_resource("rdma/hca").shared, rdma_resource("vpc.amazonaws.com/efa").shared, rdma_resource("cpu")
    (True, False, None)
    """
    return next((kind for kind in RDMA_RESOURCES if name.startswith(kind.prefix)), None)


def best_rdma(quantities: Mapping[str, int]) -> tuple[str, int]:
    """Return the resource that a pod should ask for and how many units the node has; ``("", 0)`` without any.

    Args:
        quantities: allocatable units of a node by resource name, 0 or more.

    >>> best_rdma({"rdma/hca": 63, "nvidia.com/hostdev": 8, "cpu": 96}), best_rdma({"rdma/hca": 0})
    (('nvidia.com/hostdev', 8), ('', 0))
    """
    for kind in RDMA_RESOURCES:
        for name in sorted(quantities):
            if name.startswith(kind.prefix) and quantities[name] > 0:
                return name, quantities[name]
    return "", 0


def rdma_units(name: str, devices: int, gpus: int, gpus_of_node: int) -> int:
    """Return how many units a pod asks for: one of a shared resource, else its GPUs' share of the node's cards.

    Args:
        name: of the resource.
        devices: units of the node, 1 or more.
        gpus: that the pod takes, 1 or more.
        gpus_of_node: GPUs of the node, ``gpus`` or more.

    >>> rdma_units("rdma/hca", 63, 8, 8), rdma_units("vpc.amazonaws.com/efa", 32, 4, 8)
    (1, 16)
    """
    kind = rdma_resource(name)
    if kind is None or kind.shared:
        return 1
    return min(devices, ceil_div(devices * gpus, gpus_of_node))
