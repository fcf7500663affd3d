"""The operator's running picture of the cluster, changed by one watch event at a time.

The one mutable value of this floor. It keeps projections only, recomputes a node when that node or a pod on it
changes, and tells whether anything that matters changed, so heartbeats wake nobody. Not safe for threads: the
watch's event loop owns it, and hands out the immutable ``Inventory``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from deepseek_operator.capacity.dra import SliceFacts, read_slice
from deepseek_operator.capacity.facts import NodeFacts, PodFacts, read_node, read_pod, with_devices, with_others
from deepseek_operator.capacity.host_pods import HostPods
from deepseek_operator.capacity.inventory import Inventory, NodeInventory, node_inventory
from deepseek_operator.capacity.measurements import MeasurementStore
from deepseek_operator.capacity.quota_room import QuotaRooms
from deepseek_operator.planner.measurement import Measurement
from deepseek_operator.resources.features import ClusterFeatures

PodKey = tuple[str, str]
"""Namespace and name."""


class ClusterState:
    """Nodes and pods as last seen; events of different objects may come in any order.

    >>> state = ClusterState()
    >>> state.set_node({"metadata": {"name": "n"}, "status": {"allocatable": {"nvidia.com/gpu": "8"}}})
    True
    >>> state.inventory().nodes[0].allocatable_gpus
    8
    """

    def __init__(self) -> None:
        self._nodes: dict[str, NodeFacts] = {}
        self._pods: dict[PodKey, PodFacts] = {}
        self._keys_by_node: dict[str, set[PodKey]] = {}
        self._host_pods = HostPods()
        self._computed: dict[str, NodeInventory] = {}
        self._slices: dict[str, SliceFacts] = {}
        self._slices_by_node: dict[str, dict[str, SliceFacts]] = {}
        self._measurements = MeasurementStore()
        self.quotas = QuotaRooms()
        self._features = ClusterFeatures()
        self._inventory: Inventory | None = None
        self._offers = 0

    def set_node(self, node: Mapping[str, object]) -> bool:
        """Take in a Node object that was added or changed; return whether the inventory may differ.

        Raises:
            InventoryError: a field has the wrong type; what was known of the node stays.
        """
        facts = read_node(node)
        if self._nodes.get(facts.name) == facts:
            return False
        self._nodes[facts.name] = facts
        self._offers += 1
        self._forget(facts.name)
        return True

    def remove_node(self, name: str) -> bool:
        """Drop a node that was deleted; return whether it was known. Its pods stay until their own events."""
        if self._nodes.pop(name, None) is None:
            return False
        self._offers += 1
        self._forget(name)
        return True

    def set_pod(self, pod: Mapping[str, object]) -> bool:
        """Take in a Pod object that was added or changed; return whether the inventory may differ.

        Raises:
            InventoryError: a field has the wrong type; what was known of the pod stays.
        """
        facts = read_pod(pod)
        key = (facts.namespace, facts.name)
        if not facts.matters:
            held = self._host_pods.put(key, facts) if facts.takes_host_only else self._host_pods.drop(key)
            return self._drop_gpu_pod(key) | self._concern(held)
        if self._pods.get(key) == facts:
            return False
        self._drop_pod(key)
        self._pods[key] = facts
        if facts.node:
            self._keys_by_node.setdefault(facts.node, set()).add(key)
            self._forget(facts.node)
        return True

    def remove_pod(self, namespace: str, name: str, uid: str = "") -> bool:
        """Drop a pod that was deleted; return whether it was known.

        Args:
            namespace: of the pod.
            name: of the pod.
            uid: of the deleted pod; a successor that already took its name is kept. Empty drops either.
        """
        known_uid = self._uid((namespace, name))
        if known_uid is None or (uid and known_uid and uid != known_uid):
            return False
        return self._drop_pod((namespace, name))

    def set_slice(self, found: Mapping[str, object]) -> bool:
        """Take in a ResourceSlice that was added or changed; return whether the inventory may differ.

        Raises:
            InventoryError: a field has the wrong type; what was known of the slice stays.
        """
        facts = read_slice(found)
        if not facts.devices or not facts.node:
            return self.remove_slice(facts.name)
        if self._slices.get(facts.name) == facts:
            return False
        self.remove_slice(facts.name)
        self._slices[facts.name] = facts
        self._slices_by_node.setdefault(facts.node, {})[facts.name] = facts
        self._offers += 1
        self._forget(facts.node)
        return True

    def remove_slice(self, name: str) -> bool:
        """Drop a ResourceSlice that was deleted; return whether it was known."""
        known = self._slices.pop(name, None)
        if known is not None:
            on_node = self._slices_by_node[known.node]
            del on_node[name]
            if not on_node:
                del self._slices_by_node[known.node]
            self._offers += 1
            self._forget(known.node)
        return known is not None

    def slice_names(self) -> list[str]:
        """Return the names of all known ResourceSlices that hold GPUs, sorted."""
        return sorted(self._slices)

    def set_measurements(self, owner_uid: str, measurements: tuple[Measurement, ...]) -> bool:
        """Take in what the engines of a DeepSeekDeployment have reported; return whether the inventory may differ."""
        if not self._measurements.put(owner_uid, measurements):
            return False
        self._offers += 1
        self._inventory = None
        return True

    def set_features(self, features: ClusterFeatures) -> None:
        """Take in which APIs the cluster serves."""
        if self._features != features:
            self._features = features
            self._offers += 1
            self._inventory = None

    def node_names(self) -> list[str]:
        """Return the names of all known nodes, sorted."""
        return sorted(self._nodes)

    def pod_names(self) -> list[tuple[str, str, str]]:
        """Return namespace, name and UID of all known pods, sorted."""
        return sorted([*((*key, pod.uid) for key, pod in self._pods.items()), *self._host_pods.names()])

    def offers(self) -> int:
        """Return a number that is another after every change of anything but pods: of what plans are made on."""
        return self._offers

    def inventory(self) -> Inventory:
        """Return the inventory; the same object as long as nothing changed."""
        if self._inventory is None:
            claimed = self._slices_by_node
            with_gpus = sorted(name for name, node in self._nodes.items() if node.has_gpus or name in claimed)
            self._inventory = Inventory(
                nodes=tuple(self._node_inventory(name) for name in with_gpus),
                nodes_without_gpus=len(self._nodes) - len(with_gpus),
                measurements=self._measurements.distinct(),
                features=self._features,
            )
        return self._inventory

    def facts(self) -> tuple[list[NodeFacts], list[PodFacts]]:
        """Return every GPU node and the GPU pods on nodes, for questions about another cluster than there is."""
        names = [node.name for node in self.inventory().nodes]
        return [self._node_facts(name) for name in names], [pod for pod in self._pods.values() if pod.node]

    def _node_facts(self, name: str) -> NodeFacts:
        node = with_devices(self._nodes[name], self._slices_by_node.get(name, {}).values())
        return with_others(node, self._host_pods.held(name))

    def _node_inventory(self, name: str) -> NodeInventory:
        if name not in self._computed:
            pods = (self._pods[key] for key in self._keys_by_node.get(name, ()))
            self._computed[name] = node_inventory(self._node_facts(name), pods)
        return self._computed[name]

    def _drop_pod(self, key: PodKey) -> bool:
        return self._drop_gpu_pod(key) | self._concern(self._host_pods.drop(key))

    def _drop_gpu_pod(self, key: PodKey) -> bool:
        pod = self._pods.pop(key, None)
        if pod is None:
            return False
        if pod.node:
            keys = self._keys_by_node[pod.node]
            keys.remove(key)
            if not keys:
                del self._keys_by_node[pod.node]
            self._forget(pod.node)
        return True

    def _uid(self, key: PodKey) -> str | None:
        pod = self._pods.get(key)
        return self._host_pods.uid(key) if pod is None else pod.uid

    def _concern(self, nodes: Collection[str]) -> bool:
        """Recompute the GPU nodes among some; return whether there is one."""
        ours = [name for name in nodes if name in self._slices_by_node or self._has_gpus(name)]
        for name in ours:
            self._forget(name)
        return bool(ours)

    def _has_gpus(self, name: str) -> bool:
        return name in self._nodes and self._nodes[name].has_gpus

    def _forget(self, node: str) -> None:
        """Recompute the node, and so the inventory, when next asked."""
        self._computed.pop(node, None)
        self._inventory = None
