"""What one operator process knows, and who is woken by what. Owned by the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from deepseek_operator.aiconfigurator import installed
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.capacity.measurements import read_measurements
from deepseek_operator.cluster import Cluster
from deepseek_operator.errors import InventoryError
from deepseek_operator.handlers.capacity_plans import CapacityPlans
from deepseek_operator.handlers.capacity_view import CapacityView
from deepseek_operator.handlers.discovery import Discovery
from deepseek_operator.handlers.drain_order import DrainOrder
from deepseek_operator.handlers.endpoints import Heartbeat
from deepseek_operator.handlers.engine_reports import EngineReports
from deepseek_operator.handlers.groups import Groups
from deepseek_operator.handlers.latency_reads import LatencyReads
from deepseek_operator.handlers.loops import Left, Loops, Turn
from deepseek_operator.handlers.memory_pressure import PressureWatch
from deepseek_operator.handlers.observed import Identity, Observed, node_identity
from deepseek_operator.handlers.planning import Planning
from deepseek_operator.handlers.preparation import Preparation
from deepseek_operator.handlers.questions import Questions
from deepseek_operator.handlers.reconcile import Reconciler
from deepseek_operator.handlers.scaling_loop import ScalingLoop
from deepseek_operator.handlers.scaling_metrics import ScalingMetrics
from deepseek_operator.handlers.settings import Settings
from deepseek_operator.handlers.signal_reader import SignalReader
from deepseek_operator.handlers.unhurried import Unhurried
from deepseek_operator.metrics import Metrics
from deepseek_operator.resources.podmonitor import scrape_advice

log = logging.getLogger(__name__)

JsonObject = Mapping[str, Any]

CLUSTER_KINDS = frozenset({"Node", "ResourceSlice", "ResourceQuota", "Pod", "CapacityPlan"})
"""Followed kinds that we do not make."""


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
        self._reports = EngineReports(self._wake, metrics, enabled=settings.read_engine_metrics)
        self._latencies = LatencyReads(self._wake, enabled=settings.read_engine_metrics)
        planning = Planning(metrics, installed())
        preparation = Preparation(cluster, self._observed, self._wake)
        self.discovery = Discovery(cluster, self._features_changed)
        self._pressure = PressureWatch(
            planning,
            self._wake,
            cooldown_seconds=settings.scaling.pressure_cooldown_seconds,
            relief_seconds=settings.scaling.pressure_relief_seconds,
        )
        self.scaling = ScalingLoop(
            self._observed,
            self._nodes,
            self._signals(settings),
            self._wake,
            ScalingMetrics(metrics.registry),
            settings.scaling,
            pressure=self._pressure,
        )
        self._questions = Questions(self._wake, self._pressure)
        self._unhurried = Unhurried(self._wake)
        self._reconciler = Reconciler(
            cluster,
            self._observed,
            self._nodes,
            planning,
            self._reports,
            preparation,
            self._latencies,
            metrics,
            self.discovery,
            Groups(cluster, self._wake),
            DrainOrder(cluster, enabled=settings.read_engine_metrics),
            self._questions,
            self.scaling,
            self._pressure,
            self._unhurried,
        )
        self._loops = Loops(
            self._reconcile,
            resync_seconds=settings.resync_seconds,
            max_parallel=settings.max_parallel_reconciles,
            on_result=lambda result: metrics.reconciles.labels(result=result).inc(),
        )
        self.capacity_plans = CapacityPlans(cluster, self._nodes, self._observed)
        self.capacity = CapacityView(self._nodes, self._observed, metrics)
        self._settling: asyncio.TimerHandle | None = None
        self._nodes_changed = False

    async def _reconcile(self, uid: str, turn: Turn) -> Left:
        """Do one timed pass over an object."""
        with self._metrics.reconcile_seconds.time():
            return await self._reconciler.reconcile(uid, turn)

    def _signals(self, settings: Settings) -> SignalReader | None:
        if settings.prometheus is None:
            return None
        return SignalReader(settings.prometheus, advice=lambda: scrape_advice(self.discovery.features))

    def _features_changed(self) -> None:
        """An API was installed or removed; plans and pods of everybody may differ."""
        self._nodes.set_features(self.discovery.features)
        self._settle(nodes_changed=True)

    async def close(self) -> None:
        """End all loops."""
        if self._settling is not None:
            self._settling.cancel()
        self._questions.close()
        self._unhurried.close()
        await self._loops.close()
        await self._reports.close()
        await self._latencies.close()

    def deployment_seen(self, body: JsonObject) -> None:
        """A DeepSeekDeployment was listed, added or changed."""
        uid = body["metadata"]["uid"]
        self.reported(body)
        if self._observed.put_deployment(body) or uid not in self._loops:
            self._loops.start(uid)
            self._metrics.objects.set(len(self._loops))

    def reported(self, body: JsonObject) -> None:
        """Take in what the engines of a DeepSeekDeployment have reported; everybody's next plan may use it."""
        try:
            measurements = read_measurements(body)
        except InventoryError as error:
            log.warning("%s: %s", body["metadata"]["name"], error)
            return
        if self._nodes.set_measurements(body["metadata"]["uid"], measurements):
            self._settle(nodes_changed=True)

    def deployment_gone(self, gone: Identity) -> None:
        """A DeepSeekDeployment was deleted; owner references delete its children."""
        self._loops.stop(gone.uid)
        self.capacity_plans.expect_no_more(gone.uid)
        if self._nodes.set_measurements(gone.uid, ()):
            self._settle(nodes_changed=True)
        self._observed.drop_deployment(gone)
        self._reconciler.forget(gone.uid)
        self._metrics.objects.set(len(self._loops))

    def listed(self, body: JsonObject) -> None:
        """A node, a pod or something with our label existed before the operator looked."""
        if body["kind"] in CLUSTER_KINDS:
            self.seen(body)
        else:
            self._wake(self._observed.put_child(body, listed=True))

    def seen(self, body: JsonObject) -> None:
        """A node, a pod or something with our label was listed, added or changed."""
        try:
            match body["kind"]:
                case "Node":
                    if self._nodes.set_node(body):  # most changes are heartbeats and concern nobody
                        self._settle(nodes_changed=True)
                case "ResourceSlice":
                    if self._nodes.set_slice(body):
                        self._settle(nodes_changed=True)
                case "Pod":
                    if self._nodes.set_pod(body):
                        self._settle()
                    self._wake(self._observed.put_pod(body))
                case "ResourceQuota":
                    self._nodes.quotas.put(body)
                case "CapacityPlan":
                    self.capacity_plans.put(body)
                case _:
                    self._wake(self._observed.put_child(body))
        except InventoryError as error:
            log.warning("%s", error)

    def gone(self, gone: Identity) -> None:
        """A node, a pod or something with our label was deleted."""
        match gone.kind:
            case "Node":
                if self._nodes.remove_node(gone.name):
                    self._settle(nodes_changed=True)
            case "ResourceSlice":
                if self._nodes.remove_slice(gone.name):
                    self._settle(nodes_changed=True)
            case "Pod":
                if self._nodes.remove_pod(gone.namespace, gone.name, gone.uid):
                    self._settle()
                self._wake(self._observed.drop_pod(gone.namespace, gone.name))
            case "ResourceQuota":
                self._nodes.quotas.drop(gone.namespace, gone.name)
            case "CapacityPlan":
                self.capacity_plans.drop(gone.name)
            case _:
                self._wake(self._observed.drop_child(gone))

    def known(self, kind: str, namespace: str | None) -> set[Identity]:
        """Return what is remembered of a kind, in one namespace or (None) in all."""
        match kind:
            case "Node":
                found = {node_identity(name) for name in self._nodes.node_names()}
            case "ResourceSlice":
                found = {Identity(kind, "", name, "") for name in self._nodes.slice_names()}
            case "Pod":
                found = {Identity("Pod", space, name, uid) for space, name, uid in self._nodes.pod_names()}
            case "ResourceQuota":
                found = {Identity(kind, space, name, "") for space, name in self._nodes.quotas.names()}
            case "CapacityPlan":
                found = self.capacity_plans.known()
            case _:
                found = {each for each in self._observed.known() if each.kind == kind}
        return {each for each in found if namespace is None or each.namespace == namespace}

    def _wake(self, uid: str | None) -> None:
        if uid is not None:
            self._loops.wake(uid)

    def _settle(self, *, nodes_changed: bool = False) -> None:
        """Let a burst of changes pass, then wake whoever they concern: nobody, while the first list comes in."""
        if not self._loops.keys():
            return
        self._nodes_changed |= nodes_changed
        if self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(self._settle_seconds, self._settled)

    def _settled(self) -> None:
        """Wake all objects after a change of nodes, else only those that wait for free GPUs."""
        self._settling = None
        everyone, self._nodes_changed = self._nodes_changed, False
        for uid in self._loops.keys() if everyone else self._reconciler.waiting_for_capacity():
            self._loops.wake(uid)
