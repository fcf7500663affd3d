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
from enum import Enum

from deepseek_operator.errors import ClusterError

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 300.0
"""Back-off after failures: 1, 2, 4 ... 300 s, so a broken object costs one call in five minutes."""

SETTLE_SECONDS = 0.5
"""How long a burst of events about one object may settle: a starting workload sends about ten within a second."""

PRESSED_WAITS = 60
"""How often a pass lets urgent ones go first, half a minute in all; then its own object has waited long enough."""

JITTER = 0.2
"""Share of a delay that is random, so that a thousand objects do not come back in the same moment."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a pass should know of its circumstances.

    Args:
        resync: nothing woke the object for long; everything should be done again.
        pressed: many urgent passes wait; what can wait should be left to the next pass.
    """

    resync: bool = False
    pressed: bool = False


class Left(Enum):
    """What a pass left to the next one."""

    NOTHING = "nothing"
    SOME = "what can wait until nobody presses"
    URGENT = "what should follow as soon as those who wait have had their turn"


Work = Callable[[str, Turn], Awaitable[Left]]
"""Does one pass over the object with that key; returns what was left to the next pass."""

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
        self._max_parallel = max_parallel
        self._slots = asyncio.Semaphore(max_parallel)
        self._on_result = on_result
        self._loops: dict[str, _Loop] = {}
        self._urgent = 0

    @property
    def pressed(self) -> bool:
        """Whether more urgent passes are under way than may run at once; what can wait should wait."""
        return self._urgent > self._max_parallel

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
            if not loop.urgent:
                await self._settle(loop)
            loop.woken.clear()
            failed = not await (self._urgent_pass(key, loop) if loop.urgent else self._slotted_pass(key, resync))
            failures = failures + 1 if failed else 0
            if failed:
                # Events do not shorten the rest, or a storm of them would defeat it.
                await asyncio.sleep(_jittered(retry_seconds(failures)))
                loop.woken.set()

    async def _settle(self, loop: _Loop) -> None:
        """Let a burst of events about one object pass, and let urgent passes over others go first."""
        waits = PRESSED_WAITS
        await asyncio.sleep(self._settle_seconds)
        while self.pressed and not loop.urgent and waits:
            waits -= 1
            await asyncio.sleep(self._settle_seconds)

    async def _urgent_pass(self, key: str, loop: _Loop) -> bool:
        loop.urgent = False
        self._urgent += 1
        try:
            return await self._slotted_pass(key, resync=False)
        finally:
            self._urgent -= 1

    async def _slotted_pass(self, key: str, resync: bool) -> bool:
        async with self._slots:
            return await self._pass(key, Turn(resync=resync, pressed=self.pressed))

    async def _woken(self, loop: _Loop) -> bool:
        """Wait until the loop is woken; False when the resync time has passed instead."""
        try:
            async with asyncio.timeout(_jittered(self._resync_seconds)):
                await loop.woken.wait()
        except TimeoutError:
            return False
        return True

    async def _pass(self, key: str, turn: Turn) -> bool:
        """Do one pass; return whether it succeeded."""
        try:
            left = await self._work(key, turn)
        except ClusterError as error:
            log.warning("%s: %s", key, error)
            self._on_result("cluster-error")
            return False
        except Exception:
            log.exception("%s: unexpected error; the object is tried again with back-off", key)
            self._on_result("bug")
            return False
        self._on_result("ok")
        if left is Left.URGENT:
            self.start(key)
        elif left is Left.SOME:
            self.wake(key)
        return True


def retry_seconds(failures: int) -> float:
    """Return the back-off after so many failures in a row, 1 or more.

    >>> [retry_seconds(count) for count in (1, 2, 3, 20)]
    [1.0, 2.0, 4.0, 300.0]
    """
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 20), LONGEST_RETRY_SECONDS)


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not a secret
