"""Asking started engines what they made of a plan: once per plan, beside the loops, never in their way.

One pod of a plan is read when it becomes ready; what it told is kept in the status, so neither a further replica nor a
restart of the operator reads again. A read that fails is tried again a few times and then left until the next resync.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.spec_engine import EngineSpec, EngineType
from deepseek_operator.engine_metrics import KvCacheReport, kv_cache_report
from deepseek_operator.errors import EngineMetricsError
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Situation
from deepseek_operator.metrics import Metrics
from deepseek_operator.prometheus import metrics_url, read_page
from deepseek_operator.resources.names import object_name
from deepseek_operator.resources.service import ENGINE_PORT

log = logging.getLogger(__name__)

RETRY_SECONDS = (2.0, 10.0, 60.0, 300.0)
"""Between the tries to read one pod; a ready engine that has not answered after them will not do so soon."""

MAX_READS = 8
"""Pages read at once; a page is read in milliseconds, one that does not answer holds its place for seconds."""


@dataclass(slots=True)
class _Reading:
    pod: tuple[str, str]
    task: asyncio.Task[None] | None = None
    report: KvCacheReport | None = None


class EngineReports:
    """Reads pods' metrics pages and remembers the reports until they are in a status.

    Args:
        wake: wakes the loop of an object when its report has come.
        metrics: where reads are counted.
        enabled: whether anything is read.
        read: reads a page; tests on virtual time pass their own.
        retry_seconds: pauses between the tries.
    """

    def __init__(
        self,
        wake: Callable[[str], None],
        metrics: Metrics,
        *,
        enabled: bool = True,
        read: Callable[[str], Awaitable[str]] = read_page,
        retry_seconds: tuple[float, ...] = RETRY_SECONDS,
    ) -> None:
        self._wake = wake
        self._metrics = metrics
        self._enabled = enabled
        self._read = read
        self._retry_seconds = retry_seconds
        self._slots = asyncio.Semaphore(MAX_READS)
        self._readings: dict[str, _Reading] = {}

    def report(self, uid: str, pod: PodState) -> KvCacheReport | None:
        """Return what a pod of an object has reported; None, and the reading is started, while that is not known."""
        if not self._enabled:
            return None
        which = (pod.uid, pod.address)
        reading = self._readings.get(uid)
        if reading is None or reading.pod != which:
            self.forget(uid)
            reading = self._readings[uid] = _Reading(which)
            reading.task = asyncio.create_task(self._try(uid, pod, reading), name=f"engine {pod.name}")
        return reading.report

    def forget(self, uid: str) -> None:
        """Stop reading for an object; the next question reads anew."""
        reading = self._readings.pop(uid, None)
        if reading is not None and reading.task is not None:
            reading.task.cancel()

    async def close(self) -> None:
        """Stop all reading and wait until it has stopped."""
        tasks = [reading.task for reading in self._readings.values() if reading.task is not None]
        self._readings.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _try(self, uid: str, pod: PodState, reading: _Reading) -> None:
        for pause in (*self._retry_seconds, None):
            try:
                async with self._slots:
                    page = await self._read(metrics_url(pod.address, ENGINE_PORT))
                reading.report = kv_cache_report(page)
            except EngineMetricsError as error:
                self._metrics.engine_reads.labels(result="failed").inc()
                if pause is None:
                    log.info("%s did not tell its KV cache, so its plan is not checked: %s", pod.name, error)
                    return
                await asyncio.sleep(pause)
            else:
                self._metrics.engine_reads.labels(result="ok").inc()
                self._wake(uid)
                return


def unread_engine(engine: EngineSpec) -> tuple[str, str] | None:
    """Return reason and sentence why an engine's KV cache cannot be read; None when it can.

    Triton passes on a few of vLLM's metrics, and ``vllm:cache_config_info`` is not among them. Source:
    triton-inference-server/vllm_backend ``src/utils/metrics.py``; seen on server 2.51.0 with vLLM 0.32.0.
    """
    if engine.tls_secret_ref is not None:
        return (
            "EngineServesTls",
            "the engine serves HTTPS with a certificate that the operator cannot check, so its metrics are not read",
        )
    if engine.type is EngineType.TRITON:
        return (
            "EngineTellsNoCache",
            "Triton does not tell the size of the engine's KV cache, so the plan is not compared with it",
        )
    return None


def reporter(situation: Situation, variant: str) -> PodState | None:
    """Return the pod that should be asked now, None when there is none or when its plan was reported on already.

    It is ready, ours, and runs the accepted plan with today's template.

    Args:
        situation: with the workload, the pods and the feedback.
        variant: of today's spec.
    """
    deployment, acceptance, workload = situation.deployment, situation.acceptance, situation.workload
    if deployment is None or acceptance is None or acceptance.accepted is None or workload is None:
        return None
    # Of a rollout under way it cannot be told which pods run today's template.
    rolled_out = workload.seen and workload.count("updatedReplicas") == workload.count("replicas")
    if not acceptance.current or not rolled_out or unread_engine(deployment.spec.engine) is not None:
        return None
    wanted, observed = plan_hash(acceptance.accepted.plan), situation.feedback.observed
    if observed is not None and (observed.plan_hash, observed.variant) == (wanted, variant):
        return None
    replica_set = f"{object_name(deployment.metadata.name)}-"
    return next(
        (
            pod
            for pod in situation.pods
            if pod.ready
            and not pod.deleting
            and pod.address
            and pod.plan_hash == wanted
            and pod.owner.startswith(replica_set)
        ),
        None,
    )
