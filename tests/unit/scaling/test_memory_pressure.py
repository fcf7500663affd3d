"""Memory pressure: what counts, what is told, and when a step is due."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.scaling.memory_pressure import (
    COOLDOWN_SECONDS,
    RELIEF_SECONDS,
    Direction,
    Pressure,
    PressureReason,
    PressureRule,
    PressureView,
    next_pressure,
    stepped,
)
from deepseek_operator.scaling.readings import Readings
from deepseek_operator.scaling.signals import ABSENT, Signal

ALERT = PressureRule(kv_cache_fraction=0.9, for_seconds=120, quantizes=False)
QUANTIZE = replace(ALERT, quantizes=True)
NEW = Pressure(began=0)
BLOCKED = "scaling.maxReplicas allows 2"
FULL = (
    "the KV cache is 97% full and 3 requests wait for 120 s, and no replica can be added: scaling.maxReplicas allows 2"
)


def readings(usage: float = 0.97, waiting: float = 3, preemptions: float = 0, device: float = 0.93) -> Readings:
    return Readings(
        kv_cache_used_fraction=Signal(value=usage),
        waiting=Signal(value=waiting),
        preemptions_per_second=Signal(value=preemptions),
        gpu_memory_used_fraction=Signal(value=device),
    )


PRESSED = PressureView(readings=readings(), blocked=BLOCKED, has_lower=True)
CALM = PressureView(readings=readings(0.5, 0))


def looked(view: PressureView, rule: PressureRule, seconds: float, state: Pressure = NEW, start: float = 0) -> Pressure:
    """Return the state after looks every 30 s at the same view."""
    at = start
    while at <= start + seconds:
        state = next_pressure(state, view, rule, at)
        at += 30
    return state


@pytest.mark.parametrize(
    ("view", "rule", "seconds", "reason", "message", "step"),
    [
        pytest.param(PRESSED, ALERT, 90, PressureReason.NONE, "", None, id="not for long enough"),
        pytest.param(PRESSED, ALERT, 120, PressureReason.FULL, FULL, None, id="an alert"),
        pytest.param(
            replace(PRESSED, readings=readings(waiting=0, preemptions=0.2)), ALERT, 120, PressureReason.FULL,
            FULL.replace("3 requests wait", "requests are preempted"), None, id="preemptions",
        ),
        pytest.param(replace(PRESSED, blocked=""), ALERT, 600, PressureReason.NONE, "", None, id="one can be added"),
        pytest.param(
            replace(PRESSED, readings=readings(waiting=0)), ALERT, 600, PressureReason.NONE, "", None,
            id="a full cache alone is what an engine wants",
        ),
        pytest.param(
            replace(PRESSED, readings=readings(0.89)), ALERT, 600, PressureReason.NONE, "", None, id="not full"
        ),
        pytest.param(replace(PRESSED, rolling=True), QUANTIZE, 7200, PressureReason.NONE, "", None, id="rolling"),
        pytest.param(
            PRESSED, QUANTIZE, 600, PressureReason.FULL,
            f"{FULL}; a stronger format is taken once the last change has settled", None, id="too soon",
        ),
        pytest.param(
            PRESSED, QUANTIZE, COOLDOWN_SECONDS, PressureReason.QUANTIZING,
            f"{FULL}; the next stronger format is rolled out", Direction.DOWN, id="a step down",
        ),
        pytest.param(
            replace(PRESSED, has_lower=False), QUANTIZE, COOLDOWN_SECONDS, PressureReason.LAST_RUNG,
            f"{FULL}; no stronger format is allowed that makes it larger", None, id="the end of the ladder",
        ),
        pytest.param(
            PressureView(readings=replace(readings(), kv_cache_used_fraction=ABSENT), blocked=BLOCKED), QUANTIZE, 600,
            PressureReason.UNKNOWN, "the usage of the KV cache cannot be read, so memory pressure is not known", None,
            id="nothing is read",
        ),
        pytest.param(
            replace(CALM, readings=readings(0.5, 0, device=0.995)), ALERT, 120, PressureReason.HEADROOM,
            "99% or more of a GPU's memory is in use, so that nearly nothing is left outside of the engine's budget; "
            "lower engine.gpuMemoryUtilizationPercent, or look who else uses the GPU", None, id="a device that is full",
        ),
        pytest.param(
            replace(CALM, cache_ratio=1.4), QUANTIZE, RELIEF_SECONDS, PressureReason.NONE, "", Direction.UP,
            id="a step up",
        ),
        pytest.param(
            replace(CALM, cache_ratio=1.5), QUANTIZE, 3 * RELIEF_SECONDS, PressureReason.NONE, "", None,
            id="no step up that the milder format would not bear",
        ),
        pytest.param(
            replace(CALM, cache_ratio=1.4), ALERT, RELIEF_SECONDS, PressureReason.NONE, "", None, id="only alerts"
        ),
    ],
)  # fmt: skip
def test_what_is_told_and_done(
    view: PressureView, rule: PressureRule, seconds: float, reason: PressureReason, message: str, step: Direction | None
) -> None:
    state = looked(view, rule, seconds)
    assert (state.reason, state.message, state.step) == (reason, message, step)


def test_a_dip_while_requests_are_preempted_ends_nothing_and_a_pause_does() -> None:
    state = looked(PRESSED, ALERT, 120)
    dip = next_pressure(state, replace(PRESSED, readings=readings(0.85)), ALERT, 150)
    assert dip.reason is PressureReason.FULL
    assert looked(CALM, ALERT, 60, state, start=150).reason is PressureReason.NONE


def test_the_sentence_stays_while_the_reason_does() -> None:
    state = looked(PRESSED, ALERT, 120)
    worse = replace(PRESSED, readings=readings(1.0, 40))
    assert looked(worse, ALERT, 300, state, start=150).message == FULL


def test_a_scrape_gap_changes_nothing_and_counts_for_nothing() -> None:
    gap = PressureView(readings=Readings(), blocked=BLOCKED, has_lower=True)
    state = looked(PRESSED, QUANTIZE, 90)
    after = looked(gap, QUANTIZE, 60, state, start=120)
    assert (after.reason, after.since, after.step) == (PressureReason.NONE, None, None)
    assert looked(PRESSED, ALERT, 90, after, start=210).reason is PressureReason.NONE


def test_after_a_step_everything_is_judged_anew() -> None:
    state = looked(PRESSED, QUANTIZE, COOLDOWN_SECONDS)
    after = stepped(state, COOLDOWN_SECONDS + 10)
    assert (after.since, after.relieved_since, after.step) == (None, None, None)
    again = looked(PRESSED, QUANTIZE, COOLDOWN_SECONDS - 60, after, start=COOLDOWN_SECONDS + 40)
    assert again.step is None


def test_the_condition_tells_whether_it_is_known() -> None:
    holds = [replace(NEW, reason=reason).holds for reason in PressureReason]
    assert holds == [False, True, True, True, True, None]
