"""Laws of the scaling decision over whole loads: nothing swings by itself, limits hold, equal inputs decide alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepseek_operator.scaling.decide import (
    HOLD_SECONDS,
    SPARE_FACTOR,
    SPARE_SECONDS,
    UP_FACTOR,
    UP_REPLICAS,
    Limit,
    ScalingReason,
    decide,
)
from deepseek_operator.scaling.history import History
from deepseek_operator.scaling.replica_capacity import Load
from deepseek_operator.scaling.signals import ABSENT, Snapshot
from scaling_values import CAPACITY, make_policy, make_snapshot, measured_snapshot

TICK = 15.0
DECISIONS = 360
"""An hour and a half, almost four times as long as replicas are held."""

LONG_TICK = 120.0

SETTLED_ROUNDS, ROUNDS_AFTER_A_RESTART = 350, 40
"""Until a measured step has corrected the planned one; the first ten minutes after a restart."""

heights = st.floats(200.0, 30_000.0)
firsts = st.integers(1, 40)


def followed(load: Callable[[float], float], first: int, ticks: int = DECISIONS, tick: float = TICK) -> list[int]:
    """Return the replicas of every decision when a load is measured as it is and new replicas serve at once."""
    history, current, found = History(), first, []
    for place in range(ticks):
        now = place * tick
        snapshot = measured_snapshot(load(now), max(1, current))
        decision = decide(snapshot, CAPACITY, make_policy(), history, now, current)
        history, current = decision.history, decision.replicas
        found.append(current)
    return found


def turns(replicas: Sequence[int]) -> int:
    """Return how often the replicas change against the change before."""
    steps = [after - before for before, after in pairwise(replicas) if after != before]
    return sum(1 for before, after in pairwise(steps) if (before > 0) != (after > 0))


@settings(max_examples=3, deadline=None)
@given(height=heights, first=firsts)
def test_a_constant_load_moves_replicas_one_way_and_then_never_again(height: float, first: int):
    replicas = followed(lambda now: height, first)
    assert turns([first, *replicas]) == 0
    assert len(set(replicas[int(HOLD_SECONDS / TICK) + 30 :])) == 1


@settings(max_examples=3, deadline=None)
@given(low=heights, factor=st.floats(1.0, 10.0), at=st.floats(300.0, 3000.0))
def test_a_step_up_adds_replicas_and_later_trims_the_reserve_at_most(low: float, factor: float, at: float):
    replicas = followed(lambda now: low if now < at else low * factor, 1)
    assert turns(replicas) <= 1
    assert replicas[-1] >= replicas[0]


@settings(max_examples=3, deadline=None)
@given(low=heights, factor=st.floats(1.0, 10.0), at=st.floats(300.0, 3000.0))
def test_a_step_down_never_adds_replicas_after_it(low: float, factor: float, at: float):
    replicas = followed(lambda now: low * factor if now < at else low, 1)
    after = replicas[int(at / TICK) + 1 :]
    assert all(later <= earlier for earlier, later in pairwise(after))


@settings(max_examples=3, deadline=None)
@given(start=heights, end=heights)
@example(start=7107.082679995425, end=7107.082679995425)
@example(start=13977.0, end=13977.0)
@example(start=27234.81452222068, end=27234.81452222068)
def test_a_ramp_moves_replicas_its_own_way_only(start: float, end: float):
    length = DECISIONS * TICK
    replicas = followed(lambda now: start + (end - start) * now / length, 1)
    settled = replicas[10:]
    assert turns(settled) == 0
    if settled[-1] != settled[0]:
        assert (settled[-1] > settled[0]) == (end > start)


@settings(max_examples=2, deadline=None)
@given(start=heights, end=heights)
def test_a_ramp_of_two_days_moves_replicas_its_own_way_only_whatever_is_learned(start: float, end: float):
    length = 2 * 86400.0
    replicas = followed(lambda now: start + (end - start) * now / length, 1, int(length / LONG_TICK), LONG_TICK)
    settled = replicas[10:]
    assert turns(settled) == 0
    if settled[-1] != settled[0]:
        assert (settled[-1] > settled[0]) == (end > start)


@settings(max_examples=3, deadline=None)
@given(low=heights, factor=st.floats(1.0, 5.0), period=st.floats(120.0, SPARE_SECONDS - 60))
def test_a_saw_tooth_shorter_than_the_least_hold_does_not_move_replicas(low: float, factor: float, period: float):
    replicas = followed(lambda now: low * (1 + (factor - 1) * (now % period) / period), 1)
    settled = replicas[2 * int(HOLD_SECONDS / TICK) :]
    assert turns(settled) == 0
    assert max(settled) - min(settled) <= 1


@settings(max_examples=3, deadline=None)
@given(low=heights, factor=st.floats(1.0, SPARE_FACTOR - 0.1), period=st.floats(120.0, HOLD_SECONDS - 60))
def test_a_small_saw_tooth_shorter_than_the_hold_does_not_move_replicas(low: float, factor: float, period: float):
    replicas = followed(lambda now: low * (1 + (factor - 1) * (now % period) / period), 1)
    settled = replicas[2 * int(HOLD_SECONDS / TICK) :]
    assert turns(settled) == 0
    assert max(settled) - min(settled) <= 1


@settings(max_examples=3, deadline=None)
@given(low=heights, factor=st.floats(1.0, 5.0), period=st.floats(SPARE_SECONDS, 3 * HOLD_SECONDS))
def test_a_long_saw_tooth_turns_replicas_no_more_often_than_itself(low: float, factor: float, period: float):
    replicas = followed(lambda now: low * (1 + (factor - 1) * (now % period) / period), 1)
    assert turns(replicas) <= 2 * (DECISIONS * TICK / period + 1)


@settings(max_examples=3, deadline=None)
@given(height=heights, spread=st.floats(0.0, 0.5), seed=st.integers(0, 2**32))
def test_noise_turns_replicas_at_most_once_in_each_hold(height: float, spread: float, seed: int):
    draws = random.Random(seed)  # noqa: S311 - noise of a test
    noise = [draws.uniform(1 - spread, 1 + spread) for _ in range(DECISIONS)]
    replicas = followed(lambda now: height * noise[int(now / TICK)], 1)
    assert turns(replicas) <= 2 * DECISIONS * TICK / HOLD_SECONDS


@settings(max_examples=6, deadline=None)
@given(
    height=st.floats(200.0, 12_000.0),
    slower=st.floats(0.6, 1.2),
    start=st.sampled_from([60.0, 120.0, 300.0, 600.0]),
    calm=st.floats(0.0, 2 * 86400.0),
)
def test_a_restart_with_the_same_load_asks_for_what_was_left(height: float, slower: float, start: float, calm: float):
    bins = tuple((300.0 * (place - 576), height) for place in range(576))
    learned = History(bins=bins, calm_seconds=calm)
    left = _steadily(learned, 1, height, slower, start, SETTLED_ROUNDS)[-1]
    after = _steadily(History(restored=left), left, height, slower, start, ROUNDS_AFTER_A_RESTART)
    assert after == [left] * ROUNDS_AFTER_A_RESTART


def _steadily(history: History, current: int, height: float, slower: float, start: float, ticks: int) -> list[int]:
    """Return the replicas of every decision on a load that stays as it is."""
    policy = make_policy(start_seconds=start, limits=(Limit(replicas=200, name="scaling.maxReplicas"),))
    found = []
    for place in range(ticks):
        snapshot = measured_snapshot(height, max(1, current), slower)
        decision = decide(snapshot, CAPACITY, policy, history, place * TICK, current)
        history, current = decision.history, decision.replicas
        found.append(current)
    return found


@settings(max_examples=15, deadline=None)
@given(
    loads=st.lists(st.floats(0.0, 1e6), min_size=1, max_size=40),
    least=st.integers(0, 5),
    most=st.integers(1, 30),
    first=st.integers(0, 60),
    gap=st.integers(0, 40),
)
def test_limits_hold_whatever_comes_and_equal_inputs_decide_alike(
    loads: list[float], least: int, most: int, first: int, gap: int
):
    policy = make_policy(least=min(least, most), limits=(Limit(replicas=most, name="scaling.maxReplicas"),))
    history, current = History(), first
    for place, load in enumerate(loads):
        snapshot = make_snapshot(load, ready=current) if place != gap else _nothing(current)
        once, twice = (decide(snapshot, CAPACITY, policy, history, place * TICK, current) for _ in range(2))
        assert once == twice
        assert min(least, most) <= once.replicas <= most
        assert once.replicas <= max(current + UP_REPLICAS, current * UP_FACTOR, least)
        if place == gap and min(least, most) <= current <= most:
            assert once.replicas == current
            assert once.reason in {ScalingReason.SIGNALS_MISSING, ScalingReason.STARTING}
        history, current = once.history, once.replicas


@settings(max_examples=100, deadline=None)
@given(
    tokens=st.floats(0.0, 1e5),
    prompts=st.floats(0.0, 100.0),
    reading=st.floats(0.0, 2.0),
    context=st.floats(1.0, 30_000.0),
    replicas=st.integers(0, 60),
    reserve=st.floats(1.0, 4.0),
)
def test_more_replicas_never_carry_less(
    tokens: float, prompts: float, reading: float, context: float, replicas: int, reserve: float
):
    load = Load(
        tokens_per_second=tokens, prompts_per_second=prompts, prompt_work=prompts * reading, context_tokens=context
    )
    if CAPACITY.carries(load, replicas, reserve):
        assert CAPACITY.carries(load, replicas + 1, reserve)


def _nothing(ready: int) -> Snapshot:
    return Snapshot(tokens_per_second=ABSENT, seconds_per_token=ABSENT, starts_per_second=ABSENT, ready=ready)
