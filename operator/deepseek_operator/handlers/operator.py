"""What one operator process knows, and who is woken by what. Owned by the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from deepseek_operator.api.v1alpha1 import KIND
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.cluster import Cluster
from deepseek_operator.errors import InventoryError
from deepseek_operator.handlers.endpoints import Heartbeat
from deepseek_operator.handlers.loops import Loops
from deepseek_operator.handlers.observed import Identity, Observed, node_identity
from deepseek_operator.handlers.planning import Planning
from deepseek_operator.handlers.reconcile import Reconciler
from deepseek_operator.handlers.settings import Settings
from deepseek_operator.metrics import Metrics

log = logging.getLogger(__name__)

JsonObject = Mapping[str, Any]


class Operator:
    """Takes in what the watches show and wakes the loops that it concerns.

    Args:
        cluster: the connection for all writes.
        settings: what the administrator set.
        metrics: where to count.
    """

    def __init__(self, cluster: Cluster, settings: Settings, metrics: Metrics) -> None:
        self.heartbeat = Heartbeat()
        self._settle_seconds = settings.settle_seconds
        self._metrics = metrics
        self._nodes = ClusterState()
        self._observed = Observed()
        self._reconciler = Reconciler(cluster, self._observed, self._nodes, Planning(metrics), metrics)
        self._loops = Loops(
            self._reconciler.reconcile,
            resync_seconds=settings.resync_seconds,
            max_parallel=settings.max_parallel_reconciles,
            on_result=lambda result: metrics.reconciles.labels(result=result).inc(),
        )
        self._settling: asyncio.TimerHandle | None = None
        self._nodes_changed = False

    async def close(self) -> None:
        """End all loops."""
        if self._settling is not None:
            self._settling.cancel()
        await self._loops.close()

    def deployment_seen(self, body: JsonObject) -> None:
        """A DeepSeekDeployment was listed, added or changed."""
        uid = body["metadata"]["uid"]
        if self._observed.put_deployment(body) or uid not in self._loops:
            self._loops.start(uid)
            self._metrics.objects.set(len(self._loops))

    def deployment_gone(self, gone: Identity) -> None:
        """A DeepSeekDeployment was deleted; owner references delete its children."""
        self._loops.stop(gone.uid)
        self._observed.drop_deployment(gone)
        self._reconciler.forget(gone.uid)
        self._metrics.objects.set(len(self._loops))

    def child_seen(self, body: JsonObject) -> None:
        """Something with our label was listed, added or changed."""
        if (uid := self._observed.put_child(body)) is not None:
            self._loops.wake(uid)

    def child_gone(self, gone: Identity) -> None:
        """Something with our label was deleted."""
        if (uid := self._observed.drop_child(gone)) is not None:
            self._loops.wake(uid)

    def node_seen(self, body: JsonObject) -> None:
        """A node was listed, added or changed; most changes are heartbeats and concern nobody."""
        try:
            changed = self._nodes.set_node(body)
        except InventoryError as error:
            log.warning("%s", error)
            return
        if changed:
            self._settle(nodes_changed=True)

    def node_gone(self, name: str) -> None:
        """A node was deleted."""
        if self._nodes.remove_node(name):
            self._settle(nodes_changed=True)

    def pod_seen(self, body: JsonObject) -> None:
        """A pod was listed, added or changed."""
        try:
            changed = self._nodes.set_pod(body)
        except InventoryError as error:
            log.warning("%s", error)
            return
        if changed:
            self._settle()
        if (uid := self._observed.put_pod(body)) is not None:
            self._loops.wake(uid)

    def pod_gone(self, namespace: str, name: str, uid: str) -> None:
        """A pod was deleted or has ended."""
        if self._nodes.remove_pod(namespace, name, uid):
            self._settle()
        if (owner := self._observed.drop_pod(namespace, name)) is not None:
            self._loops.wake(owner)

    def known(self) -> set[Identity]:
        """Return everything that is remembered: nodes, GPU pods, DeepSeekDeployments and their children."""
        nodes = {node_identity(name) for name in self._nodes.node_names()}
        pods = {Identity("Pod", namespace, name, uid) for namespace, name, uid in self._nodes.pod_names()}
        return nodes | pods | self._observed.known()

    def lost(self, gone: Identity) -> None:
        """Something that was remembered exists no more, and no event told of it."""
        match gone.kind:
            case "Node":
                self.node_gone(gone.name)
            case "Pod":
                self.pod_gone(gone.namespace, gone.name, gone.uid)
            case kind if kind == KIND:
                self.deployment_gone(gone)
            case _:
                self.child_gone(gone)

    def _settle(self, *, nodes_changed: bool = False) -> None:
        """Let a burst of changes pass, then wake whoever they concern."""
        self._nodes_changed |= nodes_changed
        if self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(self._settle_seconds, self._settled)

    def _settled(self) -> None:
        """Wake all objects after a change of nodes, else only those that wait for free GPUs."""
        self._settling = None
        everyone, self._nodes_changed = self._nodes_changed, False
        for uid in self._loops.keys() if everyone else self._reconciler.waiting_for_capacity():
            self._loops.wake(uid)
