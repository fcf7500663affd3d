"""How long requests took, as counts per bucket: what engines tell, and what may be added over replicas."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Histogram:
    """Requests by duration.

    Args:
        buckets: upper bound in seconds, infinity last, and requests that took at most that long.
    """

    buckets: tuple[tuple[float, int], ...]

    @property
    def total(self) -> int:
        """All requests."""
        return self.buckets[-1][1]

    def surely_above(self, seconds: float) -> int:
        """Return how many requests took longer for certain; those of the bucket that holds the limit are spared."""
        return self.total - next(count for bound, count in self.buckets if bound >= seconds)

    def above(self, seconds: float) -> float:
        """Return about how many requests took longer, spread evenly inside a bucket as ``histogram_quantile`` does."""
        low, below = 0.0, 0
        for bound, count in self.buckets:
            if bound >= seconds:
                inside = 0.0 if math.isinf(bound) else (seconds - low) / (bound - low)
                return self.total - (below + (count - below) * inside)
            low, below = bound, count
        return 0.0


@dataclass(frozen=True, kw_only=True)
class Latency:
    """What engines have served since they started.

    Args:
        ttft: requests by time to the first token.
        tpot: requests by their mean time per further token.
    """

    ttft: Histogram
    tpot: Histogram


def together(parts: Iterable[Latency]) -> Latency | None:
    """Return the latency of several replicas, None of none; of different buckets the common ones are kept."""
    known = list(parts)
    if not known:
        return None
    return Latency(ttft=_sum([each.ttft for each in known]), tpot=_sum([each.tpot for each in known]))


def _sum(parts: list[Histogram]) -> Histogram:
    told = [dict(each.buckets) for each in parts]
    common = sorted(set.intersection(*(set(each) for each in told)))
    return Histogram(tuple((bound, sum(each[bound] for each in told)) for bound in common))
