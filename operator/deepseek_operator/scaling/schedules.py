"""Windows of the clock: which limits and which model hold at a moment, and when that changes next.

A window opens whenever its cron expression fires in its time zone and stays open for its duration in elapsed time.
While windows are open, their limits replace those of ``scaling``: the largest ``minReplicas`` and the largest
``maxReplicas`` of the open ones. Of several open windows with a smaller model the first of ``fallbacks`` runs.

On a change of clocks (Debian's rules, by ``cronsim``): a start at an hour that is skipped comes at the first minute
after it, one at an hour that comes twice comes the first time; ``*`` hours or minutes follow elapsed time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsim import CronSim

from deepseek_operator.api.ladder_check import time_zone
from deepseek_operator.api.spec_scaling import FallbackTrigger, ScalingSchedule, ScalingSpec
from deepseek_operator.api.v1alpha1 import DeepSeekDeploymentSpec

LARGEST_CLOCK_CHANGE = timedelta(hours=3)
"""By which a search backwards begins later, because wall time may run back: an hour as a rule, two at Troll station.

Source: IANA tz database 2026, ``Antarctica/Troll``; one hour more for safety.
"""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What windows say at one moment.

    Args:
        least: fewest replicas, 0 or more.
        most: most replicas, 1 or more.
        windows: names of the open windows, in the order of the spec.
        model: smaller model that runs meanwhile; empty for the asked one.
        window: the window that names it; empty without one.
        until: when something may change next, in UTC; None without windows.
        raised: the largest ``least`` that any window asks for: replicas up to it may be there for a window that is
            over, and go with it. 0 without windows.
    """

    least: int
    most: int
    windows: tuple[str, ...] = ()
    model: str = ""
    window: str = ""
    until: datetime | None = None
    raised: int = 0

    def named(self, field: str) -> str:
        """Return what sets one of the limits, for sentences.

        >>> Limits(least=1, most=2).named("maxReplicas")
        'scaling.maxReplicas'
        >>> Limits(least=1, most=2, windows=("day", "rush")).named("maxReplicas")
        'maxReplicas of the windows day and rush'
        """
        if not self.windows:
            return f"scaling.{field}"
        return f"{field} of the window{'s' if len(self.windows) > 1 else ''} {' and '.join(self.windows)}"


def limits_at(spec: DeepSeekDeploymentSpec, now: datetime) -> Limits:
    """Return the limits and the model that hold at a moment.

    Args:
        spec: whose windows were checked (`ladder_check.refuse_wrong_schedules`).
        now: an aware time.
    """
    scaling, base = spec.scaling, outside_windows(spec.scaling)
    if not scaling.schedules:
        return base
    seen = [(window, last_start(window, now)) for window in scaling.schedules]
    open_ones = [window for window, start in seen if start is not None and now < start + _duration(window)]
    named = {window.name for window in open_ones}
    fallback = next(
        (each for each in spec.fallbacks if each.when is FallbackTrigger.SCHEDULE and each.schedule in named), None
    )
    return Limits(
        least=max((window.min_replicas for window in open_ones), default=base.least),
        most=max((window.max_replicas for window in open_ones), default=base.most),
        windows=tuple(window.name for window in open_ones),
        model=fallback.model if fallback else "",
        window=(fallback.schedule or "") if fallback else "",
        until=_earliest(_next_change(window, start, now) for window, start in seen),
        raised=max(window.min_replicas for window in scaling.schedules),
    )


def outside_windows(scaling: ScalingSpec) -> Limits:
    """Return the limits while no window is open."""
    most = scaling.max_replicas if scaling.max_replicas is not None else max(1, scaling.min_replicas)
    return Limits(least=scaling.min_replicas, most=most)


def last_start(window: ScalingSchedule, now: datetime) -> datetime | None:
    """Return when a window opened last, at or before a moment, in UTC; None when it never has.

    >>> night = ScalingSchedule.model_validate({"name": "night", "start": "0 22 * * *", "durationSeconds": 3600,
    ...     "timeZone": "Europe/Berlin", "minReplicas": 0, "maxReplicas": 1})
    >>> last_start(night, datetime(2026, 7, 2, 12, tzinfo=UTC)).isoformat()
    '2026-07-01T20:00:00+00:00'
    """
    local = (now + LARGEST_CLOCK_CHANGE).astimezone(time_zone(window.time_zone))
    for start in CronSim(window.start, local, reverse=True):
        found = start.astimezone(UTC)
        if found <= now:
            return found
    return None


def next_start(window: ScalingSchedule, now: datetime) -> datetime | None:
    """Return when a window opens next, after a moment, in UTC; None when it never does again."""
    for start in CronSim(window.start, now.astimezone(time_zone(window.time_zone))):
        found = start.astimezone(UTC)
        if found > now:
            return found
    return None


def _next_change(window: ScalingSchedule, start: datetime | None, now: datetime) -> datetime | None:
    """Return when a window may close or open; one that opens again before it closes is looked at once too often."""
    if start is not None and now < start + _duration(window):
        return start + _duration(window)
    return next_start(window, now)


def _duration(window: ScalingSchedule) -> timedelta:
    return timedelta(seconds=window.duration_seconds)


def _earliest(times: Iterable[datetime | None]) -> datetime | None:
    return min((time for time in times if time is not None), default=None)
