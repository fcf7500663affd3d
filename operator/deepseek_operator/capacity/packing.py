"""Where the replicas of a fleet would go if all of them were placed anew, and how far that may be from the best.

Replicas over several nodes are laid first, then those on one node as a known set, and those on shares of GPUs last, the
largest shares first, each replica on the fullest node that takes it; where not everything finds room, one
priority after the other, so that none loses a replica to a lower one. What is returned was laid on the nodes replica by
replica, so all of it fits together.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deepseek_operator.capacity.board import Board, Need, Spots
from deepseek_operator.capacity.facts import PodFacts
from deepseek_operator.capacity.grounds import Grounds
from deepseek_operator.capacity.inventory import Inventory, NodeInventory
from deepseek_operator.capacity.members import Member, Rank
from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.planner.result import Plan
from deepseek_operator.units import MIB, ceil_div

ENOUGH = 10**9
"""CPU (thousandths of a core) and memory (MiB) of a node whose host limits nobody, so that such nodes are alike."""

FIRST_SHARE = 0.5
"""Share of the time for everything at once; the rest is for one priority after the other, where that is needed."""


@dataclass(frozen=True, kw_only=True)
class Packing:
    """A placement of whole replicas that all fit together.

    Args:
        spots: nodes of each replica that is placed, by member.
        gap_percent: how much more GPUs a better placement of single-node replicas on whole GPUs could allocate at most.
    """

    spots: Mapping[Rank, Sequence[Spots]]
    gap_percent: float

    def placed(self, member: Member) -> int:
        """Return how many replicas of a member have a place."""
        return len(self.spots.get(member.rank, ()))


def packed(
    members: Sequence[Member],
    inventory: Inventory,
    grounds: Grounds,
    pods: Mapping[Rank, Sequence[PodFacts]],
    *,
    seconds: float,
    domain_label: str = "",
) -> Packing:
    """Return the best placement that was found, with all pods of the members taken off first.

    Args:
        members: the most important first; each is `packable`.
        inventory: of the cluster.
        grounds: of the same cluster.
        pods: of each member.
        seconds: longest search.
        domain_label: nodes of one replica must agree on this label; empty for no such rule.
    """
    leaving = [(pod.namespace, pod.name) for member in members for pod in pods[member.rank]]
    deadline = time.monotonic() + seconds

    def clear() -> Board:
        return Board(inventory, leaving=leaving, domain_label=domain_label)

    together = _Layout(clear(), inventory, grounds, pods)
    together.lay(members, deadline - seconds * (1 - FIRST_SHARE))
    tiers = sorted({member.tier for member in members})
    if len(tiers) == 1 or all(len(together.spots.get(member.rank, ())) == member.replicas for member in members):
        return Packing(spots=together.spots, gap_percent=together.gap_percent)
    one_by_one = _Layout(clear(), inventory, grounds, pods)
    for position, tier in enumerate(tiers):
        left = max(0.1, deadline - time.monotonic())
        until = time.monotonic() + left / (len(tiers) - position)
        one_by_one.lay([member for member in members if member.tier == tier], until)
    best = max(together, one_by_one, key=lambda layout: layout.gpus_by_tier(members))
    return Packing(spots=best.spots, gap_percent=together.gap_percent)


def packable(plan: Plan) -> bool:
    """Return whether replicas of a plan are looked at.

    What KAI divides are the whole GPUs of others, and which of them are to be divided is no part of the search.
    """
    return plan.share is None or plan.share.mechanism is not ShareMechanism.KAI


class _Layout:
    """Replicas that were laid on cleared nodes."""

    def __init__(
        self, board: Board, inventory: Inventory, grounds: Grounds, pods: Mapping[Rank, Sequence[PodFacts]]
    ) -> None:
        self._board, self._inventory, self._grounds, self._pods = board, inventory, grounds, pods
        self.spots: dict[Rank, list[Spots]] = {}
        self.gap_percent = 0.0

    def gpus_by_tier(self, members: Sequence[Member]) -> tuple[int, ...]:
        """Return the GPUs that are placed of each priority, the highest first."""
        found = Counter[int]()
        for member in members:
            found[member.tier] += len(self.spots.get(member.rank, ())) * member.plan.gpus_per_replica
        return tuple(found[tier] for tier in sorted({member.tier for member in members}))

    def lay(self, members: Sequence[Member], deadline: float) -> None:
        """Place more members on what is free: groups in their order, then all others as a known set, then shares."""
        for member in members:
            if member.need.spans > 1:
                self._take(member, self._board.place(member.need, self._nodes(member), member.replicas))
        singles = [member for member in members if member.need.spans == 1 and member.plan.share is None]
        chosen = self._known_set(singles, max(0.1, deadline - time.monotonic())) if singles else {}
        for member in singles:
            for name in chosen.get(member.rank, ()):
                if self._board.room(name, member.need):  # the number of pods of a node is no part of the known set
                    self._board.take(name, member.need)
                    self._take(member, [(name,)])

        shared = [(member, share) for member in members if member.need.spans == 1 and (share := member.plan.share)]
        for member, share in sorted(shared, key=lambda each: (each[0].tier, -each[1].memory_bytes, each[0].rank)):
            self._take(member, self._at_home(member, share))
            missing = member.replicas - len(self.spots[member.rank])
            self._take(member, self._board.place(member.need, self._nodes(member), missing))

    def _at_home(self, member: Member, share: GpuShare) -> list[Spots]:
        """Leave replicas on slices of a fixed size where they run: there any free slice is as good as another."""
        kept: list[Spots] = []
        home = [] if share.mechanism is ShareMechanism.HAMI else self._pods[member.rank]
        for pod in home:
            able = not pod.deleting and pod.node in self._nodes(member) and len(kept) < member.replicas
            if able and self._board.room(pod.node, member.need):
                self._board.take(pod.node, member.need)
                kept.append((pod.node,))
        return kept

    def _take(self, member: Member, spots: Sequence[Spots]) -> None:
        self.spots.setdefault(member.rank, []).extend(spots)

    def _nodes(self, member: Member) -> Sequence[str]:
        return self._grounds.nodes(member.deployment, member.plan)

    def _known_set(self, members: Sequence[Member], seconds: float) -> dict[Rank, list[str]]:
        from deepseek_operator.capacity.placement.known_set import place_known_set

        keys = {self._grounds.key(member.deployment, member.plan): member for member in members}
        allowed = [frozenset(self._nodes(member)) for member in keys.values()]
        needs: dict[str, set[Need]] = {key: set() for key in keys}
        for member in members:
            needs[self._grounds.key(member.deployment, member.plan)].add(member.need)
        rooms = [self._room(node, allowed, list(needs.values())) for node in self._inventory.nodes]
        products = sorted({room.product for room in rooms if room.product})
        places = {
            key: tuple(each for each in products if each.split("/")[1][index] == "1") for index, key in enumerate(keys)
        }
        shapes: dict[Rank, PodShape] = {}
        wanted = Counter[PodShape]()
        for member in members:
            if usable := places[self._grounds.key(member.deployment, member.plan)]:
                shapes[member.rank] = _shape(member.need, usable)
                wanted[shapes[member.rank]] += member.replicas
        if not wanted:
            return {}
        found = place_known_set(rooms, wanted, seconds=seconds)
        self.gap_percent = max(self.gap_percent, found.gap_percent)
        stock = {
            shape: Counter(self._inventory.nodes[spot.node].name for spot in spots)
            for shape, spots in found.spots.items()
        }
        return self._dealt([member for member in members if member.rank in shapes], shapes, stock)

    def _dealt(
        self, members: Sequence[Member], shapes: Mapping[Rank, PodShape], stock: Mapping[PodShape, Counter[str]]
    ) -> dict[Rank, list[str]]:
        """Deal the places of each shape out, the most important first, each first to who runs there already."""
        chosen: dict[Rank, list[str]] = {}
        counts = {shape: places.total() for shape, places in stock.items()}
        shares: dict[Rank, int] = {}
        for member in members:
            shape = shapes[member.rank]
            shares[member.rank] = min(member.replicas, counts.get(shape, 0))
            if shape in counts:
                counts[shape] -= shares[member.rank]
        for stays in (True, False):
            for member in members:
                places, names = stock.get(shapes[member.rank], Counter[str]()), chosen.setdefault(member.rank, [])
                at_home = [pod.node for pod in self._pods[member.rank] if not pod.deleting]
                for name in at_home if stays else sorted(places.elements()):
                    if len(names) < shares[member.rank] and places[name] > 0:
                        places[name] -= 1
                        names.append(name)
        return chosen

    def _room(self, node: NodeInventory, allowed: Sequence[frozenset[str]], needs: Sequence[Iterable[Need]]) -> Room:
        """Return what is free of a node; its product tells which kinds of members may land there."""
        mask = "".join("1" if node.name in names else "0" for names in allowed)
        free = self._board.free_gpus(node.name) if "1" in mask else 0
        if not free or node.gpu is None:
            return Room(product="", free_milli=(), cpu_milli=0, memory_mib=0)
        here = [need for kind, each in zip(mask, needs, strict=True) if kind == "1" for need in each]
        host = self._board.free_host(node.name)
        cpu = memory = ENOUGH
        if node.host.cpu_milli and any(free * need.host.cpu_milli > host.cpu_milli * need.gpus for need in here):
            cpu = host.cpu_milli
        if node.host.memory_bytes and any(
            free * need.host.memory_bytes > host.memory_bytes * need.gpus for need in here
        ):
            memory = host.memory_bytes // MIB
        milli = (WHOLE_GPU_MILLI,) * free
        return Room(product=f"{node.gpu.id}/{mask}", free_milli=milli, cpu_milli=cpu, memory_mib=memory)


def _shape(need: Need, products: tuple[str, ...]) -> PodShape:
    return PodShape(
        gpus=need.gpus,
        gpu_milli=WHOLE_GPU_MILLI,
        cpu_milli=need.host.cpu_milli,
        memory_mib=ceil_div(need.host.memory_bytes, MIB),
        products=products,
    )
