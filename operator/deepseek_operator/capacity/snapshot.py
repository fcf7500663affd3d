"""A small, versioned file of everything that planning needs to know of a cluster.

Holds no more than ``facts`` keeps (nodes, and unfinished pods that ask for GPUs) and what engines have reported. What
``kubectl get nodes,pods -A -o json`` prints is read as well, so planning works where only kubectl is at hand; with
``nodes,pods,dsd`` it tells the engines' reports too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from deepseek_operator.api.v1alpha1 import KIND as DEPLOYMENT_KIND
from deepseek_operator.capacity.claims_facts import loaded_claims, stored_claims
from deepseek_operator.capacity.cluster_facts import ClusterFacts, FactsCollector
from deepseek_operator.capacity.dra import loaded_devices, stored_devices
from deepseek_operator.capacity.facts import (
    NodeFacts,
    PodFacts,
    offered_rdma,
    read_node,
    read_pod,
    read_taints,
    with_host_pods,
)
from deepseek_operator.capacity.fields import count_of, integer_at, is_set, items_at, mapping_at, text_at, texts_at
from deepseek_operator.capacity.gpu_resources import gpu_quantities
from deepseek_operator.capacity.hami import loaded_hami, stored_hami
from deepseek_operator.capacity.host_use import loaded_host_use, stored_host_use
from deepseek_operator.capacity.measurements import load_measurements, measurements_of, stored_measurement
from deepseek_operator.errors import InventoryError, shortened
from deepseek_operator.planner.measurement import Measurement, distinct
from deepseek_operator.resources.features import ClusterFeatures, features_named

API_VERSION: Final = "deepseek-operator.io/v1alpha1"
KIND: Final = "InventorySnapshot"

LISTS: Final = frozenset({"List", "NodeList"})
"""Kinds of lists that are read."""

_REMEDY = "write one with `kubectl deepseek inventory` or `kubectl get nodes,pods -A -o json`"


def project_node(node: Mapping[str, object]) -> dict[str, object]:
    """Return a Node object as the snapshot stores it; what is empty or usual is left out.

    Raises:
        InventoryError: the object has no name, or a field that is read has the wrong type.

    >>> project_node({"metadata": {"name": "h100-1"}, "status": {"allocatable": {"nvidia.com/gpu": "8"}}})
    {'name': 'h100-1', 'allocatable': {'nvidia.com/gpu': 8}}
    """
    return _stored_node(read_node(node))


def project_pod(pod: Mapping[str, object]) -> dict[str, object]:
    """Return a Pod object as the snapshot stores it; what is empty is left out.

    Raises:
        InventoryError: the object has no name, or a field that is read has the wrong type.

    >>> limits = {"resources": {"limits": {"nvidia.com/gpu": "4"}}}
    >>> project_pod({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [limits]}})
    {'namespace': 'n', 'name': 'p', 'gpus': {'nvidia.com/gpu': 4}}
    """
    return _stored_pod(read_pod(pod))


def snapshot(
    nodes: Iterable[NodeFacts],
    pods: Iterable[PodFacts],
    measurements: Iterable[Measurement] = (),
    features: ClusterFeatures | None = None,
    *,
    claims: ClusterFacts | None = None,
) -> dict[str, object]:
    """Return a snapshot, sorted by name.

    Args:
        nodes: every node of the cluster, read with ``read_node`` page by page, so that no live object is kept.
        pods: pods of all namespaces; those that have finished are left out, and of those that ask for no GPU only the
            sum of each GPU node is kept.
        measurements: what engines of the cluster have reported.
        features: which APIs the cluster serves; None when nobody looked.
        claims: tells quotas, priority classes and deployments, and what could not be read; None for none.

    >>> snapshot([read_node({"metadata": {"name": "cpu-1"}})], [])["nodes"]
    [{'name': 'cpu-1'}]
    """
    known, gpu_pods = with_host_pods(nodes, pods)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        **({} if features is None else {"features": features.names()}),
        "nodes": [_stored_node(node) for node in sorted(known, key=lambda node: node.name)],
        "pods": [_stored_pod(pod) for pod in sorted(gpu_pods, key=lambda pod: (pod.namespace, pod.name))],
        "measurements": [stored_measurement(each) for each in distinct(measurements)],
        **({} if claims is None else stored_claims(claims.quotas, claims.classes, claims.promises)),
        **({} if claims is None or not claims.partial else {"partial": list(claims.partial)}),
    }


def load_snapshot(data: Mapping[str, object]) -> tuple[tuple[NodeFacts, ...], tuple[PodFacts, ...]]:
    """Return the nodes and the pods of a snapshot, or of a ``List`` of Node, Pod and DeepSeekDeployment objects.

    Args:
        data: the parsed file.

    Returns:
        Nodes sorted by name, and pods that ask for GPUs and have not finished, sorted by namespace and name.

    Raises:
        InventoryError: the file is something else or is damaged; the text says which command writes one.

    >>> load_snapshot({"kind": "List", "apiVersion": "v1", "items": []})
    Traceback (most recent call last):
    ...
    deepseek_operator.errors.InventoryError: the list holds no Node; write one with `kubectl deepseek inventory` \
or `kubectl get nodes,pods -A -o json`
    """
    facts = load_cluster(data)
    return facts.nodes, facts.pods


def load_cluster(data: Mapping[str, object]) -> ClusterFacts:
    """Return everything that a snapshot or a ``List`` tells; see `load_snapshot`."""
    if not isinstance(data, Mapping):
        raise InventoryError(f"a cluster snapshot is an object, not a {type(data).__name__}; {_REMEDY}")
    if not data.get("kind"):
        raise InventoryError(f"the file does not say its kind; {_REMEDY}")
    kind, api_version = str(data["kind"]), str(data.get("apiVersion") or "")
    try:
        if kind == KIND and api_version == API_VERSION:
            return _loaded(data)
        if kind in LISTS:
            return facts_of_list(items_at(data, "items"), kind)
    except InventoryError as error:
        raise InventoryError(f"{error}; {_REMEDY}") from error
    found = f"{shortened(kind)} of {shortened(api_version or 'no apiVersion')}"
    raise InventoryError(f"{found} is no cluster snapshot that this version reads; {_REMEDY}")


def facts_of_list(items: Iterable[Mapping[str, object]], kind: str = "List") -> ClusterFacts:
    """Return what the objects of a list tell, which are read one by one.

    Args:
        items: the objects.
        kind: of the list.

    Raises:
        InventoryError: one of them is damaged, or none is a Node.
    """
    collector = FactsCollector("Node" if kind == "NodeList" else "")
    for item in items:
        collector.add(item)
    facts = collector.facts()
    if not facts.nodes:
        raise InventoryError("the list holds no Node")
    return facts


def _loaded(data: Mapping[str, object]) -> ClusterFacts:
    nodes = [_loaded_node(node) for node in items_at(data, "nodes")]
    pods = [_loaded_pod(pod) for pod in items_at(data, "pods")]
    _refuse_duplicates("node", (node.name for node in nodes))
    _refuse_duplicates("pod", (f"{pod.namespace}/{pod.name}" for pod in pods))
    nodes, pods = with_host_pods(nodes, pods)
    quotas, classes, promises = loaded_claims(data)
    partial = data.get("partial") or []
    if not isinstance(partial, list) or not all(isinstance(each, str) for each in partial):
        raise InventoryError("partial is no list of sentences")
    return ClusterFacts(
        nodes=tuple(sorted(nodes, key=lambda node: node.name)),
        pods=tuple(sorted(pods, key=lambda pod: (pod.namespace, pod.name))),
        measurements=distinct(load_measurements(data)),
        features=snapshot_features(data),
        quotas=quotas,
        classes=classes,
        promises=promises,
        partial=tuple(partial),
    )


def snapshot_measurements(data: Mapping[str, object]) -> tuple[Measurement, ...]:
    """Return what engines have reported, from a file that ``load_snapshot`` reads.

    Raises:
        InventoryError: a field of a snapshot has the wrong type.
    """
    try:
        if str(data.get("kind")) == KIND:
            return distinct(load_measurements(data))
        items = items_at(data, "items")
        return distinct(measurements_of(item for item in items if item.get("kind") == DEPLOYMENT_KIND))
    except InventoryError as error:
        raise InventoryError(f"{error}; {_REMEDY}") from error


def snapshot_features(data: Mapping[str, object]) -> ClusterFeatures:
    """Return which APIs the cluster of a snapshot serves; none where the file does not tell, as a plain list.

    Raises:
        InventoryError: the field holds something other than names.

    >>> snapshot_features({"kind": KIND, "features": ["kueue"]}).names()
    ['kueue']
    """
    names = data.get("features") if str(data.get("kind")) == KIND else None
    if names is None:
        return ClusterFeatures()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InventoryError(f"features is no list of names; {_REMEDY}")
    return features_named(names)


def _refuse_duplicates(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InventoryError(f"{what} {shortened(name)} is listed twice")
        seen.add(name)


def _stored_node(node: NodeFacts) -> dict[str, object]:
    taints = [
        {"key": taint.key, "value": taint.value, "effect": taint.effect}
        if taint.value
        else {"key": taint.key, "effect": taint.effect}
        for taint in node.taints
    ]
    stored: dict[str, object] = {
        "name": node.name,
        "labels": dict(node.labels),
        "taints": taints,
        "unschedulable": node.unschedulable,
        "notReady": not node.ready,
        "deleting": node.deleting,
        "allocatable": dict(node.allocatable),
        "memoryBytes": node.host.memory_bytes,
        "cpuMilli": node.host.cpu_milli,
        "maxPods": node.host.pods,
        "otherPods": stored_host_use(node.others),
        "devices": stored_devices(node.devices),
        "hami": {} if node.hami is None else stored_hami(node.hami),
        "rdma": {"resource": node.rdma_resource, "devices": node.rdma_devices} if node.rdma_resource else {},
    }
    return {field: value for field, value in stored.items() if value}


def _stored_pod(pod: PodFacts) -> dict[str, object]:
    stored: dict[str, object] = {
        "namespace": pod.namespace,
        "name": pod.name,
        "uid": pod.uid,
        "node": pod.node,
        "phase": pod.phase,
        "deleting": pod.deleting,
        "gpus": dict(pod.gpus),
        "memoryBytes": pod.host.memory_bytes,
        "cpuMilli": pod.host.cpu_milli,
        "priority": pod.priority,
        "priorityClass": pod.priority_class,
        "owner": {"kind": pod.owner_kind, "name": pod.owner_name} if pod.owner_kind else {},
        "labels": dict(pod.labels),
    }
    return {field: value for field, value in stored.items() if value}


def _loaded_node(stored: Mapping[str, object]) -> NodeFacts:
    rdma, quantities = mapping_at(stored, "rdma"), mapping_at(stored, "allocatable")
    offered = (text_at(rdma, "resource"), integer_at(rdma, "devices")) if rdma else offered_rdma(quantities)
    return NodeFacts(
        name=_required_name(stored, "node"),
        labels=texts_at(stored, "labels"),
        taints=read_taints(stored),
        unschedulable=is_set(stored, "unschedulable"),
        ready=not is_set(stored, "notReady"),
        deleting=is_set(stored, "deleting"),
        allocatable=gpu_quantities(quantities),
        host=replace(loaded_host_use(stored), pods=integer_at(stored, "maxPods")),
        others=loaded_host_use(mapping_at(stored, "otherPods")),
        devices=loaded_devices(stored),
        hami=loaded_hami(mapping_at(stored, "hami")) if stored.get("hami") else None,
        rdma_resource=offered[0] or None,
        rdma_devices=offered[1],
    )


def _loaded_pod(stored: Mapping[str, object]) -> PodFacts:
    owner = mapping_at(stored, "owner")
    return PodFacts(
        namespace=text_at(stored, "namespace"),
        name=_required_name(stored, "pod"),
        uid=text_at(stored, "uid"),
        node=text_at(stored, "node"),
        phase=text_at(stored, "phase"),
        deleting=is_set(stored, "deleting"),
        gpus=_counts_at(stored, "gpus"),
        host=replace(loaded_host_use(stored), pods=1),
        priority=integer_at(stored, "priority"),
        priority_class=text_at(stored, "priorityClass"),
        owner_kind=text_at(owner, "kind"),
        owner_name=text_at(owner, "name"),
        labels=texts_at(stored, "labels"),
    )


def _required_name(stored: Mapping[str, object], what: str) -> str:
    name = text_at(stored, "name")
    if not name:
        raise InventoryError(f"a {what} of the snapshot has no name")
    return name


def _counts_at(stored: Mapping[str, object], field: str) -> dict[str, int]:
    counts = mapping_at(stored, field)
    return {name: count_of(name, counts[name]) for name in sorted(counts)}
