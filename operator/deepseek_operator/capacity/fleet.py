"""Several deployments on one cluster at once: who has room now, and who would have if everything of theirs moved.

Two verdicts that are never mixed. *Now* is what the scheduler could do with what is free this minute, the higher
priority first. *If packed* is what the best placement could hold when all pods of these deployments may move and all
others stay: advice, not a promise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deepseek_operator.capacity.board import Board, Spots
from deepseek_operator.capacity.fits import OwnPods
from deepseek_operator.capacity.grounds import Grounds
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.members import Member, Rank, own_pods, running_spots
from deepseek_operator.capacity.packing import Packing, packable, packed
from deepseek_operator.capacity.workload import room_for

PACKING_SECONDS = 10.0
"""Longest search for the best placement; small clusters need none of it."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one member gets.

    Args:
        member: the deployment.
        running: replicas whose pods all have a node.
        now: replicas that run or could start on what is free, those of higher priority served first.
        if_packed: replicas that the best placement holds; None where KAI divides GPUs, or nobody searched.
        pins: nodes of each of these replicas, to be pinned there.
        more: further replicas, besides those it asks for, that fit on what is free now; looked at alone.
        nodes: where the new replicas would go now, one entry per pod.
        reason: why not all fit now, one sentence; empty when they do.
    """

    member: Member
    running: int
    now: int
    if_packed: int | None
    pins: tuple[Spots, ...]
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


def place_fleet(
    members: Sequence[Member], inventory: Inventory, *, seconds: float = PACKING_SECONDS, domain_label: str = ""
) -> FleetAnswer:
    """Return what each member gets.

    Args:
        members: in any order.
        inventory: of the cluster; pods of members that run there count as theirs.
        seconds: longest search for the best placement; with 0 nobody has one.
        domain_label: nodes of one replica must agree on this label; empty for no such rule.
    """
    ordered = sorted(members, key=lambda member: member.rank)
    grounds, pods = Grounds(inventory), own_pods(ordered, inventory)
    before, board = (Board(inventory, domain_label=domain_label) for _ in range(2))
    now: dict[Rank, list[Spots]] = {}
    started: dict[Rank, list[Spots]] = {}
    for member in ordered:
        runs = running_spots(member, pods[member.rank])
        nodes = grounds.nodes(member.deployment, member.plan)
        started[member.rank] = board.place(member.need, nodes, member.replicas - len(runs))
        now[member.rank] = [*runs, *started[member.rank]]
    searched = [member for member in ordered if packable(member.plan)] if seconds else []
    best = Packing(spots={}, gap_percent=0.0)
    if seconds:
        best = packed(searched, inventory, grounds, pods, seconds=seconds, domain_label=domain_label)
        if _gpus_by_tier(searched, now) >= _gpus_by_tier(searched, best.spots):
            best = replace(best, spots=now)
    verdicts = []
    for member in ordered:
        fits, running = len(now[member.rank]), len(now[member.rank]) - len(started[member.rank])
        alone = before.count(member.need, grounds.nodes(member.deployment, member.plan))
        held = best.placed(member) if seconds and packable(member.plan) else None
        verdicts.append(
            Verdict(
                member=member,
                running=running,
                now=fits,
                if_packed=held,
                pins=() if held is None else tuple(best.spots.get(member.rank, ())),
                more=max(0, alone - (member.replicas - running)),
                nodes=tuple(name for spots in started[member.rank] for name in spots),
                reason=_reason(member, inventory, running, fits, held, alone, domain_label),
            )
        )
    free = {node.name: board.free_gpus(node.name) for node in inventory.nodes}
    return FleetAnswer(verdicts=tuple(verdicts), free_after=free, gap_percent=best.gap_percent)


NOBODY = OwnPods(namespace="", labels={})
"""No pods at all."""


def _gpus_by_tier(members: Sequence[Member], spots: Mapping[Rank, Sequence[Spots]]) -> tuple[int, ...]:
    """Return the GPUs that replicas take, by priority, the highest first."""
    tiers = sorted({member.tier for member in members})
    return tuple(
        sum(len(spots.get(each.rank, ())) * each.plan.gpus_per_replica for each in members if each.tier == tier)
        for tier in tiers
    )


def _reason(
    member: Member, inventory: Inventory, running: int, now: int, held: int | None, alone: int, domain_label: str
) -> str:
    """Return why fewer replicas than asked for fit now; empty when all do."""
    if now >= member.replicas:
        return ""
    if held is not None and held > now:
        return f"fragmented: {held} of {member.replicas} replicas would fit if all of these were placed anew"
    if alone >= member.replicas - running:
        return f"lost to deployments before it: alone it would have room for {alone} more"
    room = room_for(member.deployment, member.plan, inventory, member.replicas - running, own=NOBODY)
    if room.fits:
        return f"its domain is too small: no value of {domain_label} holds all nodes of one more replica"
    return room.limiting
