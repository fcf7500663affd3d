"""The operator's decision, one situation at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.scaling.decide import (
    BACK_OFF_SECONDS,
    CANCEL_SECONDS,
    HOLD_SECONDS,
    SPARE_SECONDS,
    Decision,
    Limit,
    ScalingReason,
    decide,
)
from deepseek_operator.scaling.history import History
from deepseek_operator.scaling.signals import ABSENT, Availability, Signal, Snapshot
from scaling_values import CAPACITY, make_policy, make_snapshot


def decided(
    snapshot: Snapshot, current: int = 2, now: float = 0.0, history: History | None = None, **policy: object
) -> Decision:
    return decide(snapshot, CAPACITY, make_policy(**policy), history or History(), now, current)


def after(seconds: float, snapshot: Snapshot, current: int, history: History | None = None) -> Decision:
    """Return the decision when a snapshot has stayed the same for a time."""
    history, now = history or History(), 0.0
    decision = decided(snapshot, current, now, history)
    while now < seconds:
        now += 15
        decision = decided(snapshot, current, now, decision.history)
    return decision


def test_more_load_asks_for_more_replicas_at_once():
    decision = decided(make_snapshot(6000.0))
    assert (decision.replicas, decision.reason) == (6, ScalingReason.DEMAND_RISES)
    assert decision.message == (
        "2 to 6 replicas: 6,000 tokens/s now, 6,000 expected in 120 s, prepared for 10,200: 9 needed"
    )


def test_a_fitting_fleet_stays():
    decision = decided(make_snapshot(6000.0), current=9)
    assert (decision.replicas, decision.reason) == (9, ScalingReason.STEADY)


def test_one_decision_adds_no_more_than_it_may():
    assert decided(make_snapshot(60_000.0), current=2).replicas == 6
    assert decided(make_snapshot(60_000.0), current=10).replicas == 20


def test_less_load_takes_replicas_away_only_after_the_hold():
    history = decided(make_snapshot(6000.0), 9).history
    little_less = make_snapshot(5000.0, ready=1000)
    assert after(HOLD_SECONDS - 30, little_less, 9, history).replicas == 9
    late = after(HOLD_SECONDS + 135, little_less, 9, history)
    assert (late.replicas, late.reason) == (8, ScalingReason.DEMAND_FELL)


def test_what_is_spare_by_far_goes_sooner():
    history = decided(make_snapshot(6000.0), 9).history
    assert after(SPARE_SECONDS - 30, make_snapshot(200.0), 9, history).replicas == 9
    sooner = after(SPARE_SECONDS + 135, make_snapshot(200.0), 9, history)
    assert (sooner.replicas, sooner.reason) == (2, ScalingReason.DEMAND_FELL)
    assert after(HOLD_SECONDS + 135, make_snapshot(200.0), 9, history).replicas == 1


def test_nothing_is_stopped_at_first_sight():
    assert decided(make_snapshot(200.0), 6).replicas == 6
    assert after(HOLD_SECONDS + 30, make_snapshot(200.0), 6).replicas == 1


def test_limits_are_named():
    limits = (Limit(replicas=40, name="scaling.maxReplicas"), Limit(replicas=3, name="what the GPUs hold"))
    decision = decided(make_snapshot(6000.0), limits=limits)
    assert (decision.replicas, decision.reason) == (3, ScalingReason.LIMITED)
    assert decision.message.endswith("and what the GPUs hold allows 3")


def test_a_minimum_wins_over_a_small_need():
    assert decided(make_snapshot(10.0), current=4, least=4).replicas == 4


@pytest.mark.parametrize("availability", [each for each in Availability if each is not Availability.PRESENT])
def test_a_signal_that_is_not_there_is_no_zero(availability: Availability):
    missing = replace(make_snapshot(6000.0), tokens_per_second=Signal(availability=availability))
    decision = decided(missing, current=5)
    assert (decision.replicas, decision.reason) == (5, ScalingReason.SIGNALS_MISSING)
    assert f"tokens per second ({availability})" in decision.message


def test_an_old_signal_is_stale():
    old = replace(make_snapshot(6000.0), starts_per_second=Signal(value=12, age_seconds=100))
    decision = decided(old, current=5)
    assert decision.message == "5 replicas stay: first tokens per second (Stale) cannot be read, so nothing moves"


def test_before_anything_serves_nothing_moves():
    nothing = Snapshot(tokens_per_second=ABSENT, seconds_per_token=ABSENT, starts_per_second=ABSENT, ready=0)
    assert decided(nothing, current=3).reason is ScalingReason.STARTING


def test_limits_hold_without_signals_too():
    missing = replace(make_snapshot(6000.0), tokens_per_second=ABSENT)
    assert decided(missing, current=50).replicas == 40


def test_gpus_that_never_come_are_given_up_and_not_asked_for_again_at_once():
    stuck = make_snapshot(6000.0, starting=4, waiting_for_gpus=4, waiting_for_gpus_seconds=1000.0)
    given_up = decided(stuck, current=6, now=1000.0)
    assert (given_up.replicas, given_up.reason) == (2, ScalingReason.GPUS_NEVER_CAME)
    soon = decided(make_snapshot(6000.0), 2, 1015.0, given_up.history)
    assert (soon.replicas, soon.reason) == (2, ScalingReason.STEADY)
    assert decided(make_snapshot(6000.0), 2, 1000.0 + BACK_OFF_SECONDS, given_up.history).replicas == 6


def test_start_ups_are_cancelled_when_the_load_is_gone():
    idle = Signal(value=0.0)
    less = make_snapshot(4600.0, ready=8, starting=1, seconds_per_token=idle)
    decision = after(CANCEL_SECONDS + 30, less, 9, decided(make_snapshot(6000.0), 9).history)
    assert (decision.replicas, decision.reason) == (8, ScalingReason.CANCELLED)


def test_a_longer_start_asks_for_more_reserve():
    near, far = (decided(make_snapshot(6000.0), 20, start_seconds=each).terms.needed for each in (60.0, 600.0))
    assert near < far


def test_the_start_up_time_is_learned():
    decision = decided(make_snapshot(6000.0, start_seconds=600.0))
    assert decision.terms.start_seconds == 600.0
    assert decision.history.starts == (600.0,)


def test_a_known_peak_bounds_the_reserve():
    history = replace(History(), bins=tuple((300.0 * each, 1000.0 if each < 20 else 6000.0) for each in range(40)))
    free, bounded = decided(make_snapshot(6000.0), 20), decided(make_snapshot(6000.0), 20, 12_000.0, history)
    assert bounded.terms.prepared_for < free.terms.prepared_for


def test_slower_steps_than_planned_need_more_replicas():
    busy = make_snapshot(6000.0, running=Signal(value=360.0), seconds_per_token=Signal(value=0.06), ready=6)
    slow, planned = after(600, busy, 10), after(600, replace(busy, seconds_per_token=Signal(value=0.034)), 10)
    assert slow.history.step_factor > 1.3 > planned.history.step_factor
    assert slow.terms.needed > planned.terms.needed


def test_waiting_requests_count():
    calm, crowded = decided(make_snapshot(6000.0), 6), decided(make_snapshot(6000.0, waiting=Signal(value=2000.0)), 6)
    assert crowded.replicas > calm.replicas
