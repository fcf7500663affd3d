"""Windows of the clock: limits, models and boundaries, also while clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deepseek_operator.scaling.schedules import Limits, last_start, limits_at, next_start
from model_factories import make_deployment

Window = dict[str, Any]

SMALL, SMALLER = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"


def window(name: str = "day", start: str = "0 8 * * *", seconds: int = 36_000, least: int = 2, most: int = 4) -> Window:
    """Return one window in UTC."""
    return {"name": name, "start": start, "durationSeconds": seconds, "minReplicas": least, "maxReplicas": most}


DAY, NIGHT = window(), window("night", "0 22 * * *", 28_800, 0, 1)
BEFORE, AFTER = datetime(2026, 7, 1, 7, 59, 59, tzinfo=UTC), datetime(2026, 7, 1, 18, tzinfo=UTC)
OPENS, NOON = datetime(2026, 7, 1, 8, tzinfo=UTC), datetime(2026, 7, 1, 12, tzinfo=UTC)
LATE = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("scaling", "fallbacks", "now", "limits"),
    [
        pytest.param({}, [], NOON, Limits(least=1, most=1), id="no windows"),
        pytest.param(
            {"maxReplicas": 3, "schedules": [DAY]},
            [],
            BEFORE,
            Limits(least=1, most=3, until=OPENS, raised=2),
            id="the second before it opens",
        ),
        pytest.param(
            {"maxReplicas": 3, "schedules": [DAY]},
            [],
            OPENS,
            Limits(least=2, most=4, windows=("day",), until=AFTER, raised=2),
            id="the second in which it opens",
        ),
        pytest.param(
            {"maxReplicas": 3, "schedules": [DAY]},
            [],
            AFTER,
            Limits(least=1, most=3, until=OPENS.replace(day=2), raised=2),
            id="the second in which it closes",
        ),
        pytest.param(
            {"schedules": [DAY, window("rush", "0 11 * * *", 7200, 1, 9)]},
            [],
            NOON,
            Limits(least=2, most=9, windows=("day", "rush"), until=NOON.replace(hour=13), raised=2),
            id="of open windows the largest limits",
        ),
        pytest.param(
            {"schedules": [DAY, NIGHT]},
            [{"model": SMALL}, {"model": SMALLER, "when": "Schedule", "schedule": "night"}],
            LATE,
            Limits(
                least=0,
                most=1,
                windows=("night",),
                model=SMALLER,
                window="night",
                until=datetime(2026, 7, 2, 6, tzinfo=UTC),
                raised=2,
            ),
            id="a window with a model of its own",
        ),
        pytest.param(
            {"schedules": [NIGHT, window("late", "0 22 * * *", 3600, 1, 2)]},
            [
                {"model": SMALL, "when": "Schedule", "schedule": "late"},
                {"model": SMALLER, "when": "Schedule", "schedule": "night"},
            ],
            LATE,
            Limits(
                least=1,
                most=2,
                windows=("night", "late"),
                model=SMALL,
                window="late",
                until=LATE.replace(hour=23, minute=0),
                raised=1,
            ),
            id="of two models the first of fallbacks",
        ),
        pytest.param(
            {"schedules": [window(start="* * * * *", seconds=600)]},
            [],
            NOON,
            Limits(least=2, most=4, windows=("day",), until=NOON.replace(minute=10), raised=2),
            id="one that never closes is looked at again",
        ),
    ],
)
def test_limits(scaling: dict[str, Any], fallbacks: list[Window], now: datetime, limits: Limits) -> None:
    assert limits_at(make_deployment(scaling=scaling, fallbacks=fallbacks).spec, now) == limits


@pytest.mark.parametrize(
    ("start", "zone", "now", "last", "following"),
    [
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-29T12:00",
            "2026-03-29T01:00",
            "2026-03-30T00:30",
            id="a skipped hour",
        ),
        pytest.param(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T01:10",
            "2026-10-25T00:30",
            "2026-10-26T01:30",
            id="an hour twice",
        ),
        pytest.param(
            "30 * * * *", "Europe/Berlin", "2026-10-25T01:40", "2026-10-25T01:30", "2026-10-25T02:30", id="every hour"
        ),
        pytest.param(
            "0 9 * * MON-FRI",
            "America/New_York",
            "2026-11-02T13:59",
            "2026-10-30T13:00",
            "2026-11-02T14:00",
            id="weekdays",
        ),
        pytest.param(
            "0 0 29 2 *", "UTC", "2026-07-01T00:00", "2024-02-29T00:00", "2028-02-29T00:00", id="every fourth year"
        ),
    ],
)
def test_starts_while_clocks_change(start: str, zone: str, now: str, last: str, following: str) -> None:
    spec = make_deployment(scaling={"schedules": [window(start=start) | {"timeZone": zone}]}).spec
    (schedule,), at = spec.scaling.schedules, datetime.fromisoformat(f"{now}+00:00")
    assert last_start(schedule, at) == datetime.fromisoformat(f"{last}+00:00")
    assert next_start(schedule, at) == datetime.fromisoformat(f"{following}+00:00")
