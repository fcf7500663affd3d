"""How many shares of a kind a node offers to the whole cluster, and how many of them are free.

Slices with a resource of their own are counted as the scheduler counts them. Where a mechanism takes any amount of
memory of any GPU, what pods hold is laid into the node's GPUs, the largest first, and only what then fits into one GPU
counts as free: a mechanism never splits one pod's share over two GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from deepseek_operator.capacity.dra import CLAIMED
from deepseek_operator.capacity.facts import PodFacts
from deepseek_operator.capacity.inventory import NodeInventory
from deepseek_operator.capacity.kai import FRACTION_PERCENT, KAI_MEMORY, KAI_RESERVATIONS
from deepseek_operator.capacity.node_gpus import MOST_GPUS_PER_NODE
from deepseek_operator.capacity.node_shares import ShareOffer, flexible_offers
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.resources.gpu_share import HAMI_MEMORY
from deepseek_operator.units import MIB, ceil_div

HAMI_PERCENT = f"{HAMI_MEMORY}-percentage"
"""Percent of the memory of each GPU of the pod. Source: Project-HAMi/HAMi, config.md."""

IsOwn = Callable[[PodFacts], bool]


def offers_of(node: NodeInventory, features: ClusterFeatures) -> tuple[ShareOffer, ...]:
    """Return the shares that a node offers: by its plugins, or by the scheduler where that divides GPUs."""
    if node.shares or not features.kai or not node.plannable or not node.usable_memory_bytes:
        return node.shares
    kai = GpuShare(mechanism=ShareMechanism.KAI, slices_per_gpu=1, memory_bytes=node.usable_memory_bytes)
    return tuple(flexible_offers(kai, node.allocatable_gpus, node.usable_memory_bytes))


def free_shares(node: NodeInventory, offer: ShareOffer, is_own: IsOwn) -> int:
    """Return how many shares of a kind are free on a node, with those of the asking object's own pods given back.

    Args:
        node: that offers them.
        offer: one of its shares.
        is_own: whether a pod belongs to the object that asks.
    """
    share, others = offer.share, [pod for pod in node.pods if not is_own(pod)]
    if share.mechanism is ShareMechanism.HAMI:
        gpus, total = offer.slices // share.slices_per_gpu, _total(share)
        return _packed([total] * gpus, _hami_held(others, share.resource, total), _need(share))
    if share.mechanism is ShareMechanism.KAI:
        return sum(room // _need(share) for room in _kai_rooms(node, offer, others))
    return max(0, offer.slices - sum(pod.gpus.get(_counted(share), 0) for pod in others))


def opened_gpus(node: NodeInventory, offer: ShareOffer) -> int:
    """Return how many GPUs of a node that KAI divides hold a share, laid as `free_shares` lays them.

    Args:
        node: that offers shares by KAI.
        offer: one of them.
    """
    return sum(room < _total(offer.share) for room in _kai_rooms(node, offer, node.pods))


def _kai_rooms(node: NodeInventory, offer: ShareOffer, pods: Iterable[PodFacts]) -> list[int]:
    """Return the MiB that shares of pods leave of each GPU that none of them has as a whole."""
    pods, total = list(pods), _total(offer.share)
    whole = sum(pod.gpus.get(node.resource, 0) for pod in pods if pod.namespace != KAI_RESERVATIONS)
    gpus = max(0, offer.slices // offer.share.slices_per_gpu - whole)
    return _laid([total] * gpus, (held for pod in pods if (held := _kai_held(pod, total))))


def holds_share(pod: PodFacts, share: GpuShare, gpus: int) -> bool:
    """Return whether a pod holds so many GPUs, or shares of them, of the planned kind."""
    if share.mechanism is ShareMechanism.KAI:
        return pod.gpus.get(KAI_MEMORY) == _need(share)
    if share.mechanism is ShareMechanism.HAMI and share.is_part and pod.gpus.get(HAMI_MEMORY) != _need(share):
        return False
    return pod.gpus.get(_counted(share)) == gpus


def _counted(share: GpuShare) -> str:
    """Return the name under which a pod's shares are counted."""
    return CLAIMED if share.mechanism is ShareMechanism.DRA else share.resource


def _need(share: GpuShare) -> int:
    """Return the MiB of a share."""
    return share.memory_bytes // MIB


def _total(share: GpuShare) -> int:
    """Return the MiB of a GPU that is divided into shares."""
    return share.memory_bytes * share.slices_per_gpu // MIB


def _hami_held(pods: Iterable[PodFacts], resource: str, total_mib: int) -> list[int]:
    """Return what pods hold of single GPUs in MiB; one that names no memory has the whole GPU."""
    held: list[int] = []
    for pod in pods:
        percent = pod.gpus.get(HAMI_PERCENT, 100)
        each = pod.gpus.get(HAMI_MEMORY) or ceil_div(total_mib * percent, 100)
        held += [each] * min(pod.gpus.get(resource, 0), MOST_GPUS_PER_NODE)
    return held


def _kai_held(pod: PodFacts, total_mib: int) -> int:
    return pod.gpus.get(KAI_MEMORY) or ceil_div(total_mib * pod.gpus.get(FRACTION_PERCENT, 0), 100)


def _packed(gpus: list[int], held: Iterable[int], need: int) -> int:
    """Return how many shares fit into GPUs beside what is held: first fit of the largest first.

    >>> _packed([80, 80], [40, 60], 20), _packed([80], [50], 40), _packed([], [1], 1)
    (3, 0, 0)
    """
    return sum(room // need for room in _laid(gpus, held))


def _laid(gpus: list[int], held: Iterable[int]) -> list[int]:
    """Return what is left of GPUs beside what is held: first fit of the largest first."""
    free = list(gpus)
    for size in sorted(held, reverse=True):
        index = next((each for each, room in enumerate(free) if room >= size), None)
        if index is not None:
            free[index] -= size
        elif free:
            free[free.index(max(free))] = 0
    return free
