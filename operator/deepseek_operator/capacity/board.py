"""Nodes that fill up with replicas, as the scheduler counts: GPUs or shares of them, CPU, memory, pods.

The one place where many deployments share what is free; a replica that was put somewhere is counted for all others.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from deepseek_operator.capacity.dra import CLAIMED
from deepseek_operator.capacity.facts import PodFacts
from deepseek_operator.capacity.fits import count_in, gpus_per_node
from deepseek_operator.capacity.host_room import host_free
from deepseek_operator.capacity.host_use import HostUse
from deepseek_operator.capacity.inventory import Inventory, NodeInventory
from deepseek_operator.capacity.kai import KAI_MEMORY
from deepseek_operator.capacity.node_shares import ShareOffer
from deepseek_operator.capacity.share_room import free_shares, offers_of, opened_gpus
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.gpu_share import HAMI_MEMORY
from deepseek_operator.units import MIB

Spots = tuple[str, ...]
"""The nodes of one replica, one per pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a replica takes.

    Args:
        gpus: GPUs, or shares of them, on each of its nodes, 1 or more.
        spans: different nodes, 1 or more.
        host: CPU, memory and pods on each of them.
        share: the kind of share; None for whole GPUs.
    """

    gpus: int
    spans: int
    host: HostUse
    share: GpuShare | None = None

    @classmethod
    def of(cls, plan: Plan, host: HostUse) -> Need:
        """Return what a replica of a plan takes, each of its pods so much of its host."""
        return cls(gpus=gpus_per_node(plan), spans=plan.nodes_per_replica, host=host, share=plan.share)

    def held(self) -> Mapping[str, int]:
        """Return what a pod holds of its node's GPUs, by the names under which shares are counted."""
        if self.share is None:
            return {}
        if self.share.mechanism is ShareMechanism.KAI:
            return {KAI_MEMORY: self.share.memory_bytes // MIB}
        if self.share.mechanism is ShareMechanism.DRA:
            return {CLAIMED: self.gpus}
        if self.share.mechanism is ShareMechanism.HAMI and self.share.is_part:
            return {self.share.resource: self.gpus, HAMI_MEMORY: self.share.memory_bytes // MIB}
        return {self.share.resource: self.gpus}


@dataclass(slots=True)
class _Looked:
    """How many pods of one need each of some nodes takes; the fullest nodes first, beside entries that are outdated."""

    places: dict[str, int]
    heap: list[tuple[int, str]] = field(default_factory=list)
    count: int | None = None
    seen: int = 0


class Board:
    """What is free on the nodes of a cluster. Not safe for threads.

    Args:
        inventory: of the cluster.
        leaving: namespace and name of pods that are looked upon as gone.
        domain_label: nodes of one replica must agree on this label; empty for no such rule.
    """

    def __init__(
        self, inventory: Inventory, *, leaving: Iterable[tuple[str, str]] = (), domain_label: str = ""
    ) -> None:
        gone = frozenset(leaving)
        self._features = inventory.features
        self._domain_label = domain_label
        self._nodes = {node.name: _without(node, gone) if gone else node for node in inventory.nodes}
        self._free = {name: node.free_gpus for name, node in self._nodes.items()}
        self._host: dict[str, HostUse] = {}
        self._changes: list[str] = []
        self._known: dict[tuple[Need, tuple[str, ...]], _Looked] = {}

    def free_gpus(self, name: str) -> int:
        """Return the whole GPUs that are free on a node."""
        return self._free[name]

    def host(self, name: str) -> HostUse:
        """Return what a node has for pods; 0 for what it does not tell of."""
        return self._nodes[name].host

    def free_host(self, name: str) -> HostUse:
        """Return what is free of the host of a node; 0 for what it does not tell of."""
        if name not in self._host:
            self._host[name] = host_free(self._nodes[name])
        return self._host[name]

    def room(self, name: str, need: Need) -> int:
        """Return how many pods of a replica a node takes."""
        node = self._nodes[name]
        if need.share is None:
            places = self._free[name] // need.gpus
        else:
            offer = self._offer(node, need.share)
            places = 0 if offer is None else free_shares(node, offer, _nobody) // need.gpus
        if not places:
            return 0
        free, told = self.free_host(name), node.host
        if told.cpu_milli and need.host.cpu_milli:
            places = min(places, free.cpu_milli // need.host.cpu_milli)
        if told.memory_bytes and need.host.memory_bytes:
            places = min(places, free.memory_bytes // need.host.memory_bytes)
        if told.pods and need.host.pods:
            places = min(places, free.pods // need.host.pods)
        return places

    def count(self, need: Need, nodes: Sequence[str]) -> int:
        """Return how many replicas fit on some nodes together."""
        looked = self._looked(need, nodes)
        if looked.count is None:
            domains = self._by_domain(looked.places).values()
            looked.count = sum(count_in(places.values(), 1, need.spans) for places in domains)
        return looked.count

    def place(self, need: Need, nodes: Sequence[str], replicas: int) -> list[Spots]:
        """Take room for as many replicas as fit and return their nodes.

        Each goes to the fullest nodes that have room; a group into the domain with the fewest places that holds it.

        Args:
            need: of each replica.
            nodes: where they may go.
            replicas: how many are wanted, 0 or more.
        """
        chosen: list[Spots] = []
        while len(chosen) < replicas:
            looked = self._looked(need, nodes)
            narrow = need.spans > 1 and self._domain_label
            spots = self._tightest_domain(need, looked.places) if narrow else self._fullest(looked, need.spans)
            if not spots:
                break
            for name in spots:
                self.take(name, need)
            chosen.append(spots)
        return chosen

    def take(self, name: str, need: Need) -> None:
        """Put one pod of a replica on a node."""
        self._host[name] = self.free_host(name).minus(need.host)
        self._changes.append(name)
        node, held = self._nodes[name], need.held()
        if need.share is None:
            self._free[name] -= need.gpus
            if not self._features.kai:
                return
            held = {node.resource: need.gpus}  # which KAI then cannot divide
        pod = PodFacts(namespace="", name="", node=name, gpus=held, host=need.host, labels={})
        self._nodes[name] = replace(node, pods=(*node.pods, pod))  # free shares are counted pod by pod
        if need.share is not None and need.share.mechanism is ShareMechanism.KAI:
            opened = self._opened(self._nodes[name], need.share) - self._opened(node, need.share)
            self._free[name] = max(0, self._free[name] - opened)

    def _offer(self, node: NodeInventory, share: GpuShare) -> ShareOffer | None:
        return next((each for each in offers_of(node, self._features) if each.share.key == share.key), None)

    def _opened(self, node: NodeInventory, share: GpuShare) -> int:
        offer = self._offer(node, share)
        return 0 if offer is None else opened_gpus(node, offer)

    def _looked(self, need: Need, nodes: Sequence[str]) -> _Looked:
        """Return what some nodes have room for; only those that changed since are looked at again."""
        key = (need, tuple(nodes))
        looked = self._known.get(key)
        if looked is None:
            looked = self._known[key] = _Looked(dict.fromkeys(nodes, 0))
            changed: Iterable[str] = nodes
        else:
            changed = {name for name in self._changes[looked.seen :] if name in looked.places}
        looked.seen = len(self._changes)
        for name in changed:
            looked.count = None
            looked.places[name] = self.room(name, need)
            if looked.places[name]:
                heapq.heappush(looked.heap, (self.free_gpus(name), name))
        return looked

    def _fullest(self, looked: _Looked, spans: int) -> Spots:
        """Return the fullest nodes with room, one per pod of a replica; none where there are too few."""
        found: list[tuple[int, str]] = []
        while looked.heap and len(found) < spans:
            free, name = heapq.heappop(looked.heap)
            if looked.places[name] and free == self.free_gpus(name) and (free, name) not in found:
                found.append((free, name))
        for each in found:
            heapq.heappush(looked.heap, each)
        return tuple(name for _, name in found) if len(found) == spans else ()

    def _tightest_domain(self, need: Need, rooms: Mapping[str, int]) -> Spots:
        domains = self._by_domain(rooms)
        able = {domain: places for domain, places in domains.items() if len(places) >= need.spans}
        if not able:
            return ()
        domain = min(able, key=lambda each: (sum(able[each].values()), each))
        return tuple(heapq.nsmallest(need.spans, able[domain], key=lambda name: (self.free_gpus(name), name)))

    def _by_domain(self, rooms: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """Return rooms by the domain of their nodes; nodes without the label are in none."""
        found: dict[str, dict[str, int]] = {}
        for name, places in rooms.items():
            domain = self._nodes[name].labels.get(self._domain_label, "") if self._domain_label else "all"
            if domain and places:
                found.setdefault(domain, {})[name] = places
        return found


def _nobody(_: PodFacts) -> bool:
    return False


def _without(node: NodeInventory, gone: frozenset[tuple[str, str]]) -> NodeInventory:
    """Return a node as it would be without some of its pods."""
    stay = tuple(pod for pod in node.pods if (pod.namespace, pod.name) not in gone)
    if len(stay) == len(node.pods):
        return node
    held = sum(node.held_by(pod) for pod in stay)
    return replace(node, pods=stay, requested_gpus=held, free_gpus=max(0, node.allocatable_gpus - held))
