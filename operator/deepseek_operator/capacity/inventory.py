"""The cluster's GPUs: what each node offers, who holds it and what is free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import reduce

from deepseek_operator.capacity.facts import NodeFacts, PodFacts, Taint, with_host_pods
from deepseek_operator.capacity.host_use import NOTHING, HostUse
from deepseek_operator.capacity.node_gpus import node_gpus
from deepseek_operator.capacity.node_price import label_price
from deepseek_operator.capacity.node_shares import ShareOffer
from deepseek_operator.catalog.gpu_labels import GpuSharing
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.planner.measurement import Measurement, distinct
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.resources.names import LABEL_DEPLOYMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInventory:
    """One GPU node.

    Args:
        gpu: the product; None when no label names one that the catalogue knows.
        product: the product as the node's label spells it; empty without such a label.
        resource: what a pod requests to get one GPU.
        sharing: whether what the scheduler hands out is a whole GPU.
        physical_gpus: GPUs in the node, never multiplied by sharing; the fewest that hold its MIG slices where no
            label counts them, 0 when that cannot be told.
        allocatable_gpus: whole, healthy GPUs that pods can request, those beside MIG slices too; 0 when facts
            contradict or all GPUs are shared.
        usable_memory_bytes: of one GPU, as an engine sees it; None when not known.
        host: allocatable CPU, memory and pods of the node; zeros where not told.
        others: what pods without GPUs hold of them.
        requested_gpus: held by ``pods`` together, in units of ``resource``.
        free_gpus: allocatable less requested, never below 0.
        pods: unfinished pods on the node that hold GPUs, sorted by namespace and name; terminating ones too.
        exclusions: why nothing is planned on the node, as clauses, the most lasting first; empty when it may be.
        schedulable: whether new pods may land there (not cordoned, NotReady or being deleted).
        labels: of the node, for node selectors.
        warnings: what an owner of the cluster should know, as sentences.
        price_per_hour_usd: of one GPU, as the node's label states it; None without one.
        shares: parts of its GPUs that it offers, where it divides them.
        rdma_resource: what a pod asks for to reach other nodes by RDMA; None where the node offers none.
        rdma_devices: allocatable units of it.
        deployments: namespaces and names of the DeepSeekDeployments whose pods are among ``pods``.
        free_host: CPU, memory and pods that all pods leave of ``host``, never below 0.
    """

    name: str
    gpu: Gpu | None
    product: str
    resource: str
    sharing: GpuSharing
    physical_gpus: int
    allocatable_gpus: int
    usable_memory_bytes: int | None
    requested_gpus: int
    free_gpus: int
    pods: tuple[PodFacts, ...]
    exclusions: tuple[str, ...]
    schedulable: bool
    taints: tuple[Taint, ...]
    labels: Mapping[str, str]
    warnings: tuple[str, ...]
    price_per_hour_usd: Decimal | None = None
    host: HostUse = NOTHING
    others: HostUse = NOTHING
    shares: tuple[ShareOffer, ...] = ()
    rdma_resource: str | None = None
    rdma_devices: int = 0
    deployments: frozenset[tuple[str, str]] = field(init=False, repr=False, compare=False)
    free_host: HostUse = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sum up the pods once; room on every node is looked for again and again."""
        owners = ((pod.namespace, pod.labels.get(LABEL_DEPLOYMENT, "")) for pod in self.pods)
        held = reduce(HostUse.plus, (pod.host for pod in self.pods), self.others)
        object.__setattr__(self, "deployments", frozenset(owners))
        object.__setattr__(self, "free_host", self.host.minus(held))

    @property
    def plannable(self) -> bool:
        """Whether the planner may count on the node: whole GPUs of a known product that pods can land on."""
        return not self.exclusions

    @property
    def host_memory_bytes(self) -> int:
        """Allocatable memory of the node; 0 when not told."""
        return self.host.memory_bytes

    def held_by(self, pod: PodFacts) -> int:
        """Return how many of the node's GPUs one of its pods holds."""
        return pod.gpus.get(self.resource, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Every GPU node of a cluster, sorted by name.

    Args:
        nodes_without_gpus: how many other nodes there are.
        measurements: what engines of the cluster have reported.
        features: which APIs the cluster serves.
    """

    nodes: tuple[NodeInventory, ...]
    nodes_without_gpus: int = 0
    measurements: tuple[Measurement, ...] = ()
    features: ClusterFeatures = field(default_factory=ClusterFeatures)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Every node's warnings, each beginning with the node's name."""
        return tuple(f"{node.name}: {warning}" for node in self.nodes for warning in node.warnings)


def inventory(
    nodes: Iterable[NodeFacts],
    pods: Iterable[PodFacts],
    measurements: Iterable[Measurement] = (),
    features: ClusterFeatures | None = None,
) -> Inventory:
    """Return the inventory of a cluster.

    Args:
        nodes: every node, in any order; names are unique.
        pods: pods of all namespaces, in any order. Those that have finished or wait for a node hold nothing, those
            that ask for no GPU hold CPU and memory; terminating ones hold what they have until they are gone.
        measurements: what engines of the cluster have reported, in any order.
        features: which APIs the cluster serves; None when nobody looked.
    """
    pods_by_node: dict[str, list[PodFacts]] = {}
    known, gpu_pods = with_host_pods(nodes, pods)
    for pod in gpu_pods:
        if pod.node:
            pods_by_node.setdefault(pod.node, []).append(pod)
    return Inventory(
        nodes=tuple(
            node_inventory(node, pods_by_node.get(node.name, ()))
            for node in sorted(known, key=lambda node: node.name)
            if node.has_gpus
        ),
        nodes_without_gpus=sum(not node.has_gpus for node in known),
        measurements=distinct(measurements),
        features=features or ClusterFeatures(),
    )


def node_inventory(node: NodeFacts, pods: Iterable[PodFacts]) -> NodeInventory:
    """Return one node's part of the inventory.

    Args:
        node: a node with GPUs.
        pods: unfinished pods that are bound to it and ask for GPUs, in any order.
    """
    offered = node_gpus(node)
    holders = tuple(sorted(pods, key=lambda pod: (pod.namespace, pod.name)))
    requested = sum(pod.gpus.get(offered.resource, 0) for pod in holders)
    price, price_warnings = label_price(node.labels)
    warnings = offered.warnings + price_warnings
    if offered.allocatable_gpus and requested > offered.allocatable_gpus:
        warnings += (
            f"its pods hold {requested} GPUs but only {offered.allocatable_gpus} are allocatable now, "
            "as when a GPU fails under a running pod",
        )
    lifecycle = _lifecycle_exclusions(node)
    return NodeInventory(
        name=node.name,
        gpu=offered.gpu,
        product=offered.product,
        resource=offered.resource,
        sharing=offered.sharing,
        physical_gpus=offered.physical_gpus,
        allocatable_gpus=offered.allocatable_gpus,
        usable_memory_bytes=offered.usable_memory_bytes,
        requested_gpus=requested,
        free_gpus=max(0, offered.allocatable_gpus - requested),
        pods=holders,
        exclusions=(*offered.exclusions, *lifecycle),
        schedulable=not lifecycle,
        taints=node.taints,
        labels=node.labels,
        warnings=warnings,
        price_per_hour_usd=price,
        host=node.host,
        others=node.others,
        shares=offered.shares,
        rdma_resource=node.rdma_resource,
        rdma_devices=node.rdma_devices,
    )


def _lifecycle_exclusions(node: NodeFacts) -> tuple[str, ...]:
    return tuple(
        clause
        for clause, applies in (
            ("it is being deleted", node.deleting),
            ("it is cordoned", node.unschedulable),
            ("it is NotReady", not node.ready),
        )
        if applies
    )
