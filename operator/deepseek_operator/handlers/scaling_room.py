"""How many replicas the free GPUs allow each of the objects that want more, by their priorities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepseek_operator.api.parse import parse
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.workload import room_for
from deepseek_operator.handlers.acceptance import genuine_plan
from deepseek_operator.handlers.scaled_object import ScaledObject
from deepseek_operator.scaling.decide import Limit
from deepseek_operator.scaling.limits import room_limit
from deepseek_operator.scaling.water_filling import Wish, fill

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Wanting:
    """One object, and how many replicas it has and wants.

    Args:
        scaled: the object.
        body: the same, as its API object.
        wanted: replicas that it asks for without a limit of GPUs.
        current: replicas that it asked for before.
        running: replicas that have their GPUs.
    """

    scaled: ScaledObject
    body: JsonObject
    wanted: int
    current: int
    running: int


def room_limits(wanting: Sequence[Wanting], inventory: Inventory) -> Mapping[str, Limit]:
    """Return the limit of each object that wants more than the free GPUs hold, by UID.

    Args:
        wanting: all objects, also those that want no more: their replicas may be stopped for others, and those that
            have no node yet come before others of a lower priority.
        inventory: of the cluster.
    """
    asking = {each.scaled.uid for each in wanting if each.wanted > max(each.current, each.running)}
    if not asking:
        return {}
    free: Counter[str] = Counter()
    products = {node.gpu.id for node in inventory.nodes if node.gpu is not None}
    for node in inventory.nodes:
        if node.gpu is not None and node.schedulable:
            free[node.gpu.id] += node.free_gpus
    wishes = [_wish(each, inventory, asks=each.scaled.uid in asking) for each in wanting]
    for wish in wishes:
        if wish.gpu not in products:  # shares of GPUs: what is free of them is known by what fits
            free[wish.gpu] = max(free[wish.gpu], wish.room * wish.gpus_per_replica)
    grants = fill(wishes, free)
    return {
        each.scaled.uid: room_limit(grants[each.scaled.uid], each.current)
        for each in wanting
        if each.scaled.uid in asking and grants[each.scaled.uid].replicas < each.wanted
    }


def _wish(wanting: Wanting, inventory: Inventory, *, asks: bool) -> Wish:
    scaled, room = wanting.scaled, 0
    wanted = wanting.wanted if asks else wanting.current
    plan = genuine_plan(wanting.body["status"]["plan"]) if wanted > wanting.running else None
    if plan is not None:
        room = max(0, room_for(parse(wanting.body), plan, inventory, wanted).count - wanting.running)
    return Wish(
        uid=scaled.uid,
        gpu=scaled.gpu,
        gpus_per_replica=scaled.gpus_per_replica,
        priority=scaled.priority,
        floor=scaled.least,
        running=wanting.running,
        wanted=wanted,
        room=room,
        preempts=scaled.preempts,
    )
