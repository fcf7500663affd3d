"""Several deployments on one cluster at once: who has room now, and who would have if everything of theirs moved.

Two verdicts that are never mixed. *Now* is what the scheduler could do with what is free this minute, the higher
priority first. *If packed* is what the best placement could hold when all pods of these deployments may move and all
others stay: advice, not a promise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment, Priority
from deepseek_operator.capacity.fits import OwnPods, count_in, gpus_per_node
from deepseek_operator.capacity.inventory import Inventory, NodeInventory
from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room
from deepseek_operator.capacity.selection import why_excluded
from deepseek_operator.capacity.workload import room_for, tolerations_of
from deepseek_operator.planner.result import Plan

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
    def own(self) -> OwnPods:
        """Its pods."""
        return OwnPods.of(self.deployment.metadata.namespace, self.deployment.metadata.name)

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
        if_packed: replicas that the best placement holds; None where GPUs are shared, which is not searched.
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
        seconds: longest search for the best placement.
    """
    ordered = sorted(members, key=lambda member: member.rank)
    free = {node.name: node.free_gpus for node in inventory.nodes}
    packed, gap = _packed(ordered, inventory, seconds)
    verdicts = []
    for index, member in enumerate(ordered):
        running = min(member.replicas, _running(member, inventory))
        missing = member.replicas - running
        more = max(0, room_for(member.deployment, member.plan, inventory, 0, own=NOBODY).count)
        nodes = _start(member, inventory, free, missing) if member.plan.share is None else ()
        started = len(nodes) // member.plan.nodes_per_replica if member.plan.share is None else min(missing, more)
        now = running + started
        verdicts.append(
            Verdict(
                member=member,
                running=running,
                now=now,
                if_packed=None if packed is None or member.plan.share else max(now, packed[index]),
                more=more,
                nodes=nodes,
                reason=_reason(member, inventory, running, now, packed[index] if packed else None),
            )
        )
    return FleetAnswer(verdicts=tuple(verdicts), free_after=free, gap_percent=gap)


NOBODY = OwnPods(namespace="", labels={})
"""No pods at all."""


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


def _running(member: Member, inventory: Inventory) -> int:
    """Return the replicas whose pods all have a node."""
    own, pods = member.own, 0
    for node in inventory.nodes:
        pods += sum(own.include(pod) and not pod.deleting for pod in node.pods)
    return pods // member.plan.nodes_per_replica


def _allowed(member: Member, node: NodeInventory) -> bool:
    spec = member.deployment.spec.hardware
    return (
        node.gpu is not None
        and node.gpu.id == member.plan.gpu
        and not why_excluded(node, spec.node_selector, tolerations_of(member.deployment), spec.spot)
    )


def _start(member: Member, inventory: Inventory, free: dict[str, int], replicas: int) -> tuple[str, ...]:
    """Take GPUs for as many replicas as fit, each on the fullest nodes that have room; return the nodes."""
    need, chosen = gpus_per_node(member.plan), list[str]()
    nodes = [node.name for node in inventory.nodes if _allowed(member, node)]
    for _ in range(replicas):
        able = sorted((name for name in nodes if free[name] >= need), key=lambda name: (free[name], name))
        if len(able) < member.plan.nodes_per_replica:
            break
        for name in able[: member.plan.nodes_per_replica]:
            free[name] -= need
            chosen.append(name)
    return tuple(chosen)


def _packed(members: Sequence[Member], inventory: Inventory, seconds: float) -> tuple[list[int] | None, float]:
    """Return the replicas of each member in the best placement, and the gap to the bound in percent."""
    from deepseek_operator.capacity.placement.known_set import place_known_set

    whole = [member for member in members if member.plan.share is None]
    rooms = [_room(node, whole) for node in inventory.nodes]
    keys = sorted({room.product for room in rooms if room.product})
    shapes: dict[int, PodShape] = {}
    pods: Counter[PodShape] = Counter()
    for index, member in enumerate(whole):
        products = tuple(key for key in keys if key.split("/")[1][index] == "1")
        if not products:
            continue
        shape = PodShape(gpus=gpus_per_node(member.plan), gpu_milli=WHOLE_GPU_MILLI, memory_mib=0, products=products)
        shapes[index] = shape
        pods[shape] += member.replicas * member.plan.nodes_per_replica
    if not pods:
        return ([0] * len(members) if whole else None), 0.0
    placed = place_known_set(rooms, pods, seconds=seconds)
    left = {shape: Counter(spot.node for spot in spots) for shape, spots in placed.spots.items()}
    replicas = {}
    for index, member in enumerate(whole):
        replicas[member.rank] = _groups(left.get(shapes[index], Counter()), member) if index in shapes else 0
    return [replicas.get(member.rank, 0) for member in members], placed.gap_percent


def _groups(left: Counter[int], member: Member) -> int:
    """Take a member's pods out of the places of its shape, most important first, and return its whole replicas."""
    spans = member.plan.nodes_per_replica
    count = min(member.replicas, count_in(left.values(), 1, spans))
    for _ in range(count):
        for node, _places in left.most_common(spans):
            left[node] -= 1
    return count


def _room(node: NodeInventory, members: Sequence[Member]) -> Room:
    """Return a node with the members' own pods given back; its product tells which members may land there."""
    mask = "".join("1" if _allowed(member, node) else "0" for member in members)
    held = sum(node.held_by(pod) for pod in node.pods if any(member.own.include(pod) for member in members))
    free = min(node.allocatable_gpus, node.free_gpus + held) if "1" in mask else 0
    product = f"{node.gpu.id}/{mask}" if node.gpu is not None and free else ""
    return Room(product=product, free_milli=(WHOLE_GPU_MILLI,) * free, cpu_milli=0, memory_mib=0)
