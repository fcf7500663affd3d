"""Reading the latency of a trial's replicas and of those beside them, again and again while the trial lasts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from deepseek_operator.engine_latency import latency
from deepseek_operator.errors import EngineMetricsError
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.prometheus import metrics_url, read_page
from deepseek_operator.resources.service import ENGINE_PORT
from deepseek_operator.scaling.latency import Latency

log = logging.getLogger(__name__)

PAUSE_SECONDS = 15.0
"""Between two rounds over the pods of a trial; the usual interval of a Prometheus scrape."""

MAX_PODS = 32
"""Pods of one trial that are read in a round, those of the change first; more tell nothing new."""


@dataclass(slots=True)
class _Watched:
    pods: tuple[PodState, ...]
    task: asyncio.Task[None] | None = None
    told: dict[str, Latency] = field(default_factory=dict)


class LatencyReads:
    """Reads pods' metrics pages in rounds and wakes the object's loop after each.

    Args:
        wake: wakes the loop of an object.
        enabled: whether anything is read; the rounds are there without, because a trial also ends by the clock.
        read: reads a page; tests on virtual time pass their own.
        pause_seconds: between two rounds.
    """

    def __init__(
        self,
        wake: Callable[[str], None],
        *,
        enabled: bool = True,
        read: Callable[[str], Awaitable[str]] = read_page,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._wake = wake
        self.enabled = enabled
        self._read = read
        self._pause_seconds = pause_seconds
        self._watched: dict[str, _Watched] = {}

    def told(self, uid: str, pods: Sequence[PodState]) -> Mapping[str, Latency]:
        """Return what is known of the pods of an object, by UID of the pod; the rounds over them begin or go on."""
        asked = tuple(pod for pod in pods if pod.ready and not pod.deleting and pod.address)[:MAX_PODS]
        watched = self._watched.get(uid)
        if watched is None:
            watched = self._watched[uid] = _Watched(asked)
            watched.task = asyncio.create_task(self._rounds(uid, watched), name=f"latency {uid}")
        watched.pods = asked
        known = {pod.uid for pod in asked}
        return {pod: latency for pod, latency in watched.told.items() if pod in known}

    def forget(self, uid: str) -> None:
        """End the rounds of an object."""
        watched = self._watched.pop(uid, None)
        if watched is not None and watched.task is not None:
            watched.task.cancel()

    async def close(self) -> None:
        """End all rounds and wait until they have ended."""
        tasks = [each.task for each in self._watched.values() if each.task is not None]
        self._watched.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _rounds(self, uid: str, watched: _Watched) -> None:
        while True:
            await asyncio.sleep(self._pause_seconds)
            for pod in watched.pods if self.enabled else ():
                try:
                    watched.told[pod.uid] = latency(await self._read(metrics_url(pod.address, ENGINE_PORT)))
                except EngineMetricsError as error:
                    log.debug("latency of %s: %s", pod.name, error)
            self._wake(uid)
