"""Everything that planning needs to know of a cluster, gathered one object at a time.

Objects may come from a list of any length: of pods without GPUs only the sum of each node is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_operator.api.v1alpha1 import KIND as DEPLOYMENT_KIND
from deepseek_operator.capacity.claims_facts import (
    PriorityFacts,
    PromiseFacts,
    QuotaFacts,
    read_priority_class,
    read_promise,
    read_quota,
)
from deepseek_operator.capacity.dra import SliceFacts, read_slice
from deepseek_operator.capacity.facts import NodeFacts, PodFacts, joined, read_node, read_pod, with_others
from deepseek_operator.capacity.host_use import NOTHING, HostUse
from deepseek_operator.capacity.measurements import measurements_of
from deepseek_operator.errors import InventoryError, shortened
from deepseek_operator.planner.measurement import Measurement, distinct
from deepseek_operator.resources.features import ClusterFeatures

SLICE_KIND = "ResourceSlice"


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """What is known of a cluster.

    Args:
        nodes: sorted by name; what pods without GPUs hold of them is part of them.
        pods: that ask for GPUs and have not finished, sorted by namespace and name.
        measurements: what engines have reported.
        features: which APIs the cluster serves; None when nobody looked.
        quotas: limits of GPUs.
        classes: priority classes.
        promises: what DeepSeekDeployments may grow to.
        partial: what could not be read, as sentences; answers then say that they are partial.
    """

    nodes: tuple[NodeFacts, ...]
    pods: tuple[PodFacts, ...]
    measurements: tuple[Measurement, ...] = ()
    features: ClusterFeatures | None = None
    quotas: tuple[QuotaFacts, ...] = ()
    classes: tuple[PriorityFacts, ...] = ()
    promises: tuple[PromiseFacts, ...] = ()
    partial: tuple[str, ...] = ()


class FactsCollector:
    """Gathers facts.

    Args:
        default_kind: kind of objects that name none, as in a ``NodeList``; empty refuses them.
    """

    def __init__(self, default_kind: str = "") -> None:
        self._default_kind = default_kind
        self._nodes: dict[str, NodeFacts] = {}
        self._pods: list[PodFacts] = []
        self._seen_pods: set[tuple[str, str]] = set()
        self._held: dict[str, HostUse] = {}
        self._slices: list[SliceFacts] = []
        self._measurements: list[Measurement] = []
        self._quotas: list[QuotaFacts] = []
        self._classes: list[PriorityFacts] = []
        self._promises: list[PromiseFacts] = []

    def add(self, item: Mapping[str, object]) -> None:
        """Take in one object.

        Raises:
            InventoryError: it is damaged, there twice, or of a kind that planning has no use for.
        """
        kind = item.get("kind", self._default_kind or None)
        if kind == "Node":
            self._add_node(read_node(item))
        elif kind == "Pod":
            self._add_pod(read_pod(item))
        elif kind == SLICE_KIND:
            self._slices.append(read_slice(item))
        elif kind == "ResourceQuota":
            self._quotas += [quota] if (quota := read_quota(item)) else []
        elif kind == "PriorityClass":
            self._classes.append(read_priority_class(item))
        elif kind == DEPLOYMENT_KIND:
            self._measurements += measurements_of([item])
            self._promises.append(read_promise(item))
        else:
            raise InventoryError(f"the list holds a {shortened(str(kind))}, which is neither Node nor Pod")

    def facts(self, *, features: ClusterFeatures | None = None, partial: tuple[str, ...] = ()) -> ClusterFacts:
        """Return what was gathered.

        Args:
            features: which APIs the cluster serves; None when nobody looked.
            partial: what could not be read.
        """
        nodes = [
            with_others(node, self._held.get(node.name, NOTHING)) for node in joined(self._nodes.values(), self._slices)
        ]
        return ClusterFacts(
            nodes=tuple(sorted(nodes, key=lambda node: node.name)),
            pods=tuple(sorted(self._pods, key=lambda pod: (pod.namespace, pod.name))),
            measurements=distinct(self._measurements),
            features=features,
            quotas=tuple(sorted(self._quotas)),
            classes=tuple(sorted(self._classes)),
            promises=tuple(sorted(self._promises)),
            partial=partial,
        )

    def _add_node(self, node: NodeFacts) -> None:
        if node.name in self._nodes:
            raise InventoryError(f"node {shortened(node.name)} is listed twice")
        self._nodes[node.name] = node

    def _add_pod(self, pod: PodFacts) -> None:
        key = (pod.namespace, pod.name)
        if key in self._seen_pods:
            raise InventoryError(f"pod {shortened('/'.join(key))} is listed twice")
        self._seen_pods.add(key)
        if pod.matters:
            self._pods.append(pod)
        elif pod.takes_host_only:
            self._held[pod.node] = self._held.get(pod.node, NOTHING).plus(pod.host)
