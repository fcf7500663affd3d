"""Waiting in tests: bounded, and with the last answer in the failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_SECONDS = 0.1


def eventually(
    look: Callable[[], T], holds: Callable[[T], bool] = bool, *, within_seconds: float = 30, what: str = ""
) -> T:
    """Return what ``look`` returns as soon as ``holds`` accepts it; fail with the last answer after the deadline."""
    deadline = time.monotonic() + within_seconds
    while not holds(answer := look()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within_seconds} s: {what or 'condition'}; last seen: {answer!r}")
        time.sleep(PAUSE_SECONDS)
    return answer
