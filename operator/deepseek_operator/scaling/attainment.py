"""Whether the measured latency keeps the service level: a verdict that does not flap.

The percentiles are of some minutes, and a verdict changes only when they have said otherwise for a while. Its sentence
holds the numbers of the time when it was last told, and is told anew when they are far from today's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from deepseek_operator.planner.request import Sla
from deepseek_operator.scaling.readings import Readings
from deepseek_operator.scaling.signals import Signal

MISSED_SECONDS = 120.0
"""How long the percentiles must be above a limit until the service level counts as missed."""

KEPT_SECONDS = 300.0
"""How long they must be within both until it counts as kept again."""

UNMEASURED_SECONDS = 120.0
"""How long nothing must have been read until nothing is said any more."""

RENEWED_SECONDS = 900.0
RENEWED_SHARE = 0.25
"""When a told number is renewed: it differs by a quarter, and was told a quarter of an hour ago."""

LATENCIES = frozenset({"ttft_percentile_seconds", "tpot_percentile_seconds"})
"""Fields of `Readings` that a verdict rests on."""

KEPT, MISSED, UNMEASURED, NO_REQUESTS = "SlaKept", "SlaMissed", "NotMeasured", "NoRequests"


@dataclass(frozen=True, kw_only=True)
class Attainment:
    """Whether the service level is kept.

    Args:
        holds: None while nobody knows.
        reason: one CamelCase word.
        message: one sentence, with the numbers when it was told.
        ttft_ratio: measured over asked, as last read; None for not measured.
        tpot_ratio: the same of the time per token.
        told: when the sentence was told, in seconds.
        told_ratios: the ratios that it tells.
        agreed: when a reading last agreed with the verdict.
    """

    holds: bool | None = None
    reason: str = UNMEASURED
    message: str = "no latency was measured yet"
    ttft_ratio: float | None = None
    tpot_ratio: float | None = None
    told: float = 0.0
    told_ratios: tuple[float, float] = (0.0, 0.0)
    agreed: float = 0.0

    def says_as(self, other: Attainment) -> bool:
        """Whether a person would read the same."""
        return (self.holds, self.reason, self.message) == (other.holds, other.reason, other.message)


def attained(old: Attainment, readings: Readings, sla: Sla, now: float) -> Attainment:
    """Return the verdict after a reading.

    Args:
        old: the one before; a new one for the first reading.
        readings: with the percentiles that ``sla.percentile`` asks for.
        sla: limits.
        now: seconds, never before that of the verdict before.
    """
    ttft, tpot = readings.ttft_percentile_seconds, readings.tpot_percentile_seconds
    first = _ratio(ttft, sla.ttft_milliseconds)
    each = _ratio(tpot, sla.tpot_milliseconds)
    if first is None or each is None:
        return _unmeasured(old, readings, now)
    ratios = (first, each)
    holds = max(ratios) <= 1.0
    seen = replace(old, ttft_ratio=first, tpot_ratio=each)
    if holds is old.holds:
        told = _told(seen, holds, sla, ratios, now) if _is_old(old, ratios, now) else seen
        return replace(told, agreed=now)
    patience = MISSED_SECONDS if old.holds else KEPT_SECONDS
    if old.holds is not None and now - old.agreed < patience:
        return seen
    return replace(_told(seen, holds, sla, ratios, now), agreed=now)


def _ratio(signal: Signal, limit_milliseconds: int) -> float | None:
    return signal.value * 1000 / limit_milliseconds if signal.present else None


def _is_old(old: Attainment, ratios: tuple[float, float], now: float) -> bool:
    far = any(
        abs(ratio - told) > RENEWED_SHARE * max(told, ratio)
        for ratio, told in zip(ratios, old.told_ratios, strict=True)
    )
    return far and now - old.told >= RENEWED_SECONDS


def _told(seen: Attainment, holds: bool, sla: Sla, ratios: tuple[float, float], now: float) -> Attainment:
    ttft, tpot = ratios[0] * sla.ttft_milliseconds, ratios[1] * sla.tpot_milliseconds
    return replace(
        seen,
        holds=holds,
        reason=KEPT if holds else MISSED,
        message=f"p{sla.percentile} TTFT {_milliseconds(ttft)} of {sla.ttft_milliseconds:,} ms asked, "
        f"TPOT {_milliseconds(tpot)} of {sla.tpot_milliseconds:,} ms, over five minutes",
        told=now,
        told_ratios=ratios,
    )


def _milliseconds(value: float) -> str:
    """Return milliseconds with two digits that count.

    >>> _milliseconds(1234.5), _milliseconds(45.67), _milliseconds(0.4)
    ('1,200 ms', '46 ms', '0 ms')
    """
    rounded = int(float(f"{value:.2g}"))
    return f"{rounded:,} ms"


def _unmeasured(old: Attainment, readings: Readings, now: float) -> Attainment:
    """Return the verdict when latencies are missing: without requests it stays, without metrics it ends."""
    unknown = replace(old, ttft_ratio=None, tpot_ratio=None)
    problem = readings.problem
    if problem is None or (problem.signals and LATENCIES.isdisjoint(problem.signals)):
        if old.holds is not None or old.reason == NO_REQUESTS:
            return unknown
        return replace(unknown, reason=NO_REQUESTS, message="no request has ended in the last five minutes")
    if old.holds is not None and now - old.agreed < UNMEASURED_SECONDS:
        return unknown
    if old.holds is None and old.reason == problem.reason.value:
        return unknown
    return replace(
        unknown,
        holds=None,
        reason=problem.reason.value,
        message=problem.message,
        told_ratios=(0.0, 0.0),
        agreed=now,
    )
