"""What people see while the control plane is built and started."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

QUIET_SECONDS = 15
"""The longest silence when the output is no terminal."""


class Progress:
    """Shows what is going on, on one moving line of a terminal or as plain lines elsewhere.

    Args:
        stream: where to write; ``None`` shows nothing.
        clock: seconds that only grow; measures the silence between plain lines.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._moving = False
        self._last_line_at = float("-inf")

    def say(self, text: str) -> None:
        """Write a line that stays."""
        if self._stream is None:
            return
        erase = "\r\x1b[K" if self._moving else ""
        self._stream.write(f"{erase}sandbox: {text}\n")
        self._stream.flush()
        self._moving = False
        self._last_line_at = self._clock()

    def update(self, text: str) -> None:
        """Show where things stand; call it as often as you like.

        A terminal shows each text in place of the one before; anything else gets a line every 15 seconds.
        """
        if self._stream is None:
            return
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[Ksandbox: {text}")
            self._stream.flush()
            self._moving = True
        elif self._clock() - self._last_line_at >= QUIET_SECONDS:
            self.say(text)


def on_stderr() -> Progress:
    """Return a progress display on standard error, which leaves standard output to results."""
    return Progress(sys.stderr)


def elapsed(seconds: float) -> str:
    """Return a duration for people.

    >>> elapsed(7.4), elapsed(245)
    ('7 s', '4 min 05 s')
    """
    whole = int(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"
