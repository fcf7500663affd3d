"""What planning needs to know of one node and of one pod, and nothing else of them.

Everything else of the live object (environment, images, volumes, annotations) is dropped on reading, so neither a
snapshot nor the operator's memory can hold a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from deepseek_operator.capacity.dra import DraDevices, SliceFacts, claimed_devices, devices_of
from deepseek_operator.capacity.fields import (
    count_of,
    integer_at,
    is_set,
    items_at,
    mapping_at,
    text_at,
    texts_at,
)
from deepseek_operator.capacity.gpu_resources import gpu_quantities, has_gpu_label, pod_gpu_requests
from deepseek_operator.capacity.hami import HAMI_ANNOTATION, HamiNode, read_hami
from deepseek_operator.capacity.host_use import NOTHING, HostUse, pod_host_use, read_host_use
from deepseek_operator.capacity.kai import kai_requests
from deepseek_operator.catalog.rdma import best_rdma, rdma_resource
from deepseek_operator.errors import InventoryError, shortened
from deepseek_operator.resources.resource_claim_template import ANNOTATION_CLAIMED_GPUS

KEPT_POD_LABELS = ("app.kubernetes.io/", "deepseek-operator.io/", "leaderworkerset.sigs.k8s.io/name")
"""Prefixes of pod labels that tell whose replica a pod is."""

FINISHED_PHASES = frozenset({"Succeeded", "Failed"})
"""Phases in which a pod holds nothing any more. Source: Kubernetes pod lifecycle."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Taint:
    """A taint as the node carries it."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}{'=' if self.value else ''}{self.value}:{self.effect}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One node.

    Args:
        labels: every label of a GPU node (any of them may be selected); empty for a node without GPUs.
        ready: False when the Ready condition is there and is not ``True``.
        allocatable: GPU resources as the device plugin reports them, possibly multiplied by sharing.
        host: allocatable CPU, memory and pods of a GPU node; zeros where not told.
        others: what pods without GPUs hold there, where they are not listed by themselves.
        devices: GPUs that a DRA driver gives by claims; joined from the node's ResourceSlices.
        hami: what HAMi's annotation says, whose plugin multiplies allocatable GPUs without a label; None without.
        rdma_resource: what a pod asks for to reach other nodes by RDMA; None where the node offers none.
        rdma_devices: allocatable units of it.
    """

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    ready: bool = True
    deleting: bool = False
    allocatable: Mapping[str, int]
    host: HostUse = NOTHING
    others: HostUse = NOTHING
    hami: HamiNode | None = None
    devices: tuple[DraDevices, ...] = ()
    rdma_resource: str | None = None
    rdma_devices: int = 0

    @property
    def has_gpus(self) -> bool:
        """Whether the node offers GPUs, or is labelled as if it did."""
        return bool(self.allocatable) or bool(self.devices) or has_gpu_label(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """One pod.

    Args:
        node: the node it is bound to; empty while it waits.
        gpus: GPUs that it holds on its node, by resource name, and what it asks of KAI and DRA
            (`kai.kai_requests`, `dra.claimed_devices`).
        host: CPU and memory that it requests.
        owner_kind: kind of the controlling owner reference, such as ``ReplicaSet``.
        labels: those of ``KEPT_POD_LABELS``.
    """

    namespace: str
    name: str
    uid: str = ""
    node: str = ""
    phase: str = ""
    deleting: bool = False
    gpus: Mapping[str, int]
    host: HostUse = NOTHING
    priority: int = 0
    priority_class: str = ""
    owner_kind: str = ""
    owner_name: str = ""
    labels: Mapping[str, str]

    @property
    def matters(self) -> bool:
        """Whether it asks for GPUs and has not finished; a terminating pod still holds its GPUs."""
        return bool(self.gpus) and self.phase not in FINISHED_PHASES

    @property
    def takes_host_only(self) -> bool:
        """Whether it holds CPU and memory of a node but none of its GPUs."""
        return bool(self.node) and not self.gpus and self.phase not in FINISHED_PHASES


def read_node(node: Mapping[str, object]) -> NodeFacts:
    """Return the facts of a Node object.

    Raises:
        InventoryError: the object has no name, or a field that is read has the wrong type.

    >>> read_node({"metadata": {"name": "cpu-1", "labels": {"zone": "a"}}, "spec": {"unschedulable": True}})
    NodeFacts(name='cpu-1', labels={}, taints=(), unschedulable=True, ready=True, deleting=False, \
allocatable={}, host=HostUse(cpu_milli=0, memory_bytes=0, pods=0), others=HostUse(cpu_milli=0, memory_bytes=0, \
pods=0), hami=None, devices=(), rdma_resource=None, rdma_devices=0)
    """
    metadata = mapping_at(node, "metadata")
    name = text_at(metadata, "name")
    if not name:
        raise InventoryError("a Node has no metadata.name")
    if not name.isprintable():
        raise InventoryError(f"a Node is called {shortened(name)!r}; no name in Kubernetes has such characters")
    spec, status = mapping_at(node, "spec"), mapping_at(node, "status")
    try:
        quantities = mapping_at(status, "allocatable")
        allocatable = gpu_quantities(quantities)
        labels, annotations = texts_at(metadata, "labels"), mapping_at(metadata, "annotations")
        has_gpus = bool(allocatable) or has_gpu_label(labels)
        rdma, devices = offered_rdma(quantities) if has_gpus else ("", 0)
        return NodeFacts(
            name=name,
            labels=labels if has_gpus else {},
            taints=read_taints(spec),
            unschedulable=is_set(spec, "unschedulable"),
            ready=_is_ready(status),
            deleting=bool(metadata.get("deletionTimestamp")),
            allocatable=allocatable,
            host=read_host_use(quantities) if has_gpus else NOTHING,
            hami=read_hami(str(annotations[HAMI_ANNOTATION])) if HAMI_ANNOTATION in annotations else None,
            rdma_resource=rdma or None,
            rdma_devices=devices,
        )
    except InventoryError as error:
        raise InventoryError(f"node {shortened(name)}: {error}") from error


def joined(nodes: Iterable[NodeFacts], slices: Iterable[SliceFacts]) -> list[NodeFacts]:
    """Return nodes with the devices of their ResourceSlices."""
    by_node: dict[str, list[SliceFacts]] = {}
    for each in slices:
        by_node.setdefault(each.node, []).append(each)
    return [with_devices(node, by_node.get(node.name, ())) for node in nodes]


def with_devices(node: NodeFacts, slices: Iterable[SliceFacts]) -> NodeFacts:
    """Return a node with the devices of its ResourceSlices; the same object where there are none."""
    devices = devices_of(slices)
    return replace(node, devices=devices) if devices else node


def with_others(node: NodeFacts, held: HostUse) -> NodeFacts:
    """Return a GPU node with more that pods without GPUs hold there; the same object where that is nothing."""
    return replace(node, others=node.others.plus(held)) if held.pods and node.has_gpus else node


def with_host_pods(nodes: Iterable[NodeFacts], pods: Iterable[PodFacts]) -> tuple[list[NodeFacts], list[PodFacts]]:
    """Return nodes with what pods without GPUs hold of them, and the pods that ask for GPUs and have not finished."""
    held, gpu_pods = dict[str, HostUse](), list[PodFacts]()
    for pod in pods:
        if pod.matters:
            gpu_pods.append(pod)
        elif pod.takes_host_only:
            held[pod.node] = held.get(pod.node, NOTHING).plus(pod.host)
    return [with_others(node, held.get(node.name, NOTHING)) for node in nodes], gpu_pods


def offered_rdma(quantities: Mapping[str, object]) -> tuple[str, int]:
    """Return the RDMA resource of a node that a pod should ask for, and its units; empty and 0 without one.

    Args:
        quantities: allocatable resources of the node, others too.

    Raises:
        InventoryError: a quantity cannot be read.

    >>> offered_rdma({"nvidia.com/gpu": 8, "rdma/hca": "63"})
    ('rdma/hca', 63)
    """
    return best_rdma({name: count_of(name, value) for name, value in quantities.items() if rdma_resource(name)})


def read_taints(spec: Mapping[str, object]) -> tuple[Taint, ...]:
    """Return the taints in a node's spec, sorted.

    >>> [str(taint) for taint in read_taints({"taints": [{"key": "gpu", "effect": "NoSchedule"}]})]
    ['gpu:NoSchedule']
    """
    return tuple(
        sorted(
            Taint(key=text_at(taint, "key"), value=text_at(taint, "value"), effect=text_at(taint, "effect"))
            for taint in items_at(spec, "taints")
        )
    )


def read_pod(pod: Mapping[str, object]) -> PodFacts:
    """Return the facts of a Pod object.

    Raises:
        InventoryError: the object has no name, or a field that is read has the wrong type.

    >>> read_pod({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "h100-1"}}).node
    'h100-1'
    """
    metadata = mapping_at(pod, "metadata")
    namespace, name = text_at(metadata, "namespace"), text_at(metadata, "name")
    if not name:
        raise InventoryError("a Pod has no metadata.name")
    if not (name.isprintable() and namespace.isprintable()):
        raise InventoryError(f"a Pod is called {shortened(name)!r}; no name in Kubernetes has such characters")
    spec = mapping_at(pod, "spec")
    try:
        annotations = mapping_at(metadata, "annotations")
        owner = _controller(metadata)
        return PodFacts(
            namespace=namespace,
            name=name,
            uid=str(metadata.get("uid") or ""),
            node=text_at(spec, "nodeName"),
            phase=text_at(mapping_at(pod, "status"), "phase"),
            deleting=bool(metadata.get("deletionTimestamp")),
            gpus={
                **pod_gpu_requests(spec),
                **kai_requests(annotations),
                **claimed_devices(spec, str(annotations.get(ANNOTATION_CLAIMED_GPUS) or "")),
            },
            host=pod_host_use(spec),
            priority=integer_at(spec, "priority"),
            priority_class=text_at(spec, "priorityClassName"),
            owner_kind=text_at(owner, "kind"),
            owner_name=text_at(owner, "name"),
            labels={
                key: value for key, value in texts_at(metadata, "labels").items() if key.startswith(KEPT_POD_LABELS)
            },
        )
    except InventoryError as error:
        raise InventoryError(f"pod {shortened(namespace)}/{shortened(name)}: {error}") from error


def _is_ready(status: Mapping[str, object]) -> bool:
    """Return False only when the kubelet or the node controller says so; a file may carry no conditions."""
    return all(
        condition.get("status") == "True"
        for condition in items_at(status, "conditions")
        if condition.get("type") == "Ready"
    )


def _controller(metadata: Mapping[str, object]) -> Mapping[str, object]:
    """Return the controlling owner reference, or an empty mapping."""
    owners = items_at(metadata, "ownerReferences")
    return next((owner for owner in owners if owner.get("controller") is True), {})
