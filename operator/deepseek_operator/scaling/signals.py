"""What scaling knows of one object at one moment: signals that are there, or named reasons why they are not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

STALE_SECONDS = 45.0
"""Age at which a signal is no longer believed: three scrapes of 15 s, so that one may be lost."""


class Availability(StrEnum):
    """Whether a signal can be used; anything but ``Present`` is never read as a number."""

    PRESENT = "Present"
    ABSENT = "Absent"
    STALE = "Stale"
    WRONG_UNIT = "WrongUnit"


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One measured value.

    Args:
        value: in the unit of its field; meaningless unless it is present.
        age_seconds: since it was measured.
        availability: whether it can be used.
        stale_seconds: age at which it is no longer believed.
    """

    value: float = 0.0
    age_seconds: float = 0.0
    availability: Availability = Availability.PRESENT
    stale_seconds: float = STALE_SECONDS

    @property
    def present(self) -> bool:
        """Whether the value may be used; what is no number of 0 or more never is."""
        return self.availability is Availability.PRESENT and self.age_seconds <= self.stale_seconds and self._counts

    @property
    def state(self) -> Availability:
        """What it is, its age considered."""
        if self.availability is Availability.PRESENT and not self.present:
            return Availability.STALE if self._counts else Availability.WRONG_UNIT
        return self.availability

    @property
    def _counts(self) -> bool:
        return math.isfinite(self.value) and self.value >= 0.0


ABSENT = Signal(availability=Availability.ABSENT)
"""A signal that nobody exports."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What all replicas of one object do.

    Rates are means over about a minute. ``running`` and ``waiting`` may be absent (Triton exports neither); the others
    that decide may not.

    Args:
        tokens_per_second: of all answers.
        seconds_per_token: mean time between the tokens of one answer.
        starts_per_second: requests that get their first token.
        prompt_work: seconds per second that prompts are read, all replicas together.
        running: requests in the batches.
        waiting: requests that no batch has room for.
        cached_tokens: in the caches of the replicas that serve.
        ready: replicas that serve.
        starting: replicas that were asked for and do not serve yet.
        waiting_for_gpus: those of them that no node has room for.
        waiting_for_gpus_seconds: how long the first of these has waited.
        start_seconds: how long the last replicas took from the order to the first request; None until one has.
    """

    tokens_per_second: Signal
    seconds_per_token: Signal
    starts_per_second: Signal
    prompt_work: Signal = ABSENT
    running: Signal = ABSENT
    waiting: Signal = ABSENT
    cached_tokens: Signal = ABSENT
    ready: int
    starting: int = 0
    waiting_for_gpus: int = 0
    waiting_for_gpus_seconds: float = 0.0
    start_seconds: float | None = None

    def missing(self) -> tuple[tuple[str, Availability], ...]:
        """Return the signals without which nothing can be decided, and what is wrong with each."""
        needed = (
            ("tokens per second", self.tokens_per_second),
            ("seconds per token", self.seconds_per_token),
            ("first tokens per second", self.starts_per_second),
        )
        return tuple((name, signal.state) for name, signal in needed if not signal.present)
