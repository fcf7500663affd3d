"""Other ways to choose replicas, for comparison in the simulator: static, HPA, KEDA, and one that knows the future."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from deepseek_operator.scaling.fleet_values import Sample

TOLERANCE = 0.1
"""How far a ratio may be from 1 without a change: ``--horizontal-pod-autoscaler-tolerance``.

This and all that follows of HPA: Kubernetes 1.36 ``pkg/controller/podautoscaler/{horizontal,replica_calculator}.go``
and ``pkg/apis/autoscaling/v2/defaults.go``.
"""

STABILIZATION_SECONDS = 300
"""Scaling down takes the largest recommendation of this time; scaling up takes the newest."""

UP_PODS, UP_FACTOR = 4, 2
"""Most pods that are added in `SYNC_SECONDS`: four, or as many as there are."""

SYNC_SECONDS = 15
"""How often HPA decides."""

WAITING_TARGET = 5.0
"""Requests waiting per pod that an HPA on ``vllm:num_requests_waiting`` is set to; what guides to vLLM propose."""


class ScalingPolicy(Protocol):
    """Something that chooses how many replicas there should be."""

    def replicas(self, samples: Sequence[Sample], now: float, current: int) -> int:
        """Return how many replicas there should be.

        Args:
            samples: scrapes so far that the policy may know, newest last; none while nothing was scraped.
            now: seconds.
            current: that were asked for last.
        """


@dataclass(frozen=True)
class StaticPolicy:
    """Always the same number."""

    count: int

    def replicas(self, samples: Sequence[Sample], now: float, current: int) -> int:
        """Return that number."""
        return self.count


class _Hpa:
    """What HPA does with a recommendation: stabilization downwards, a rate limit upwards."""

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most
        self._recommended: deque[tuple[float, int]] = deque()

    def settle(self, recommended: int, now: float, current: int) -> int:
        """Return the replicas that follow from a recommendation."""
        window = self._recommended
        wanted = min(max(recommended, self._least), self._most)
        if not window:
            window.append((now, current))  # HPA records what runs as its first recommendation
        window.append((now, wanted))
        while window[0][0] < now - STABILIZATION_SECONDS:
            window.popleft()
        if wanted < current:
            wanted = min(current, max(each for _, each in window))
        return min(wanted, max(current + UP_PODS, current * UP_FACTOR))


class KedaInFlightPolicy:
    """KEDA on running and waiting requests, as an external metric with an average value per replica.

    A query without an answer keeps what runs (``ignoreNullValues: "false"``), which is kinder than KEDA's default.
    """

    def __init__(self, target: float, least: int, most: int) -> None:
        """Make it with the requests per replica that it aims at."""
        self._target = target
        self._hpa = _Hpa(least, most)

    def replicas(self, samples: Sequence[Sample], now: float, current: int) -> int:
        """Return what HPA makes of the sum over all replicas."""
        if not samples or now - samples[-1].time > 3 * SYNC_SECONDS:
            return current
        usage = samples[-1].running + samples[-1].waiting
        ratio = usage / (self._target * max(1, current))
        wanted = current if abs(ratio - 1) <= TOLERANCE else math.ceil(usage / self._target)
        return self._hpa.settle(wanted, now, current)


class HpaWaitingPolicy:
    """HPA on waiting requests per pod (a pods metric)."""

    def __init__(self, target: float, least: int, most: int) -> None:
        """Make it with the waiting requests per pod that it aims at."""
        self._target = target
        self._hpa = _Hpa(least, most)

    def replicas(self, samples: Sequence[Sample], now: float, current: int) -> int:
        """Return what HPA makes of the mean over ready pods, pods that start counted as idle before more are added."""
        if not samples or not samples[-1].ready or now - samples[-1].time > 3 * SYNC_SECONDS:
            return current
        newest = samples[-1]
        ratio = newest.waiting / newest.ready / self._target
        wanted = current
        if abs(ratio - 1) > TOLERANCE:
            pods = newest.ready
            if ratio > 1 and newest.starting:
                pods += newest.starting
                ratio = newest.waiting / pods / self._target
            wanted = current if newest.starting and ratio <= 1 + TOLERANCE else math.ceil(ratio * pods)
            if newest.starting and newest.waiting == 0:
                wanted = math.ceil(ratio * pods)
        return self._hpa.settle(wanted, now, current)


class ClairvoyantPolicy:
    """Knows every request in advance: has as many replicas as there will be requests for, when they are needed."""

    def __init__(
        self, in_flight: Sequence[float], step_seconds: float, batch: float, ahead_seconds: float, least: int
    ) -> None:
        """Make it with what will be.

        Args:
            in_flight: load in each step of time when none waits, as requests.
            step_seconds: length of a step.
            batch: requests that it gives to a replica.
            ahead_seconds: how long a replica takes to start; none is stopped that is needed again within twice that.
            least: fewest replicas.
        """
        needed = [max(least, math.ceil(each / batch)) for each in in_flight]
        ahead = math.ceil(ahead_seconds / step_seconds) + 1
        self._up = _window_max(needed, ahead)
        self._keep = _window_max(needed, 2 * ahead)
        self._step = step_seconds

    def replicas(self, samples: Sequence[Sample], now: float, current: int) -> int:
        """Return what will be needed once a replica ordered now serves."""
        place = min(int(now / self._step), len(self._up) - 1)
        if self._up[place] >= current:
            return self._up[place]
        return min(current, self._keep[place])


def _window_max(values: Sequence[int], ahead: int) -> list[int]:
    """Return the largest value of each place and the places after it.

    >>> _window_max([1, 5, 2, 1], 1)
    [5, 5, 2, 1]
    """
    found: list[int] = []
    window: deque[int] = deque()
    for place in range(len(values) - 1, -1, -1):
        while window and values[window[-1]] <= values[place]:
            window.pop()
        window.append(place)
        if window[0] > place + ahead:
            window.popleft()
        found.append(values[window[0]])
    return found[::-1]
