"""Pods without GPUs, of which only what they hold of their node's CPU and memory is kept. Not safe for threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deepseek_operator.capacity.facts import PodFacts
from deepseek_operator.capacity.host_use import NOTHING, HostUse

PodKey = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class _HostPod:
    node: str
    uid: str
    use: HostUse


class HostPods:
    """Sums by node of what changes one pod at a time; large clusters hold tens of pods per node, of a few sizes."""

    def __init__(self) -> None:
        self._pods: dict[PodKey, _HostPod] = {}
        self._held: dict[str, HostUse] = {}
        self._sizes: dict[HostUse, HostUse] = {}

    def put(self, key: PodKey, pod: PodFacts) -> tuple[str, ...]:
        """Take in a pod that is bound to a node; return the nodes whose sum changed."""
        known = self._pods.get(key)
        if known is not None and (known.node, known.use) == (pod.node, pod.host):
            self._pods[key] = _HostPod(pod.node, pod.uid, known.use)
            return ()
        left = self.drop(key)
        use = self._sizes.setdefault(pod.host, pod.host)
        self._pods[key] = _HostPod(pod.node, pod.uid, use)
        self._held[pod.node] = self._held.get(pod.node, NOTHING).plus(use)
        return (*left, pod.node)

    def drop(self, key: PodKey) -> tuple[str, ...]:
        """Forget a pod; return the nodes whose sum changed."""
        known = self._pods.pop(key, None)
        if known is None:
            return ()
        self._held[known.node] = self._held[known.node].minus(known.use)
        if not self._held[known.node].pods:
            del self._held[known.node]
        return (known.node,)

    def held(self, node: str) -> HostUse:
        """Return what these pods hold of a node."""
        return self._held.get(node, NOTHING)

    def uid(self, key: PodKey) -> str | None:
        """Return the UID of a pod; None when it is not known."""
        return self._pods[key].uid if key in self._pods else None

    def names(self) -> Iterator[tuple[str, str, str]]:
        """Yield namespace, name and UID of each pod."""
        return ((*key, pod.uid) for key, pod in self._pods.items())
