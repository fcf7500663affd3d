"""Events for what the operator undoes and starts anew, which nothing else in the status tells of."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import kopf

JsonObject = Mapping[str, Any]

QUIET_SECONDS = 600.0
"""Between two events about one object's edited children: whoever edits over and over would else fill the namespace."""

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
        self._told: dict[str, float] = {}

    def undone(self, body: JsonObject, children: Sequence[tuple[str, str]]) -> None:
        """Tell of children that somebody else had changed or deleted and that are as planned again.

        Args:
            body: the object that they belong to.
            children: kinds and names.
        """
        if not children:
            return
        uid, now = body["metadata"]["uid"], self._clock()
        self._told = {each: at for each, at in self._told.items() if now - at < QUIET_SECONDS}
        if uid not in self._told:
            self._told[uid] = now
            self._post(body, "Warning", UNDONE, f"{_changed(children)}; change the spec instead")

    def restarted(self, body: JsonObject, message: str) -> None:
        """Tell of a group that starts anew as a unit; an empty message is none."""
        if message:
            self._post(body, "Warning", RESTARTED, message)

    def forget(self, uid: str) -> None:
        """Drop what is remembered of an object that is gone."""
        self._told.pop(uid, None)


def _changed(children: Sequence[tuple[str, str]]) -> str:
    """Return what happened to children, one or more: one by its name, several by their kinds.

    >>> _changed([("Service", "chat"), ("ConfigMap", "chat-plan"), ("ConfigMap", "chat-nodes")])
    'children of kind ConfigMap and Service were changed or deleted by another and are as planned again'
    """
    (kind, name), *further = sorted(set(children))
    if not further:
        return f"{kind} {name} was changed or deleted by another and is as planned again"
    *kinds, last = sorted({kind, *(each for each, _ in further)})
    named = f"{', '.join(kinds)} and {last}" if kinds else last
    return f"children of kind {named} were changed or deleted by another and are as planned again"


def _post(body: JsonObject, kind: str, reason: str, message: str) -> None:
    kopf.event(dict(body), type=kind, reason=reason, message=message)  # type: ignore[arg-type]  # a plain dict is what it reads
