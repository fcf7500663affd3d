"""What one operator process knows, and who is woken by what. Owned by the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.capacity.fields import mapping_at, text_at
from deepseek_operator.cluster import Cluster
from deepseek_operator.handlers.endpoints import Heartbeat
from deepseek_operator.handlers.loops import Loops
from deepseek_operator.handlers.observed import Observed
from deepseek_operator.handlers.planning import Planning
from deepseek_operator.handlers.reconcile import Reconciler
from deepseek_operator.handlers.settings import Settings
from deepseek_operator.metrics import Metrics

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

    def deployment_gone(self, body: JsonObject) -> None:
        """A DeepSeekDeployment was deleted; owner references delete its children."""
        uid = body["metadata"]["uid"]
        self._loops.stop(uid)
        self._observed.drop_deployment(body)
        self._reconciler.forget(uid)
        self._metrics.objects.set(len(self._loops))

    def child_seen(self, body: JsonObject) -> None:
        """Something with our label was listed, added or changed."""
        if (uid := self._observed.put_child(body)) is not None:
            self._loops.wake(uid)

    def child_gone(self, body: JsonObject) -> None:
        """Something with our label was deleted."""
        if (uid := self._observed.drop_child(body)) is not None:
            self._loops.wake(uid)

    def node_seen(self, body: JsonObject) -> None:
        """A node was listed, added or changed; most changes are heartbeats and concern nobody.

        Raises:
            InventoryError: the object is not what a node looks like.
        """
        if self._nodes.set_node(body):
            self._settle(nodes_changed=True)

    def node_gone(self, name: str) -> None:
        """A node was deleted."""
        if self._nodes.remove_node(name):
            self._settle(nodes_changed=True)

    def pod_seen(self, body: JsonObject) -> None:
        """A pod was listed, added or changed.

        Raises:
            InventoryError: the object is not what a pod looks like.
        """
        if self._nodes.set_pod(body):
            self._settle()
        if (uid := self._observed.put_pod(body)) is not None:
            self._loops.wake(uid)

    def pod_gone(self, body: JsonObject) -> None:
        """A pod was deleted or has ended."""
        metadata = mapping_at(body, "metadata")
        namespace, name = text_at(metadata, "namespace"), text_at(metadata, "name")
        if self._nodes.remove_pod(namespace, name, text_at(metadata, "uid")):
            self._settle()
        if (uid := self._observed.drop_pod(body)) is not None:
            self._loops.wake(uid)

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
