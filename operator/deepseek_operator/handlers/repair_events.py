"""Events for what the operator undoes and starts anew, which nothing else in the status tells of."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import kopf

JsonObject = Mapping[str, Any]

QUIET_SECONDS = 600.0
"""Between two events about the same child: whoever takes a field again and again would else fill the namespace."""

UNDONE = "EditUndone"
RESTARTED = "GroupRestarted"


class Repairs:
    """Tells of repairs.

    Args:
        post: posts one event: object, type, reason, message; replaced by tests.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        post: Callable[[JsonObject, str, str, str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._post, self._clock = post or _post, clock
        self._told: dict[str, dict[tuple[str, str], float]] = {}

    def undone(self, body: JsonObject, children: Sequence[tuple[str, str]]) -> None:
        """Tell of children that somebody else had changed or deleted and that are as planned again.

        Args:
            body: the object that they belong to.
            children: kinds and names.
        """
        told, now = self._told.setdefault(body["metadata"]["uid"], {}), self._clock()
        for kind, name in children:
            if now - told.get((kind, name), -QUIET_SECONDS) >= QUIET_SECONDS:
                told[kind, name] = now
                message = (
                    f"{kind} {name} was changed or deleted by another and is as planned again; change the spec instead"
                )
                self._post(body, "Warning", UNDONE, message)

    def restarted(self, body: JsonObject, message: str) -> None:
        """Tell of a group that starts anew as a unit; an empty message is none."""
        if message:
            self._post(body, "Warning", RESTARTED, message)

    def forget(self, uid: str) -> None:
        """Drop what is remembered of an object that is gone."""
        self._told.pop(uid, None)


def _post(body: JsonObject, kind: str, reason: str, message: str) -> None:
    kopf.event(dict(body), type=kind, reason=reason, message=message)  # type: ignore[arg-type]  # a plain dict is what it reads
