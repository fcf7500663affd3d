"""The load that is to be expected when a replica that is ordered now begins to serve.

Where requests in flight become more, fewer of them end than come; they go on becoming more until as many end as come,
which takes about the time ``A`` for which the running ones have run, since that is as long as they will still run:
``N(t + h) = N + dN/dt x A x (1 - exp(-h / A))``. It holds whether more requests come or their answers become longer,
and needs no guess of either; a growth that chance explains counts for nothing. Source: the fluid limit of an
infinite-server queue with exponential service (S. G. Eick, W. A. Massey, W. Whitt, "The physics of the Mt/G/inf
queue", Operations Research 41, 1993).

What may come on top of it is `expected_peak`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepseek_operator.scaling.history import History, Observation

RATE_WINDOWS_SECONDS = (120.0, 300.0, 600.0)
"""Arrivals are taken over the longest of these that does not differ from a shorter one by more than chance."""

SIGNIFICANT = 3.0
"""Standard deviations of a Poisson count beyond which a rate or a growth is taken for another one (bursty traffic has
about half as much again, so that this is two of its own)."""

PLANNED_WEIGHT = 0.1
"""How much the planned length of answers counts beside measured ones: like an observation of 0.1 requests/s."""

GROWTH_SECONDS = 60.0
"""Time over which the growth of requests in flight is taken."""

COUNTED_SECONDS = 60.0
"""Time that a measured rate is the mean of."""

RESERVE_AT_TWO_MINUTES = 0.7
RESERVE_POWER = 0.82
"""Reserve over the load: by ``0.7 x (start-up / 120 s)^0.82``, chosen in the benchmark of docs/scaling.md, on the
clients that tuning may see.

A load that jumps is served badly from the jump until new replicas serve, so what a jump costs grows with the start-up.
"""

LEAST_RESERVE = 1.2
"""Reserve that stays at the peak of the day, for bursts."""

CALM_HALF_LIFE_SECONDS = 21600.0
"""Half of a jump that was never seen is prepared for once the load is known for so long, a quarter after twice that.

This and `RARE_SHARE` of the history are the cheapest that kept 99 % of requests within the service level with starts of
600 s on the clients that tuning may see, all of them and those without the largest (docs/scaling.md).
"""

ABOVE_JUMPS = 1.1
"""How far above the jumps that were seen is prepared for."""

ABOVE_THE_PEAK = 1.2
"""How far above the highest five minutes of the last days is prepared for, once the load has shown its swing."""


def answer_seconds(mean_tokens: float, seconds_per_token: float) -> float:
    """Return how long an answer takes, at least a second."""
    return max(1.0, mean_tokens * seconds_per_token)


def steady_arrivals(newest: float, past: Sequence[Observation], now: float) -> float:
    """Return the arrivals per second, over as long a time as they seem to have been steady.

    Args:
        newest: measured over the last minute.
        past: earlier observations, oldest first.
        now: seconds.
    """
    rate = newest
    for window in RATE_WINDOWS_SECONDS:
        if not past or past[0].time > now - window:
            break
        rates = [each.arrivals_per_second for each in past if each.time >= now - window]
        mean = (sum(rates) + newest) / (len(rates) + 1)
        if abs(mean - rate) > SIGNIFICANT * math.sqrt(max(mean, rate) / COUNTED_SECONDS):
            break
        rate = mean
    return rate


def arrivals(starts: float, waiting: float, past: Sequence[Observation], now: float) -> float:
    """Return the requests per second that come: those that start, and those by which the waiting ones become more.

    Args:
        starts: requests per second that got their first token in the last minute.
        waiting: requests now.
        past: earlier observations, oldest first.
        now: seconds.
    """
    before = next((each for each in past if each.time >= now - COUNTED_SECONDS), None)
    if before is None or now <= before.time:
        return starts
    return max(0.0, starts + (waiting - before.waiting) / (now - before.time))


def mean_tokens(tokens: float, starts: float, past: Sequence[Observation], planned: float) -> float:
    """Return the tokens of a mean answer: all tokens over all requests that started and are remembered, at least 1.

    Args:
        tokens: per second now.
        starts: requests per second now.
        past: earlier observations.
        planned: length that the plan reckons with; counts like `PLANNED_WEIGHT` of a request per second.
    """
    tokens += sum(each.tokens_per_second for each in past)
    requests = starts + sum(each.starts_per_second for each in past)
    return max(1.0, (tokens + planned * PLANNED_WEIGHT) / (requests + PLANNED_WEIGHT))


def growth(newest: Observation, past: Sequence[Observation]) -> float:
    """Return by what share of themselves the requests in flight grow per second; 0 while it may be chance.

    Args:
        newest: the newest observation.
        past: earlier ones, oldest first.
    """
    before = next((each for each in past if each.time >= newest.time - GROWTH_SECONDS), None)
    if before is None or newest.in_flight <= 0:
        return 0.0
    more = newest.in_flight - before.in_flight
    if more < SIGNIFICANT * math.sqrt(newest.in_flight + before.in_flight):
        return 0.0
    return more / newest.in_flight / (newest.time - before.time)


def forecast(
    now_tokens: float, growth_per_second: float, ahead_seconds: float, age: float, most: float = math.inf
) -> float:
    """Return the highest tokens per second to expect within a time, see the module.

    Args:
        now_tokens: tokens per second now.
        growth_per_second: by what share of themselves the requests in flight grow.
        ahead_seconds: length of that time.
        age: seconds for which the running requests have run.
        most: tokens per second of the running requests and of those that come within ``age``; where requests wait,
            fewer end than would, so they grow longer than the law reckons with.

    >>> round(forecast(1000, 0.01, 120, 60))
    1519
    >>> forecast(3000.0, 0.0, 120, 120)
    3000.0
    >>> forecast(1000, 0.01, 120, 60, most=1200), forecast(1000, 0.01, 120, 60, most=900)
    (1200, 1000)
    """
    grown = now_tokens * (1.0 + growth_per_second * age * (1.0 - math.exp(-ahead_seconds / age)))
    return max(now_tokens, min(most, grown))


def reserve_factor(start_seconds: float) -> float:
    """Return how many times the load is prepared for while nothing is known of its peak.

    >>> round(reserve_factor(120), 2), round(reserve_factor(600), 2)
    (1.7, 3.62)
    """
    return 1.0 + RESERVE_AT_TWO_MINUTES * math.pow(start_seconds / 120.0, RESERVE_POWER)


def expected_peak(steady: float, expected: float, start_seconds: float, history: History) -> float:
    """Return the tokens per second to be prepared for.

    A load that nobody knows yet may jump by `reserve_factor` until a new replica serves. The longer it is known, the
    more do the jumps count that it has shown (`History.risen`) in place of that; what is learned takes effect when the
    load falls, so that it stops no replica which a load that goes on rising would need again. Never is more prepared
    for than so many times the low of the last days, or a little above the highest load that it rose to by as much: what
    has swung has shown how far. Nor is more prepared for than was before a restart (`History.inherited`). A jump that
    has begun shows in the forecast, and is prepared for as far as it shows.

    Args:
        steady: tokens per second of the last minutes.
        expected: the forecast.
        start_seconds: until a new replica serves.
        history: with the loads of the last days.
    """
    factor = reserve_factor(start_seconds)
    unknown = math.pow(0.5, history.calm_seconds / CALM_HALF_LIFE_SECONDS)
    shown = min(steady * factor, history.risen(steady, start_seconds) * ABOVE_JUMPS)
    jump = unknown * steady * factor + (1.0 - unknown) * shown
    if history.inherited is not None:
        jump = min(jump, history.inherited.most(steady))
    low, peak = history.swing(factor)
    return max(min(jump, max(low * factor, peak * ABOVE_THE_PEAK)), expected * LEAST_RESERVE)
