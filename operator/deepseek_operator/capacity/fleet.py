"""Several deployments on one cluster at once: who has room now, and who would have if everything of theirs moved.

Two verdicts that are never mixed. *Now* is what the scheduler could do with what is free this minute, the higher
priority first. *If packed* is what the best placement could hold when all pods of these deployments may move and all
others stay: advice, not a promise.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment, Priority
from deepseek_operator.capacity.fits import OwnPods, count_in, gpus_per_node
from deepseek_operator.capacity.inventory import Inventory, NodeInventory
from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room
from deepseek_operator.capacity.selection import why_excluded
from deepseek_operator.capacity.workload import room_for, tolerations_of
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.names import LABEL_DEPLOYMENT, label_value

PACKING_SECONDS = 10.0
"""Longest search for the best placement; small clusters need none of it."""

_RANK = {Priority.CRITICAL: 0, Priority.HIGH: 1, Priority.STANDARD: 2, Priority.BATCH: 3}


@dataclass(frozen=True, kw_only=True)
class Member:
    """One deployment of the fleet.

    Args:
        deployment: the parsed object.
        plan: how a replica of it runs.
        replicas: that should run, 1 or more.
    """

    deployment: DeepSeekDeployment
    plan: Plan
    replicas: int

    @property
    def rank(self) -> tuple[int, str, str]:
        """Who is served first: by priority, then by namespace and name."""
        metadata = self.deployment.metadata
        return (_RANK[self.deployment.spec.priority or Priority.STANDARD], metadata.namespace, metadata.name)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one member gets.

    Args:
        member: the deployment.
        running: replicas whose pods all have a node.
        now: replicas that run or could start on what is free, those of higher priority served first.
        if_packed: replicas that the best placement holds; None where GPUs are shared, or nobody searched.
        more: further replicas of it alone that fit on what is free now.
        nodes: where the new replicas would go now, one entry per pod.
        reason: why not all fit now, one sentence; empty when they do.
    """

    member: Member
    running: int
    now: int
    if_packed: int | None
    more: int
    nodes: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class FleetAnswer:
    """The answer for all members, the most important first.

    Args:
        free_after: GPUs that stay free on each node after the new replicas, by node name.
        gap_percent: how much more GPUs a better packing could allocate at most.
    """

    verdicts: tuple[Verdict, ...]
    free_after: Mapping[str, int]
    gap_percent: float


def place_fleet(members: Sequence[Member], inventory: Inventory, *, seconds: float = PACKING_SECONDS) -> FleetAnswer:
    """Return what each member gets.

    Args:
        members: in any order.
        inventory: of the cluster; pods of members that run there count as theirs.
        seconds: longest search for the best placement; with 0 nobody has one.
    """
    ordered = sorted(members, key=lambda member: member.rank)
    free = {node.name: node.free_gpus for node in inventory.nodes}
    grounds = Grounds(inventory)
    running = _running(ordered, inventory)
    packed, gap = _packed(ordered, inventory, grounds, seconds) if seconds else ({}, 0.0)
    verdicts = []
    for member in ordered:
        runs = min(member.replicas, running.get(member.rank, 0))
        missing, spans = member.replicas - runs, member.plan.nodes_per_replica
        more = _more(member, inventory, grounds)
        nodes = _start(member, grounds, free, missing) if member.plan.share is None else ()
        now = runs + (len(nodes) // spans if member.plan.share is None else min(missing, more))
        best = packed.get(member.rank)
        verdicts.append(
            Verdict(
                member=member,
                running=runs,
                now=now,
                if_packed=None if best is None else max(now, best),
                more=more,
                nodes=nodes,
                reason=_reason(member, inventory, runs, now, best),
            )
        )
    return FleetAnswer(verdicts=tuple(verdicts), free_after=free, gap_percent=gap)


NOBODY = OwnPods(namespace="", labels={})
"""No pods at all."""


class Grounds:
    """Which nodes members may land on; members that ask alike are looked up once.

    Args:
        inventory: of the cluster.
    """

    def __init__(self, inventory: Inventory) -> None:
        self._by_gpu: dict[str, list[NodeInventory]] = {}
        for node in inventory.nodes:
            if node.gpu is not None:
                self._by_gpu.setdefault(node.gpu.id, []).append(node)
        self._nodes: dict[str, tuple[NodeInventory, ...]] = {}
        self._counts: dict[tuple[str, int, int], int] = {}

    def key(self, member: Member) -> str:
        """Return what a member asks of its nodes, as a text."""
        spec = member.deployment.spec.hardware
        asked = [member.plan.gpu, sorted(spec.node_selector.items()), tolerations_of(member.deployment), spec.spot]
        return json.dumps(asked, sort_keys=True)

    def nodes(self, member: Member) -> tuple[NodeInventory, ...]:
        """Return the nodes with its GPU that take its pods, by name."""
        key, spec = self.key(member), member.deployment.spec.hardware
        if key not in self._nodes:
            tolerations = tolerations_of(member.deployment)
            self._nodes[key] = tuple(
                node
                for node in self._by_gpu.get(member.plan.gpu, ())
                if not why_excluded(node, spec.node_selector, tolerations, spec.spot)
            )
        return self._nodes[key]

    def count(self, member: Member) -> int:
        """Return how many replicas of a member fit on what is free."""
        need, spans = gpus_per_node(member.plan), member.plan.nodes_per_replica
        asked = (self.key(member), need, spans)
        if asked not in self._counts:
            self._counts[asked] = count_in((node.free_gpus for node in self.nodes(member)), need, spans)
        return self._counts[asked]


def _more(member: Member, inventory: Inventory, grounds: Grounds) -> int:
    if member.plan.share is None:
        return grounds.count(member)
    return room_for(member.deployment, member.plan, inventory, 0, own=NOBODY).count


def _reason(member: Member, inventory: Inventory, running: int, now: int, packed: int | None) -> str:
    """Return why fewer replicas than asked for fit now; empty when all do."""
    if now >= member.replicas:
        return ""
    if packed is not None and packed > now:
        return f"fragmented: {packed} of {member.replicas} replicas would fit if pods of these deployments moved"
    alone = room_for(member.deployment, member.plan, inventory, member.replicas - running, own=NOBODY)
    if alone.fits:
        return f"lost to deployments before it: alone it would have room for {alone.count} more"
    return alone.limiting


Owner = tuple[str, str]
"""Namespace and value of the label that says whose pod it is."""


def _owner(member: Member) -> Owner:
    metadata = member.deployment.metadata
    return metadata.namespace, label_value(metadata.name)


def _running(members: Sequence[Member], inventory: Inventory) -> dict[tuple[int, str, str], int]:
    """Return the replicas whose pods all have a node, by member."""
    pods: Counter[Owner] = Counter()
    for node in inventory.nodes:
        pods.update(
            (pod.namespace, pod.labels[LABEL_DEPLOYMENT])
            for pod in node.pods
            if not pod.deleting and LABEL_DEPLOYMENT in pod.labels
        )
    return {member.rank: pods[_owner(member)] // member.plan.nodes_per_replica for member in members}


def _start(member: Member, grounds: Grounds, free: dict[str, int], replicas: int) -> tuple[str, ...]:
    """Take GPUs for as many replicas as fit, each on the fullest nodes that have room; return the nodes."""
    need, spans, chosen = gpus_per_node(member.plan), member.plan.nodes_per_replica, list[str]()
    for _ in range(replicas):
        able = ((free[node.name], node.name) for node in grounds.nodes(member) if free[node.name] >= need)
        taken = heapq.nsmallest(spans, able)
        if len(taken) < spans:
            break
        for _gpus, name in taken:
            free[name] -= need
            chosen.append(name)
    return tuple(chosen)


def _packed(
    members: Sequence[Member], inventory: Inventory, grounds: Grounds, seconds: float
) -> tuple[dict[tuple[int, str, str], int], float]:
    """Return the replicas of each member with whole GPUs in the best placement, and the gap to the bound in percent."""
    from deepseek_operator.capacity.placement.known_set import place_known_set

    whole = [member for member in members if member.plan.share is None]
    if not whole:
        return {}, 0.0
    keys = {grounds.key(member): member for member in whole}
    allowed = {key: frozenset(node.name for node in grounds.nodes(member)) for key, member in keys.items()}
    owners = {_owner(member) for member in whole}
    rooms = [_room(node, allowed, owners) for node in inventory.nodes]
    products = sorted({room.product for room in rooms if room.product})
    shapes, pods = dict[tuple[int, str, str], PodShape](), Counter[PodShape]()
    places = {
        key: tuple(each for each in products if each.split("/")[1][index] == "1") for index, key in enumerate(keys)
    }
    for member in whole:
        if usable := places[grounds.key(member)]:
            shape = PodShape(gpus=gpus_per_node(member.plan), gpu_milli=WHOLE_GPU_MILLI, products=usable)
            shapes[member.rank] = shape
            pods[shape] += member.replicas * member.plan.nodes_per_replica
    if not pods:
        return dict.fromkeys((member.rank for member in whole), 0), 0.0
    placed = place_known_set(rooms, pods, seconds=seconds)
    left = {shape: Counter(spot.node for spot in spots) for shape, spots in placed.spots.items()}
    empty = Counter[int]()
    groups = {
        member.rank: _groups(left.get(shapes[member.rank], empty), member) if member.rank in shapes else 0
        for member in whole
    }
    return groups, placed.gap_percent


def _groups(left: Counter[int], member: Member) -> int:
    """Take a member's pods out of the places of its shape, most important first, and return its whole replicas."""
    spans = member.plan.nodes_per_replica
    count = min(member.replicas, count_in(left.values(), 1, spans))
    for _ in range(count):
        for node, places in heapq.nlargest(spans, left.items(), key=lambda item: (item[1], -item[0])):
            left[node] = places - 1
    return count


def _room(node: NodeInventory, allowed: Mapping[str, frozenset[str]], owners: Collection[Owner]) -> Room:
    """Return a node with the members' own pods given back; its product tells which kinds of members may land there."""
    mask = "".join("1" if node.name in names else "0" for names in allowed.values())
    held = sum(
        node.held_by(pod) for pod in node.pods if (pod.namespace, pod.labels.get(LABEL_DEPLOYMENT, "")) in owners
    )
    free = min(node.allocatable_gpus, node.free_gpus + held) if "1" in mask else 0
    product = f"{node.gpu.id}/{mask}" if node.gpu is not None and free else ""
    return Room(product=product, free_milli=(WHOLE_GPU_MILLI,) * free, cpu_milli=0, memory_mib=0)
