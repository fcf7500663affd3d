"""Memory pressure as a state machine: pure; it says when to alert, when to take a stronger format and when to go back.

Engines reserve nearly all device memory for the KV cache, so a full device is normal and says nothing. Pressure is: the
KV cache is full *and* requests wait or are preempted, for long enough, *and* no replica can be added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from deepseek_operator.scaling.readings import Readings

COOLDOWN_SECONDS = 1800.0
"""Between two steps, and after a start of the operator: a rollout takes up to a start-up per replica, and only the load
after it tells whether it was enough."""

RELIEF_SECONDS = 3600.0
"""How long the milder format must have sufficed before it is taken again: a step back is another rollout."""

RELIEF_SHARE = 0.8
"""Of the threshold that the usage, counted in the milder format's cache, must stay below meanwhile."""

PAUSE_SECONDS = 75.0
"""Without signs that do not end pressure: usage swings about the threshold under preemption (two rounds)."""

HEADROOM_FRACTION = 0.99
"""Of the device's memory in use at which what lies outside of the engine's budget is nearly gone; alert only."""


class PressureReason(StrEnum):
    """Reason of the MemoryPressure condition."""

    NONE = "NoPressure"
    FULL = "KvCacheFull"
    QUANTIZING = "Quantizing"
    LAST_RUNG = "NoFurtherFormat"
    HEADROOM = "GpuHeadroomLow"
    UNKNOWN = "NotMeasured"


class Direction(StrEnum):
    """Where a step goes."""

    DOWN = "Down"
    UP = "Up"


@dataclass(frozen=True, kw_only=True)
class PressureRule:
    """What the owner asks.

    Args:
        kv_cache_fraction: usage that counts, 0-1.
        for_seconds: how long.
        quantizes: whether a stronger format is taken.
        cooldown_seconds: between two steps, and before the first.
        relief_seconds: how long the milder format must have sufficed.
    """

    kv_cache_fraction: float
    for_seconds: float
    quantizes: bool
    cooldown_seconds: float = COOLDOWN_SECONDS
    relief_seconds: float = RELIEF_SECONDS


@dataclass(frozen=True, kw_only=True)
class PressureView:
    """What is seen at one moment.

    Args:
        readings: of the replicas.
        blocked: why no replica can be added, in words; empty when one can.
        rolling: whether replicas are being replaced or started, so that nothing is judged.
        has_lower: whether a stronger format would make the cache larger.
        cache_ratio: tokens that the cache holds now over those that it would hold in the milder format; None when
            the milder format is not known, or when what the owner asked runs.
    """

    readings: Readings
    blocked: str = ""
    rolling: bool = False
    has_lower: bool = False
    cache_ratio: float | None = None


@dataclass(frozen=True, kw_only=True)
class Pressure:
    """What is remembered of one object.

    Args:
        began: when it was first looked at, or when the last step was taken: no step before the cooldown is over.
        since: when unbroken signs began; None without.
        seen: when they were seen last.
        relieved_since: since when the milder format would suffice; None while it would not.
        headroom_since: since when the device is nearly full.
        reason: what the condition says.
        message: and its sentence, which stays while the reason does.
        step: that is to be taken; None for none.
    """

    began: float
    since: float | None = None
    seen: float = 0.0
    relieved_since: float | None = None
    headroom_since: float | None = None
    reason: PressureReason = PressureReason.NONE
    message: str = ""
    step: Direction | None = None

    @property
    def holds(self) -> bool | None:
        """Status of the condition; None while it cannot be told."""
        return None if self.reason is PressureReason.UNKNOWN else self.reason is not PressureReason.NONE


def next_pressure(before: Pressure, view: PressureView, rule: PressureRule, now: float) -> Pressure:
    """Return the state after one more look.

    Args:
        before: the state; ``Pressure(began=now)`` for an object that is new.
        view: what is seen.
        rule: what the owner asks.
        now: seconds, never before that of the look before.
    """
    if not view.readings.kv_cache_used_fraction.present:
        return _unseen(before, rule, now)
    state = replace(_timed(before, view, rule, now), step=None)
    if view.rolling:
        return replace(state, since=None, relieved_since=None)
    if state.since is not None and now - state.since >= rule.for_seconds and view.blocked:
        return _pressed(state, view, rule, now)
    state = _calm(state, rule, now)
    return replace(state, step=Direction.UP) if _may_go_up(state, view, rule, now) else state


def stepped(state: Pressure, now: float) -> Pressure:
    """Return the state after a step was taken: everything is judged anew, after the cooldown."""
    return Pressure(began=now, seen=now, reason=state.reason, message=state.message)


def _unseen(before: Pressure, rule: PressureRule, now: float) -> Pressure:
    """Return the state without readings: no time counts, and what was told stays for a while."""
    if before.seen and now - before.seen <= max(rule.for_seconds, PAUSE_SECONDS):
        return replace(before, since=None, relieved_since=None, headroom_since=None)
    return replace(
        before,
        since=None,
        relieved_since=None,
        headroom_since=None,
        step=None,
        reason=PressureReason.UNKNOWN,
        message="the usage of the KV cache cannot be read, so memory pressure is not known",
    )


def _timed(before: Pressure, view: PressureView, rule: PressureRule, now: float) -> Pressure:
    """Return the state with the times since when signs, relief and a full device last."""
    readings = view.readings
    usage = readings.kv_cache_used_fraction.value
    suffers = any(signal.present and signal.value > 0 for signal in (readings.waiting, readings.preemptions_per_second))
    pressed = usage >= rule.kv_cache_fraction and suffers
    since = before.since
    if pressed:
        since, seen = (now if since is None else since), now
    else:
        seen = before.seen if since is not None else now
        since = None if now - seen > PAUSE_SECONDS else since
    relieved = (
        view.cache_ratio is not None
        and not suffers
        and usage * view.cache_ratio <= RELIEF_SHARE * rule.kv_cache_fraction
    )
    device = readings.gpu_memory_used_fraction
    full = device.present and device.value >= HEADROOM_FRACTION
    return replace(
        before,
        since=since,
        seen=seen,
        relieved_since=_kept(before.relieved_since, now) if relieved else None,
        headroom_since=_kept(before.headroom_since, now) if full else None,
    )


def _kept(since: float | None, now: float) -> float:
    return now if since is None else since


def _pressed(state: Pressure, view: PressureView, rule: PressureRule, now: float) -> Pressure:
    readings = view.readings
    why = (
        f"the KV cache is {readings.kv_cache_used_fraction.value:.0%} full and "
        f"{_suffering(readings)} for {rule.for_seconds:.0f} s, and no replica can be added: {view.blocked}"
    )
    if not rule.quantizes:
        return _told(state, PressureReason.FULL, why)
    if not view.has_lower:
        return _told(state, PressureReason.LAST_RUNG, f"{why}; no stronger format is allowed that makes it larger")
    if state.seen < now:
        return state if state.holds else _told(state, PressureReason.FULL, why)  # a pause: no step rests on it
    if now - state.began < rule.cooldown_seconds:
        return _told(state, PressureReason.FULL, f"{why}; a stronger format is taken once the last change has settled")
    told = _told(state, PressureReason.QUANTIZING, f"{why}; the next stronger format is rolled out")
    return replace(told, step=Direction.DOWN)


def _told(state: Pressure, reason: PressureReason, message: str) -> Pressure:
    """Return the state with a reason; its sentence stays while the reason does, so that a status is written once."""
    return state if state.reason is reason else replace(state, reason=reason, message=message)


def _suffering(readings: Readings) -> str:
    if readings.waiting.present and readings.waiting.value > 0:
        return f"{readings.waiting.value:,.0f} requests wait"
    return "requests are preempted"


def _calm(state: Pressure, rule: PressureRule, now: float) -> Pressure:
    """Return the state without pressure, with what DCGM tells: only of memory outside of the engine's budget."""
    if state.headroom_since is None or now - state.headroom_since < rule.for_seconds:
        return replace(state, reason=PressureReason.NONE, message="")
    return _told(
        state,
        PressureReason.HEADROOM,
        f"{HEADROOM_FRACTION:.0%} or more of a GPU's memory is in use, so that nearly nothing is left outside of the "
        "engine's budget; lower engine.gpuMemoryUtilizationPercent, or look who else uses the GPU",
    )


def _may_go_up(state: Pressure, view: PressureView, rule: PressureRule, now: float) -> bool:
    return (
        rule.quantizes
        and view.cache_ratio is not None
        and state.relieved_since is not None
        and now - state.relieved_since >= rule.relief_seconds
        and now - state.began >= rule.cooldown_seconds
    )
