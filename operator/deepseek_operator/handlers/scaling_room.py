"""How many replicas the free GPUs allow each of the objects that want more, by their priorities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepseek_operator.api.parse import parse
from deepseek_operator.capacity.fits import OwnPods
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.workload import room_for
from deepseek_operator.handlers.acceptance import genuine_plan
from deepseek_operator.handlers.scaling_facts import ScalingFacts
from deepseek_operator.scaling.decide import Limit
from deepseek_operator.scaling.limits import room_limit
from deepseek_operator.scaling.water_filling import Wish, fill

JsonObject = Mapping[str, Any]

NOBODY = OwnPods(namespace="", labels={})
"""Owns no pod: what the object's own pods hold is not free for further ones."""


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

    scaled: ScalingFacts
    body: JsonObject
    wanted: int
    current: int
    running: int


class Rooms:
    """How many replicas the free GPUs hold, computed once per inventory for all objects whose pods are alike."""

    def __init__(self) -> None:
        self._inventory: Inventory | None = None
        self._counts: dict[str, int] = {}

    def beside(self, wanting: Wanting, inventory: Inventory) -> int:
        """Return how many further replicas of an object fit what is free, were it alone."""
        if self._inventory is not inventory:
            self._inventory, self._counts = inventory, {}
        key = wanting.scaled.room_key
        if key not in self._counts:
            plan = genuine_plan(wanting.body["status"]["plan"])
            self._counts[key] = (
                0 if plan is None else room_for(parse(wanting.body), plan, inventory, 0, own=NOBODY).count
            )
        return self._counts[key]


def room_limits(wanting: Sequence[Wanting], inventory: Inventory, rooms: Rooms) -> Mapping[str, Limit]:
    """Return the limit of each object that wants more than the free GPUs hold, by UID.

    Args:
        wanting: all objects, also those that want no more: their replicas may be stopped for others, and those that
            have no node yet come before others of a lower priority.
        inventory: of the cluster.
        rooms: what is known of it.
    """
    asking = {each.scaled.uid for each in wanting if each.wanted > max(each.current, each.running)}
    if not asking:
        return {}
    free: Counter[str] = Counter()
    products = {node.gpu.id for node in inventory.nodes if node.gpu is not None}
    for node in inventory.nodes:
        if node.gpu is not None and node.schedulable:
            free[node.gpu.id] += node.free_gpus
    wishes = [_wish(each, inventory, rooms, asks=each.scaled.uid in asking) for each in wanting]
    for wish in wishes:
        if wish.gpu not in products:  # shares of GPUs: what is free of them is known by what fits
            free[wish.gpu] = max(free[wish.gpu], wish.room * wish.gpus_per_replica)
    grants = fill(wishes, free)
    return {
        each.scaled.uid: room_limit(grants[each.scaled.uid], each.current)
        for each in wanting
        if each.scaled.uid in asking and grants[each.scaled.uid].replicas < each.wanted
    }


def _wish(wanting: Wanting, inventory: Inventory, rooms: Rooms, *, asks: bool) -> Wish:
    scaled = wanting.scaled
    wanted = wanting.wanted if asks else wanting.current
    return Wish(
        uid=scaled.uid,
        gpu=scaled.gpu,
        gpus_per_replica=scaled.gpus_per_replica,
        priority=scaled.priority,
        floor=scaled.least,
        running=wanting.running,
        wanted=wanted,
        room=rooms.beside(wanting, inventory) if wanted > wanting.running else 0,
        preempts=scaled.preempts,
    )
