"""What a status may leave to its next write: that replicas for which there was room have been placed.

Engines take minutes from a node to Ready, and their owner has read that there is room; so one write tells both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from deepseek_operator.api.conditions import CAPACITY_AVAILABLE

JsonObject = Mapping[str, Any]

PUT_OFF_SECONDS = 300.0
"""How long it waits for a write that says more: as long as most models take from a node to Ready."""


def is_unhurried(old: JsonObject, new: JsonObject) -> bool:
    """Return whether two states of a status differ in nothing but the words of a CapacityAvailable that stays True.

    Args:
        old: as last written.
        new: as it should be.
    """
    if {**old, "conditions": ()} != {**new, "conditions": ()}:
        return False
    before, after = ({each["type"]: each for each in status.get("conditions") or ()} for status in (old, new))
    if before.keys() != after.keys():
        return False
    changed = [each for each in after if before[each] != after[each]]
    return changed == [CAPACITY_AVAILABLE] and all(
        each[CAPACITY_AVAILABLE].get("status") == "True" for each in (before, after)
    )


class Unhurried:
    """Puts writes off, each for a while.

    Args:
        wake: called with the UID of an object whose write has waited long enough.
        seconds: how long that is.
    """

    def __init__(self, wake: Callable[[str], None], seconds: float = PUT_OFF_SECONDS) -> None:
        self._wake = wake
        self._seconds = seconds
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._due: set[str] = set()

    def puts_off(self, uid: str, old: JsonObject, new: JsonObject) -> bool:
        """Return whether the write of a status waits; the object is woken when it should no longer.

        Args:
            uid: of the object.
            old: its status as last written.
            new: its status as it should be.
        """
        if uid in self._due or not is_unhurried(old, new):
            self.forget(uid)
            return False
        if uid not in self._timers:
            self._timers[uid] = asyncio.get_running_loop().call_later(self._seconds, self._over, uid)
        return True

    def forget(self, uid: str) -> None:
        """Let nothing of an object wait any more."""
        self._due.discard(uid)
        if (timer := self._timers.pop(uid, None)) is not None:
            timer.cancel()

    def close(self) -> None:
        """End all timers."""
        for uid in list(self._timers):
            self.forget(uid)

    def _over(self, uid: str) -> None:
        self._timers.pop(uid, None)
        self._due.add(uid)
        self._wake(uid)
