"""Before a Deployment gets fewer replicas: tell its controller which pods have least to do, so that those go.

Written only then, and only on the pods that should go, whoever owns the replicas: also what an HPA asks for reaches the
Deployment through the operator. Groups of pods (LeaderWorkerSet, StatefulSet) go by their number, the highest first;
Kubernetes lets nobody choose there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from deepseek_operator.api.spec_engine import EngineSpec
from deepseek_operator.cluster import Cluster, Manifest
from deepseek_operator.engine_metrics import requests_in_flight
from deepseek_operator.errors import ClusterError, EngineMetricsError
from deepseek_operator.handlers.engine_reports import unread_engine
from deepseek_operator.handlers.observed import Child
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.prometheus import metrics_url, read_page
from deepseek_operator.resources.service import ENGINE_PORT
from deepseek_operator.scaling.deletion_cost import ANNOTATION_DELETION_COST, deletion_costs

log = logging.getLogger(__name__)

READ_SECONDS = 5.0
"""How long all pods of an object together may take to answer; who has not told by then is not chosen."""

READS_AT_ONCE = 32
"""Pods that are asked at the same time."""


class DrainOrder:
    """Writes deletion costs.

    Args:
        cluster: the connection.
        enabled: whether engines are asked; else only what is handed in is known of them.
        read: reads a metrics page; tests pass their own.
    """

    def __init__(
        self, cluster: Cluster, *, enabled: bool = True, read: Callable[[str], Awaitable[str]] = read_page
    ) -> None:
        self._cluster = cluster
        self._enabled = enabled
        self._read = read

    async def prepare(
        self,
        manifests: Sequence[Manifest],
        workload: Child | None,
        pods: Sequence[PodState],
        engine: EngineSpec,
        running_by_pod: Mapping[str, float],
    ) -> None:
        """Write the costs of pods of which some are about to go; what fails is logged and stops nothing.

        Args:
            manifests: about to be applied.
            workload: as it is.
            pods: of the object, those of a change on trial left out.
            engine: says whether its metrics can be read.
            running_by_pod: requests in flight as the metrics store knows them, for pods that do not tell themselves.
        """
        serving = [pod for pod in pods if pod.ready and not pod.deleting and pod.group is None]
        asked = asked_replicas(manifests, workload)
        if workload is None or asked is None or not 0 < asked < min(workload.replicas, len(serving)):
            return
        known = dict(running_by_pod)
        if self._enabled and unread_engine(engine) is None:
            known |= await self._told(serving)
        costs = deletion_costs([pod.name for pod in serving], known, workload.replicas - asked)
        for pod in serving:
            if pod.deletion_cost != costs[pod.name]:  # one without the annotation costs 0
                await self._write(workload.namespace, pod, costs[pod.name])

    async def _told(self, pods: Sequence[PodState]) -> Mapping[str, float]:
        """Return the requests in flight of the pods that answer in time."""
        slots, told = asyncio.Semaphore(READS_AT_ONCE), dict[str, float]()

        async def ask(pod: PodState) -> None:
            async with slots:
                try:
                    told[pod.name] = requests_in_flight(await self._read(metrics_url(pod.address, ENGINE_PORT)))
                except EngineMetricsError as error:
                    log.debug("requests in flight of %s: %s", pod.name, error)

        tasks = [asyncio.create_task(ask(pod)) for pod in pods]
        _, late = await asyncio.wait(tasks, timeout=READ_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return told

    async def _write(self, namespace: str, pod: PodState, cost: int) -> None:
        """Write one annotation through the status subresource, so that no right to change running pods is needed."""
        metadata = {
            "name": pod.name,
            "namespace": namespace,
            "uid": pod.uid,
            "annotations": {ANNOTATION_DELETION_COST: str(cost)},
        }
        try:
            await self._cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}, subresource="status")
        except ClusterError as error:
            log.warning("the order in which replicas go is not written: %s", error)


def asked_replicas(manifests: Sequence[Manifest], workload: Child | None) -> int | None:
    """Return the replicas that a Deployment is about to get; None when it is none, or another owner sets them."""
    if workload is None or workload.kind != "Deployment":
        return None
    for manifest in manifests:
        if manifest["kind"] == workload.kind and manifest["metadata"]["name"] == workload.name:
            replicas: int | None = manifest["spec"].get("replicas")
            return replicas
    return None
