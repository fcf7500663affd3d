"""How many more pods the CPU, the memory and the kubelet of a node take, and of what there is too little where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deepseek_operator.capacity.facts import PodFacts
from deepseek_operator.capacity.host_use import MILLI, HostUse
from deepseek_operator.capacity.inventory import NodeInventory
from deepseek_operator.units import format_gib

_AMOUNTS = ("memory_bytes", "cpu_milli", "pods")


@dataclass(frozen=True, slots=True)
class HostShort:
    """A node whose host takes fewer pods than its GPUs would.

    Args:
        node: its name.
        free: what others leave of its host.
        amounts: fields of ``free`` that are too small.
    """

    node: str
    free: HostUse
    amounts: tuple[str, ...]


def host_free(node: NodeInventory, is_own: Callable[[PodFacts], bool] | None = None) -> HostUse:
    """Return what the pods on a node leave of its CPU, memory and pods.

    Args:
        node: the node; what it does not tell of is 0.
        is_own: pods whose share counts as free; None for no pod.
    """
    if is_own is None:
        return node.free_host
    free = node.host.minus(node.others)
    for pod in node.pods:
        if not is_own(pod):
            free = free.minus(pod.host)
    return free


def host_room(
    node: NodeInventory, need: HostUse, is_own: Callable[[PodFacts], bool] | None
) -> tuple[int | None, HostShort]:
    """Return how many pods the host of a node takes, and what limits them.

    Args:
        node: the node; what it does not tell of, it has enough of.
        need: what one pod requests; what is 0 is not looked at.
        is_own: pods whose share of the host counts as free; None for no pod.

    Returns:
        None for no limit.
    """
    free = host_free(node, is_own)
    held = {
        amount: getattr(free, amount) // getattr(need, amount)
        for amount in _AMOUNTS
        if getattr(node.host, amount) and getattr(need, amount)
    }
    most = min(held.values(), default=None)
    return most, HostShort(node.name, free, tuple(amount for amount, pods in held.items() if pods == most))


def lacking(short: Sequence[HostShort], nodes: int, need: HostUse) -> str:
    """Return of what there is too little on how many nodes, as the end of a sentence; empty where on none.

    Args:
        short: the nodes whose host takes too few pods.
        nodes: how many were looked at.
        need: what one pod requests.
    """
    told = []
    for amount in _AMOUNTS:
        lack = [each for each in short if amount in each.amounts]
        if lack:
            most = max(lack, key=lambda each: (getattr(each.free, amount), each.node))
            words, pronoun = _WORDS[amount]
            told.append(
                f"; each of its pods {words(need)}, and {len(lack)} of {nodes} nodes lack{'s' * (len(lack) == 1)} "
                f"{pronoun} ({most.node} has {_SHOWN[amount](most.free)} free)"
            )
    return "".join(told)


def _cores(use: HostUse) -> str:
    return f"{use.cpu_milli / MILLI:g}"


def _gib(use: HostUse) -> str:
    return format_gib(use.memory_bytes)


_SHOWN: dict[str, Callable[[HostUse], str]] = {
    "memory_bytes": _gib,
    "cpu_milli": _cores,
    "pods": lambda free: f"{free.pods} pods",
}
_WORDS: dict[str, tuple[Callable[[HostUse], str], str]] = {
    "memory_bytes": (lambda need: f"requests {_gib(need)} of host memory", "it"),
    "cpu_milli": (lambda need: f"requests {_cores(need)} CPU cores", "them"),
    "pods": (lambda _: "is one more on its node", "a place for it"),
}
