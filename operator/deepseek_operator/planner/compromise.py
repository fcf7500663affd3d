"""What a plan gives up, and why its owner allowed that."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CompromiseKind(StrEnum):
    """What runs in place of what was asked."""

    FALLBACK = "Fallback"
    NEAREST = "Nearest"
    SCHEDULE = "Schedule"
    MEMORY_PRESSURE = "MemoryPressure"


@dataclass(frozen=True, kw_only=True)
class Compromise:
    """What a plan gives up, because its owner allowed it where what was asked has no plan, or for a time.

    Args:
        kind: a smaller model of ``fallbacks``, the nearest plan, or a step down for a window or under memory pressure.
        asked_model: model that was asked for.
        reason: why it has no plan, as `InfeasibleReason` names it (a text, so that a plan of a newer version is read),
            or the kind again.
        change: what the plan does instead, in words of the spec's fields.
        message: the refusal of what was asked, as a sentence.
    """

    kind: CompromiseKind
    asked_model: str
    reason: str
    change: str
    message: str
