"""Whether a plan's replicas fit on what is free right now, and if not, what is missing where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from deepseek_operator.api.spec_hardware import Spot
from deepseek_operator.capacity.facts import PodFacts
from deepseek_operator.capacity.host_room import HostShort, host_room, lacking
from deepseek_operator.capacity.host_use import NOTHING, HostUse
from deepseek_operator.capacity.inventory import Inventory, NodeInventory
from deepseek_operator.capacity.selection import why_excluded, why_not_planned
from deepseek_operator.capacity.share_room import free_shares, holds_share, offers_of
from deepseek_operator.planner.gpu_share import GpuShare
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.names import LABEL_DEPLOYMENT, label_value
from deepseek_operator.units import ceil_div

_NODES_SHOWN = 3
"""Nodes that a sentence names; more would hide the point of it."""


@dataclass(frozen=True, kw_only=True)
class OwnPods:
    """Which pods belong to the object that is judged; their GPUs count as free for it.

    Args:
        labels: that each of its pods carries; empty means that it has none.
    """

    namespace: str
    labels: Mapping[str, str]

    @classmethod
    def of(cls, namespace: str, name: str) -> OwnPods:
        """Return the pods of the DeepSeekDeployment of that name, leaders and workers alike."""
        return cls(namespace=namespace, labels={LABEL_DEPLOYMENT: label_value(name)})

    def include(self, pod: PodFacts) -> bool:
        """Return whether a pod is one of them."""
        return (
            bool(self.labels)
            and pod.namespace == self.namespace
            and all(pod.labels.get(key) == value for key, value in self.labels.items())
        )

    def on(self, node: NodeInventory) -> OwnPods | None:
        """Return these, or None when the node has none of them."""
        name = self.labels.get(LABEL_DEPLOYMENT)
        may_be = bool(self.labels) if name is None else (self.namespace, name) in node.deployments
        return self if may_be else None


@dataclass(frozen=True, kw_only=True)
class FitsNow:
    """The answer to "is there room now".

    Args:
        fits: whether ``needed`` replicas fit.
        count: replicas that fit on what is free and what the object's own pods hold; with none of its pods
            running, how many more could start.
        needed: replicas that were asked about.
        limiting: one sentence with what is needed, what there is and where; empty when they fit.
    """

    fits: bool
    count: int
    needed: int
    limiting: str


@dataclass(frozen=True, slots=True)
class _Room:
    """GPUs of one node that the object may have; where its host holds fewer pods, those of as many."""

    node: str
    free_gpus: int
    allocatable_gpus: int
    short: HostShort | None = None

    def within_host(self, node: NodeInventory, own: OwnPods | None, gpus: int, need: HostUse) -> _Room:
        """Return the room that the node's free CPU, memory and pods leave for pods of so many GPUs; see `host_room`."""
        most, short = host_room(node, need, own.include if own is not None else None)
        if most is None or most >= self.free_gpus // gpus:
            return self
        return replace(self, free_gpus=most * gpus, short=short)


def fits_now(
    plan: Plan,
    inventory: Inventory,
    *,
    own: OwnPods | None = None,
    replicas: int = 1,
    node_selector: Mapping[str, str] | None = None,
    tolerations: Sequence[Mapping[str, object]] = (),
    spot: Spot = Spot.NEVER,
    pod_host: HostUse = NOTHING,
) -> FitsNow:
    """Return whether replicas of a plan fit on what is free now.

    A replica takes the same number of GPUs on each of its nodes. Own pods give back what they hold; on a node
    that takes no new pods (cordoned, NotReady, not selected any more) only those count that already are what the
    plan asks for, because they need not move.

    Args:
        plan: says product, GPUs and nodes of a replica.
        inventory: of the whole cluster.
        own: the object's own pods; None when it has none.
        replicas: how many must fit together, 0 or more.
        node_selector: labels that a node must carry, with exactly these values; None selects every node.
        tolerations: the user's, as in ``pod.spec``; the one for the GPU's own taint is implied.
        spot: whether interruptible nodes may be used.
        pod_host: what each of its pods requests of its host; what is 0 is not looked at.
    """
    if plan.share is not None:
        return _shares_fit(plan, plan.share, inventory, own, replicas, node_selector or {}, tolerations, spot, pod_host)
    request = gpus_per_node(plan)
    rooms: list[_Room] = []
    excluded: Counter[str] = Counter()
    for node in inventory.nodes:
        if node.gpu is None or node.gpu.id != plan.gpu:
            continue
        reason = why_excluded(node, node_selector or {}, tolerations, spot) or why_not_planned(node, plan)
        here = own.on(node) if own is not None else None
        held = _held_gpus(node, here, request if reason else None)
        if reason and not held:
            excluded[reason] += 1
        else:
            free = min(node.allocatable_gpus, held if reason else node.free_gpus + held)
            room = _Room(node.name, free, node.allocatable_gpus)
            rooms.append(room if reason else room.within_host(node, here, request, pod_host))
    count = count_in((room.free_gpus for room in rooms), request, plan.nodes_per_replica)
    fits = count >= replicas
    return FitsNow(
        fits=fits,
        count=count,
        needed=replicas,
        limiting="" if fits else _limiting(plan, replicas, count, rooms, excluded) + _short(rooms, pod_host),
    )


def _shares_fit(
    plan: Plan,
    share: GpuShare,
    inventory: Inventory,
    own: OwnPods | None,
    replicas: int,
    node_selector: Mapping[str, str],
    tolerations: Sequence[Mapping[str, object]],
    spot: Spot,
    pod_host: HostUse,
) -> FitsNow:
    """Return whether replicas fit on free shares of the planned kind; see `fits_now`."""
    rooms: list[_Room] = []
    excluded: Counter[str] = Counter()
    gpus = gpus_per_node(plan)

    def is_own(pod: PodFacts) -> bool:
        return own is not None and own.include(pod)

    for node in inventory.nodes:
        offer = next((each for each in offers_of(node, inventory.features) if each.share.key == share.key), None)
        if node.gpu is None or node.gpu.id != plan.gpu or offer is None:
            continue
        barred = why_excluded(node, node_selector, tolerations, spot, for_share=True)
        if reason := barred or why_not_planned(node, plan):
            stay = [pod for pod in node.pods if is_own(pod) and not pod.deleting and holds_share(pod, share, gpus)]
            if stay:
                rooms.append(_Room(node.name, len(stay) * gpus, offer.slices))
            else:
                excluded[reason] += 1
        else:
            room = _Room(node.name, free_shares(node, offer, is_own), offer.slices)
            rooms.append(room.within_host(node, own.on(node) if own is not None else None, gpus, pod_host))
    count = count_in((room.free_gpus for room in rooms), gpus, plan.nodes_per_replica)
    fits = count >= replicas
    limiting = "" if fits else _limiting(plan, replicas, count, rooms, excluded) + _short(rooms, pod_host)
    return FitsNow(fits=fits, count=count, needed=replicas, limiting=limiting)


def gpus_per_node(plan: Plan) -> int:
    """Return how many GPUs a replica takes on each of its nodes."""
    return ceil_div(plan.gpus_per_replica, plan.nodes_per_replica)


def count_in(free_gpus: Iterable[int], gpus_per_node: int, nodes_per_replica: int = 1) -> int:
    """Return how many replicas fit, each taking GPUs on as many different nodes.

    Exact: ``k`` replicas fit when the nodes together have ``k * nodes_per_replica`` places, no node counting for
    more than ``k``. That share only shrinks as ``k`` grows, so the largest ``k`` is found by halving.

    Args:
        free_gpus: per node.
        gpus_per_node: GPUs that a replica takes on a node, 1 or more.
        nodes_per_replica: different nodes that a replica spans, 1 or more.

    >>> count_in([8, 5, 3], 4), count_in([8, 8, 8], 8, 2), count_in([16, 8], 8, 2)
    (3, 1, 1)
    """
    places = [free // gpus_per_node for free in free_gpus]
    if nodes_per_replica == 1:
        return sum(places)
    low, high = 0, sum(places) // nodes_per_replica
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(place, middle) for place in places) >= middle * nodes_per_replica:
            low = middle
        else:
            high = middle - 1
    return low


def _held_gpus(node: NodeInventory, own: OwnPods | None, request: int | None) -> int:
    """Return the GPUs of a node that own pods hold; with a request, only by live pods of exactly that size."""
    if own is None:
        return 0
    held = [(pod, node.held_by(pod)) for pod in node.pods if own.include(pod)]
    return sum(gpus for pod, gpus in held if request is None or (gpus == request and not pod.deleting))


def _limiting(plan: Plan, replicas: int, count: int, rooms: Sequence[_Room], excluded: Mapping[str, int]) -> str:
    each = _need(plan)
    need = f"needs {each}" if replicas == 1 else f"needs {replicas} times {each}"
    if not rooms:
        return f"{need}; no node with {plan.gpu_name} takes its pods{_left_out(excluded)}"
    freest = sorted(rooms, key=lambda room: (-room.free_gpus, room.node))
    if count:
        shown = ", ".join(
            f"{room.free_gpus} of {room.allocatable_gpus} free on {room.node}" for room in freest[:_NODES_SHOWN]
        )
        more = f" and on {len(rooms) - _NODES_SHOWN} more" if len(rooms) > _NODES_SHOWN else ""
        return f"{need}; there is room for {count}: {shown}{more}{_left_out(excluded)}"
    there_is = f"the freest node {freest[0].node} has {freest[0].free_gpus} of {freest[0].allocatable_gpus}"
    if plan.nodes_per_replica > 1:
        enough = sum(room.free_gpus >= gpus_per_node(plan) for room in rooms)
        there_is = f"{enough} {'node has' if enough == 1 else 'nodes have'} that many and {there_is}"
    return f"{need}; {there_is}{_left_out(excluded)}"


def _short(rooms: Sequence[_Room], need: HostUse) -> str:
    return lacking([room.short for room in rooms if room.short is not None], len(rooms), need)


def _need(plan: Plan) -> str:
    gpus = gpus_per_node(plan)
    if plan.nodes_per_replica == 1:
        return f"{gpus} free {plan.gpu_name} on one node"
    return f"{gpus} free {plan.gpu_name} on each of {plan.nodes_per_replica} nodes"


def _left_out(excluded: Mapping[str, int]) -> str:
    """Return the two commonest reasons why nodes do not count, as the end of a sentence; ties by text."""
    commonest = sorted(excluded, key=lambda reason: (-excluded[reason], reason))[:2]
    told = (f"{reason} ({excluded[reason]} {'node' if excluded[reason] == 1 else 'nodes'})" for reason in commonest)
    return f"; left out: {', '.join(told)}" if excluded else ""
