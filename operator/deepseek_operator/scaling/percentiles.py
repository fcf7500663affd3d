"""Percentiles of histograms that are summed over replicas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping


def summed(histograms: Iterable[Mapping[float, float]]) -> dict[float, float]:
    """Return one histogram of several; bounds that not all of them have are left out.

    >>> summed([{1.0: 2.0, math.inf: 3.0}, {1.0: 1.0, 5.0: 1.0, math.inf: 1.0}])
    {1.0: 3.0, inf: 4.0}
    """
    parts = list(histograms)
    common = set.intersection(*(set(part) for part in parts)) if parts else set()
    return {bound: sum(part[bound] for part in parts) for bound in sorted(common)}


def percentile(histogram: Mapping[float, float], percent: float) -> float | None:
    """Return the bound that a share of the requests keeps to, spread evenly inside a bucket.

    As PromQL's ``histogram_quantile``: where the share lies above the largest finite bound, that bound is returned.

    Args:
        histogram: requests (or their rate) up to each bound, infinity included.
        percent: 0-100.

    Returns:
        None without requests, or without a bucket for all of them.

    >>> percentile({1.0: 50.0, 2.0: 100.0, math.inf: 100.0}, 75)
    1.5
    """
    bounds = sorted(histogram)
    if not bounds or not math.isinf(bounds[-1]) or histogram[bounds[-1]] <= 0:
        return None
    wanted = histogram[bounds[-1]] * percent / 100
    low, below = 0.0, 0.0
    for bound in bounds:
        count = max(below, histogram[bound])  # rates of single buckets may be off by a scrape
        if count >= wanted:
            if math.isinf(bound):
                return low
            return low + (bound - low) * ((wanted - below) / (count - below) if count > below else 1.0)
        low, below = bound, count
    return low
