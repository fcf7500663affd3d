"""One asynchronous loop per object: woken by events, retried with back-off, repeated slowly.

A loop is a task that does one object's work and sleeps. Waking it while it works makes it work once more, so the newest
state is always looked at and two passes over one object never run together. A failure delays only its own object.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from deepseek_operator.errors import ClusterError

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 300.0
"""Back-off after failures: 1, 2, 4 ... 300 s, so a broken object costs one call in five minutes."""

SETTLE_SECONDS = 0.5
"""How long a burst of events about one object may settle: a starting workload sends about ten within a second."""

JITTER = 0.2
"""Share of a delay that is random, so that a thousand objects do not come back in the same moment."""

Work = Callable[[str, bool], Awaitable[None]]
"""Does one pass over the object with that key; True asks for everything, because nothing woke it for long."""

ResultObserver = Callable[[str], None]
"""Told ``ok``, ``cluster-error`` or ``bug`` after each pass."""


@dataclass(slots=True)
class _Loop:
    task: asyncio.Task[None] | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    urgent: bool = False


class Loops:
    """All loops of one operator process.

    Args:
        work: one pass over one object.
        resync_seconds: longest time between two passes.
        max_parallel: passes that run at once.
        settle_seconds: how long to wait for further events before a pass that is not urgent.
        on_result: told how each pass ended.
    """

    def __init__(
        self,
        work: Work,
        *,
        resync_seconds: float,
        max_parallel: int,
        settle_seconds: float = SETTLE_SECONDS,
        on_result: ResultObserver = lambda _: None,
    ) -> None:
        self._work = work
        self._settle_seconds = settle_seconds
        self._resync_seconds = resync_seconds
        self._slots = asyncio.Semaphore(max_parallel)
        self._on_result = on_result
        self._loops: dict[str, _Loop] = {}

    def __len__(self) -> int:
        return len(self._loops)

    def __contains__(self, key: object) -> bool:
        return key in self._loops

    def keys(self) -> list[str]:
        """Return the keys of all objects that have a loop."""
        return list(self._loops)

    def start(self, key: str) -> None:
        """Give the object a loop if it has none, and wake it at once: its owner changed it and waits."""
        loop = self._loops.get(key)
        if loop is None:
            loop = self._loops[key] = _Loop()
            loop.task = asyncio.create_task(self._run(key, loop), name=f"loop {key}")
        loop.urgent = True
        loop.woken.set()

    def wake(self, key: str) -> None:
        """Wake the loop of an object soon; an object without a loop is nobody's business."""
        if (loop := self._loops.get(key)) is not None:
            loop.woken.set()

    def stop(self, key: str) -> None:
        """End the loop of an object that is gone."""
        loop = self._loops.pop(key, None)
        if loop is not None and loop.task is not None:
            loop.task.cancel()

    async def close(self) -> None:
        """End all loops and wait until they have ended."""
        tasks = [loop.task for loop in self._loops.values() if loop.task is not None]
        self._loops.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: str, loop: _Loop) -> None:
        failures = 0
        while True:
            resync = not await self._woken(loop)
            if not loop.urgent and not resync:
                await asyncio.sleep(self._settle_seconds)
            loop.woken.clear()
            loop.urgent = False
            async with self._slots:
                failed = not await self._pass(key, resync)
            failures = failures + 1 if failed else 0
            if failed:
                # Events do not shorten the rest, or a storm of them would defeat it.
                await asyncio.sleep(_jittered(retry_seconds(failures)))
                loop.woken.set()

    async def _woken(self, loop: _Loop) -> bool:
        """Wait until the loop is woken; False when the resync time has passed instead."""
        try:
            async with asyncio.timeout(_jittered(self._resync_seconds)):
                await loop.woken.wait()
        except TimeoutError:
            return False
        return True

    async def _pass(self, key: str, resync: bool) -> bool:
        """Do one pass; return whether it succeeded."""
        try:
            await self._work(key, resync)
        except ClusterError as error:
            log.warning("%s: %s", key, error)
            self._on_result("cluster-error")
            return False
        except Exception:
            log.exception("%s: unexpected error; the object is tried again with back-off", key)
            self._on_result("bug")
            return False
        self._on_result("ok")
        return True


def retry_seconds(failures: int) -> float:
    """Return the back-off after so many failures in a row, 1 or more.

    >>> [retry_seconds(count) for count in (1, 2, 3, 20)]
    [1.0, 2.0, 4.0, 300.0]
    """
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 20), LONGEST_RETRY_SECONDS)


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not a secret
