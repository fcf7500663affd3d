"""What scaling learns of the loads that it remembers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.scaling.forecast import expected_peak, reserve_factor
from deepseek_operator.scaling.history import BIN_SECONDS, History, Observation


def remembered(*loads: float, **changes: object) -> History:
    """Return a history of five minutes of each load."""
    bins = tuple((BIN_SECONDS * place, load) for place, load in enumerate(loads))
    return replace(History(bins=bins), **changes)  # type: ignore[arg-type] - keywords are the fields of the history


def after(*loads: float) -> History:
    """Return the history of somebody who saw each load for five minutes."""
    history = History()
    for place, load in enumerate(loads):
        for tick in range(20):
            seen = Observation(
                time=BIN_SECONDS * place + 15.0 * tick,
                tokens_per_second=load,
                offered_tokens_per_second=load,
                arrivals_per_second=1.0,
                starts_per_second=1.0,
                waiting=0.0,
                in_flight=load / 50,
                prompt_work=0.1,
            )
            history = history.with_observation(seen)
    return history


@pytest.mark.parametrize(
    ("loads", "load", "expected"),
    [
        ((), 1000.0, 1000.0),
        ((500.0,), 1000.0, 1000.0),
        ((1000.0, 1500.0), 2000.0, 2500.0),
        ((1000.0, 1500.0), 400.0, 600.0),
        ((0.0, 300.0), 1000.0, 1300.0),
        ((2000.0, 1000.0), 1000.0, 1000.0),
        ((1000.0, 1000.0, 1000.0, 3000.0), 1000.0, 3000.0),
    ],
)
def test_a_rise_counts_as_a_difference_or_a_ratio_whichever_is_less(
    loads: tuple[float, ...], load: float, expected: float
):
    assert remembered(*loads).risen(load, within_seconds=600.0) == expected


def test_a_rise_that_takes_longer_than_a_start_does_not_count():
    slow = remembered(1000.0, 1000.0, 1500.0, 2000.0, 2500.0)
    assert [slow.risen(1000.0, seconds) for seconds in (1.0, 300.0, 600.0)] == [2000.0, 2000.0, 2500.0]


def test_one_rise_in_many_hours_is_left_out():
    calm = [1000.0] * 200
    assert remembered(*calm[:20], 3000.0, *calm[:20]).risen(1000.0, 120.0) == 3000.0
    assert remembered(*calm, 3000.0, *calm).risen(1000.0, 120.0) == 1000.0


def test_what_lies_behind_a_gap_is_no_rise_within_the_time():
    evening, morning = ((0.0, 1000.0), (300.0, 1000.0)), ((30_000.0, 3000.0), (30_300.0, 3300.0))
    assert History(bins=(*evening, *morning)).risen(1000.0, 600.0) == 1100.0
    assert History(bins=(evening[0], morning[0])).risen(1000.0, 600.0) == 1000.0
    late = ((0.0, 1000.0), (300.0, 1000.0), (720.0, 1000.0), (1020.0, 3000.0))
    assert History(bins=late).risen(1000.0, 600.0) == 3000.0


def test_what_is_learned_counts_once_the_load_falls():
    assert after(*[1000.0] * 20).calm_seconds == 0.0
    assert after(*[1000.0 + 100.0 * step for step in range(20)]).calm_seconds == 0.0
    assert after(*[1000.0] * 20, 600.0, 600.0, 600.0).calm_seconds == 22 * BIN_SECONDS


def test_the_reserve_shrinks_towards_the_rises_that_were_seen():
    loads = [1000.0, 1200.0] * 144
    unknown, known, long_known = (
        expected_peak(1000.0, 1000.0, 600.0, remembered(*loads, calm_seconds=each)) for each in (0.0, 21600.0, 86400.0)
    )
    assert unknown == pytest.approx(1000.0 * reserve_factor(600.0))
    assert known == pytest.approx((unknown + 1200.0 * 1.1) / 2)
    assert long_known == pytest.approx(unknown / 16 + 1200.0 * 1.1 * 15 / 16)
