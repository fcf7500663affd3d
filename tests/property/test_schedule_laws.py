"""Laws of windows: found backwards as forwards, and constant until the moment that they name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.api.ladder_check import time_zone
from deepseek_operator.api.spec_scaling import ScalingSchedule
from deepseek_operator.scaling.schedules import last_start, limits_at, next_start
from model_factories import make_deployment

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll", "America/Santiago")
CHANGES = (
    datetime(2026, 3, 8),
    datetime(2026, 3, 29),
    datetime(2026, 4, 5),
    datetime(2026, 9, 6),
    datetime(2026, 10, 25),
)

FIELD = st.integers(0, 23).map(str)
STARTS = st.builds(
    "{} {} * * {}".format,
    st.one_of(FIELD, st.just("*/15"), st.just("5,35")),
    st.one_of(FIELD, st.just("*"), st.just("1-3"), st.just("*/6")),
    st.sampled_from(["*", "SUN", "MON-FRI"]),
)
NOWS = st.builds(
    lambda day, minutes: (day + timedelta(minutes=minutes)).replace(tzinfo=UTC),
    st.sampled_from(CHANGES),
    st.integers(-2000, 3000),
)


def schedule(start: str, zone: str, seconds: int, name: str = "day") -> dict[str, object]:
    """Return a window."""
    limits = {"minReplicas": 2, "maxReplicas": 5}
    return {"name": name, "start": start, "durationSeconds": seconds, "timeZone": zone, **limits}


@given(start=STARTS, zone=st.sampled_from(ZONES), now=NOWS)
def test_backwards_finds_what_forwards_passes(start: str, zone: str, now: datetime) -> None:
    found = ScalingSchedule.model_validate(schedule(start, zone, 60))
    before, passed = now - timedelta(days=9), []
    for each in CronSim(start, before.astimezone(time_zone(zone))):
        at = each.astimezone(UTC)
        if at > now + timedelta(hours=6):
            break
        passed.append(at)
    assert last_start(found, now) == max(at for at in passed if before < at <= now)
    following = next_start(found, now)
    assert following is not None
    assert following > now
    assert all(at >= following for at in passed if at > now)


@given(
    windows=st.lists(st.tuples(STARTS, st.sampled_from(ZONES), st.integers(60, 200_000)), min_size=1, max_size=3),
    now=NOWS,
    part=st.integers(0, 999),
)
def test_limits_hold_until_the_moment_that_they_name(
    windows: list[tuple[str, str, int]], now: datetime, part: int
) -> None:
    schedules = [schedule(*each, name=f"w{index}") for index, each in enumerate(windows)]
    spec = make_deployment(scaling={"schedules": schedules}).spec
    limits = limits_at(spec, now)
    assert limits.until is not None
    assert limits.until > now
    later = limits_at(spec, now + (limits.until - now) * part / 1000)
    assert (later.least, later.most, later.windows) == (limits.least, limits.most, limits.windows)
    assert 0 <= limits.least <= limits.most
