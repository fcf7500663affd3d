"""One object at a time makes groups on a GPU product: two that each see room for one would each get a half of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deepseek_operator.handlers.group_state import admitted_groups, whole_groups
from deepseek_operator.handlers.pod_state import PodState

TURN_SECONDS = 120.0
"""How long others wait for groups that find no nodes although their GPUs are free; then it is their turn.

Source: judgement; a scheduler places pods within seconds, and what lacks processors or memory never ends by itself.
"""


@dataclass(frozen=True, slots=True)
class _Turn:
    uid: str
    until: float


class GroupAdmission:
    """Remembers whose turn it is on each product.

    Args:
        wake: called with the UID of an object that waits, when its turn has come.
        wake_later: the same after so many seconds.
        clock: seconds that only grow; for tests.
    """

    def __init__(
        self,
        wake: Callable[[str], None],
        wake_later: Callable[[float, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wake = wake
        self._wake_later = wake_later
        self._clock = clock
        self._turns: dict[str, _Turn] = {}
        self._waiting: dict[str, set[str]] = {}

    def admitted(self, uid: str, gpu: str, wanted: int, room: int, pods: Sequence[PodState], size: int) -> int:
        """Return how many groups an object may have now.

        Args:
            uid: of the DeepSeekDeployment.
            gpu: product that its groups take.
            wanted: groups that should run.
            room: groups that fit what is free and what its own pods hold.
            pods: of it.
            size: pods of a group.
        """
        allowed = admitted_groups(wanted, room, pods, size)
        if allowed <= len(whole_groups(pods, size)):
            self.forget(uid)
            return allowed
        turn, now = self._turns.get(gpu), self._clock()
        if turn is not None and turn.uid != uid and now < turn.until:
            if uid not in self._waiting.setdefault(gpu, set()):
                self._waiting[gpu].add(uid)
                self._wake_later(turn.until - now, uid)
            return admitted_groups(wanted, 0, pods, size)
        if turn is None or turn.uid != uid:
            self._waiting.get(gpu, set()).discard(uid)
            self._turns[gpu] = _Turn(uid, now + TURN_SECONDS)
        return allowed

    def forget(self, uid: str) -> None:
        """End the turn of an object that makes no groups, or is gone, and wake those that waited for it."""
        for waiting in self._waiting.values():
            waiting.discard(uid)
        for gpu in [gpu for gpu, turn in self._turns.items() if turn.uid == uid]:
            del self._turns[gpu]
            for other in sorted(self._waiting.pop(gpu, ())):
                self._wake(other)
