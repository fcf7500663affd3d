"""Laws of memory pressure: steps rest on readings, keep their distance, and turn only when the load does."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.scaling.memory_pressure import (
    RELIEF_SHARE,
    Direction,
    Pressure,
    PressureRule,
    PressureView,
    next_pressure,
    stepped,
)
from deepseek_operator.scaling.readings import Readings
from deepseek_operator.scaling.signals import Signal

ROUND = 30.0
RULE = PressureRule(kv_cache_fraction=0.9, for_seconds=120, quantizes=True, cooldown_seconds=600, relief_seconds=900)
CACHES = (100.0, 170.0, 230.0)
"""Tokens of the cache on each rung, mildest first."""


def view_of(load: float, rung: int) -> PressureView:
    """Return what is seen of a load in tokens: what the cache does not hold waits."""
    cache = CACHES[rung]
    signals = {
        "kv_cache_used_fraction": Signal(value=min(1.0, load / cache)),
        "waiting": Signal(value=max(0.0, load - cache)),
        "preemptions_per_second": Signal(),
    }
    ratio = cache / CACHES[rung - 1] if rung else None
    return PressureView(
        readings=Readings(**signals), blocked="no GPUs", has_lower=rung + 1 < len(CACHES), cache_ratio=ratio
    )


def run(loads: list[float]) -> list[tuple[float, int, float]]:
    """Return the steps that a load takes: time, direction and load."""
    state, rung, steps = Pressure(began=0), 0, []
    for number, load in enumerate(loads):
        now = number * ROUND
        state = next_pressure(state, view_of(load, rung), RULE, now)
        if state.step is not None:
            direction = 1 if state.step is Direction.DOWN else -1
            rung, state = rung + direction, stepped(state, now)
            steps.append((now, direction, load))
    return steps


LOADS = st.lists(st.tuples(st.floats(0, 400), st.integers(1, 60)), min_size=1, max_size=12).map(
    lambda parts: [load for load, rounds in parts for _ in range(rounds)]
)


@given(LOADS)
def test_steps_keep_their_distance_and_stay_on_the_ladder(loads: list[float]) -> None:
    steps = run(loads)
    times = [0.0, *(time for time, _, _ in steps)]
    assert all(later - before >= RULE.cooldown_seconds for before, later in pairwise(times))
    rungs = [sum(direction for _, direction, _ in steps[:count]) for count in range(len(steps) + 1)]
    assert all(0 <= rung < len(CACHES) for rung in rungs)


@given(st.floats(0, 400))
def test_a_constant_load_never_turns(load: float) -> None:
    assert len({direction for _, direction, _ in run([load] * 400)}) <= 1


@given(LOADS)
def test_a_turn_needs_a_load_that_has_fallen_or_risen_by_the_margin(loads: list[float]) -> None:
    steps = run(loads)
    for (_, before, high), (_, after, low) in pairwise(steps):
        if (before, after) == (1, -1):
            assert low <= high * RELIEF_SHARE + 1e-9
        if (before, after) == (-1, 1):
            assert low > high


@given(st.integers(0, 100))
def test_what_is_not_read_never_makes_a_step(rounds: int) -> None:
    state = Pressure(began=0)
    for number in range(rounds):
        unread = replace(view_of(300, 1), readings=Readings())
        state = next_pressure(state, unread, RULE, number * ROUND)
        assert state.step is None
