"""The load that is to be expected when a replica that is ordered now begins to serve.

Requests in flight are work that has begun: they make ``G`` tokens per second now. Arrivals make ``rate x length``
tokens per second in the long run. The first goes to the second as answers end, within about one answer's time ``S``:
``G(t + h) = G_arrivals + (G - G_arrivals) x exp(-h / S)``. Where answers take minutes, arrivals lead the load by
minutes. The mean length is that of all tokens over all requests of the last 20 minutes, so it does not wait for long
answers to end. Source: the fluid limit of an infinite-server queue with exponential service (S. G. Eick, W. A. Massey,
W. Whitt, "The physics of the Mt/G/inf queue", Operations Research 41, 1993).

What may come on top of it is `expected_peak`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepseek_operator.scaling.history import History, Observation

RATE_WINDOWS_SECONDS = (120.0, 300.0, 600.0)
"""Arrivals are taken over the longest of these that does not differ from a shorter one by more than chance."""

SIGNIFICANT = 3.0
"""Standard deviations of a Poisson count beyond which the longer window is taken to hold another rate (bursty traffic
has about half as much again, so that this is two of its own)."""

PLANNED_WEIGHT = 0.1
"""How much the planned length of answers counts beside measured ones: like an observation of 0.1 requests/s."""

COUNTED_SECONDS = 60.0
"""Time that a measured rate is the mean of."""

RESERVE_AT_TWO_MINUTES = 0.7
RESERVE_POWER = 0.58
"""Reserve over the forecast: by ``0.7 x (start-up / 120 s)^0.58``, chosen in the benchmark of docs/scaling.md.

A load that jumps is served badly from the jump until new replicas serve, so what a jump costs grows with the start-up.
"""

LEAST_RESERVE = 1.15
"""Reserve that stays at the peak of the day, for bursts."""

ABOVE_THE_PEAK = 1.05
"""How far above the highest five minutes of the last day is prepared for, once the load has shown its swing."""


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


def forecast(now_tokens: float, arriving_tokens: float, ahead_seconds: float, answer: float) -> float:
    """Return the highest tokens per second to expect within a time, see the module.

    >>> round(forecast(1000, 3000, 120, 120))
    2264
    >>> forecast(3000, 1000, 120, 120)
    3000
    """
    later = arriving_tokens + (now_tokens - arriving_tokens) * math.exp(-ahead_seconds / answer)
    return max(now_tokens, later)


def reserve_factor(start_seconds: float) -> float:
    """Return how many times the forecast is prepared for while nothing is known of the load's peak.

    >>> round(reserve_factor(120), 2), round(reserve_factor(600), 2)
    (1.7, 2.78)
    """
    return 1.0 + RESERVE_AT_TWO_MINUTES * math.pow(start_seconds / 120.0, RESERVE_POWER)


def expected_peak(expected: float, factor: float, history: History) -> float:
    """Return the tokens per second to be prepared for.

    A load may jump by ``factor`` until a new replica serves. Once the last day has shown a swing of that size, the load
    is taken to have shown its peak too, and no more is prepared for than a little above it.

    Args:
        expected: the forecast.
        factor: of `reserve_factor`.
        history: with the loads of the last day.
    """
    low, peak = history.swing()
    wanted = expected * factor
    if peak >= factor * low:
        wanted = min(wanted, peak * ABOVE_THE_PEAK)
    return max(wanted, expected * LEAST_RESERVE)
