"""The load to expect, from one snapshot and what is remembered: what runs, what comes, and what becomes of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deepseek_operator.scaling.forecast import (
    answer_seconds,
    arrivals,
    forecast,
    growth,
    mean_tokens,
    steady_arrivals,
)
from deepseek_operator.scaling.history import History, Observation
from deepseek_operator.scaling.replica_capacity import Load, ReplicaCapacity
from deepseek_operator.scaling.signals import Snapshot

CORRECTION_WEIGHT = 0.03
LEAST_CORRECTION, MOST_CORRECTION = 0.5, 2.5
"""How fast a measured step corrects the planned one (half of it in 6 minutes), and how far."""

LEAST_BATCH_MEASURED = 2.0
"""Requests per replica below which a measured step says nothing of a loaded one."""

MOST_READING = 0.9
"""Share of time that replicas are taken to read prompts at most, where a decode step is computed beside it."""


@dataclass(frozen=True, kw_only=True)
class ExpectedLoad:
    """What one snapshot leads to expect.

    Args:
        load: that is expected within the time looked ahead.
        measured: tokens per second of the requests in flight now.
        steady: tokens per second of the last minutes, with those of requests that wait.
    """

    load: Load
    measured: float
    steady: float


@dataclass(frozen=True, kw_only=True)
class _Running:
    """The requests in the batches: how many, their tokens per second together, their mean cached tokens."""

    requests: float
    tokens_per_second: float
    context: float


@dataclass(frozen=True, kw_only=True)
class _Coming:
    """The requests that come: per second, tokens of an answer and of a prompt, seconds to read one, and to answer.

    ``age_seconds`` is for how long the running ones have run.
    """

    per_second: float
    answer_tokens: float
    prompt_tokens: float
    prompt_work: float
    age_seconds: float


def expected_load(
    snapshot: Snapshot,
    capacity: ReplicaCapacity,
    history: History,
    now: float,
    *,
    ahead_seconds: float,
    output_tokens: float,
    steady_seconds: float,
) -> tuple[History, ExpectedLoad]:
    """Return the load to expect, and the history with what was seen.

    Args:
        snapshot: what is measured; the signals that decide are present.
        capacity: of one replica, as planned.
        history: of the decision before.
        now: seconds.
        ahead_seconds: until a replica that is ordered now serves.
        output_tokens: mean length of an answer, assumed until some were seen.
        steady_seconds: time over which the load is taken for steady.
    """
    past = history.observations
    history, running = _running(snapshot, capacity, history)
    coming = _coming(snapshot, capacity, running, past, now, output_tokens)
    more = _more(snapshot, running, coming)
    seen = _seen(snapshot, running, coming, now)
    history = history.with_observation(seen)
    recent = history.since(now - steady_seconds)
    steady = sum(each.offered_tokens_per_second for each in recent) / len(recent)
    reading = sum(each.prompt_work for each in recent) / len(recent)
    rate = steady_arrivals(coming.per_second, past, now)
    load = Load(
        tokens_per_second=_expected(seen, past, running, coming, ahead_seconds, steady),
        prompts_per_second=rate,
        prompt_work=max(reading, rate * coming.prompt_work) * more,
        context_tokens=running.context,
        newcomer_tokens=min(running.context, coming.prompt_tokens),
        answer_tokens=coming.answer_tokens,
    )
    return history, ExpectedLoad(load=load, measured=running.tokens_per_second, steady=steady)


def _waiting(snapshot: Snapshot) -> float:
    return snapshot.waiting.value if snapshot.waiting.present else 0.0


def _held_up(snapshot: Snapshot, coming: _Coming) -> float:
    """Return the waiting requests that would run if there were room."""
    return min(_waiting(snapshot), coming.per_second * coming.age_seconds)


def _more(snapshot: Snapshot, running: _Running, coming: _Coming) -> float:
    """Return how many times as many requests would run if there were room for those that wait."""
    held_up = _held_up(snapshot, coming)
    return (running.requests + held_up) / running.requests if running.requests > 0 else 1.0


def _seen(snapshot: Snapshot, running: _Running, coming: _Coming, now: float) -> Observation:
    measured = running.tokens_per_second
    return Observation(
        time=now,
        tokens_per_second=measured,
        offered_tokens_per_second=measured * _more(snapshot, running, coming),
        arrivals_per_second=coming.per_second,
        starts_per_second=snapshot.starts_per_second.value,
        waiting=_waiting(snapshot),
        in_flight=running.requests + _held_up(snapshot, coming),
        prompt_work=snapshot.prompt_work.value,
    )


def _running(snapshot: Snapshot, capacity: ReplicaCapacity, history: History) -> tuple[History, _Running]:
    """Return what runs, and the history with the correction of a decode step."""
    pace, work = snapshot.seconds_per_token.value, snapshot.prompt_work.value
    measured, ready = snapshot.tokens_per_second.value, max(1, snapshot.ready)
    by_little = min(measured * pace, float(ready * capacity.limits.batch))
    running = snapshot.running.value if snapshot.running.present else by_little
    context = max(1.0, snapshot.cached_tokens.value / max(1.0, running))
    busy = min(MOST_READING, work / ready)
    history = _corrected(history, capacity, running / ready, busy, context, pace)
    known = replace(capacity, step_factor=history.step_factor)
    if snapshot.running.present and running > 0:
        measured = running / known.tpot(running / ready, busy, context)
    return history, _Running(requests=running, tokens_per_second=measured, context=context)


def _corrected(
    history: History, capacity: ReplicaCapacity, batch: float, busy: float, context: float, pace: float
) -> History:
    """Return the history with the correction of a decode step moved towards what is measured.

    The first one after a restart is taken whole: what was corrected before is not known any more.
    """
    if batch < LEAST_BATCH_MEASURED or pace <= 0:
        return history
    planned = replace(capacity, step_factor=1.0).tpot(batch, busy, context)
    ratio = min(MOST_CORRECTION, max(LEAST_CORRECTION, pace / planned))
    if history.restored is not None:
        return replace(history, step_factor=ratio)
    return replace(history, step_factor=history.step_factor + CORRECTION_WEIGHT * (ratio - history.step_factor))


def _coming(
    snapshot: Snapshot,
    capacity: ReplicaCapacity,
    running: _Running,
    past: Sequence[Observation],
    now: float,
    output_tokens: float,
) -> _Coming:
    work, starts = snapshot.prompt_work.value, snapshot.starts_per_second.value
    length = mean_tokens(running.tokens_per_second, starts, past, output_tokens)
    requests = starts + sum(each.starts_per_second for each in past)
    prompt_work = (work + sum(each.prompt_work for each in past)) / requests if requests > 0 else 0.0
    prompt = capacity.prompt_tokens(prompt_work)
    return _Coming(
        per_second=arrivals(starts, _waiting(snapshot), past, now),
        answer_tokens=length,
        prompt_tokens=prompt,
        prompt_work=prompt_work,
        age_seconds=answer_seconds(max(length / 2, running.context - prompt), snapshot.seconds_per_token.value),
    )


def _expected(
    seen: Observation,
    past: Sequence[Observation],
    running: _Running,
    coming: _Coming,
    ahead_seconds: float,
    steady: float,
) -> float:
    """Return the tokens per second to expect; the steady ones while requests in flight do not grow."""
    rising = growth(seen, past)
    if rising <= 0:
        return steady
    most = running.tokens_per_second
    if running.requests > 0:
        most *= 1.0 + coming.per_second * coming.age_seconds / running.requests
    return forecast(seen.offered_tokens_per_second, rising, ahead_seconds, coming.age_seconds, most)
