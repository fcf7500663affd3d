"""Reading latency from the metrics page of an engine: how many requests took how long.

Pure: text in, value out. The page comes from a pod, so nothing on it is believed before it is checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

from deepseek_operator.errors import EngineMetricsError, shortened
from deepseek_operator.scaling.latency import Histogram, Latency

TTFT_METRIC = "vllm:time_to_first_token_seconds"
TPOT_METRIC = "vllm:request_time_per_output_token_seconds"
"""Histograms; the second counts each request's mean once. Source: vLLM 0.32 ``v1/metrics/loggers.py``."""

MAX_SERIES = 65_536
"""Buckets of one histogram over all engines of a replica; vLLM 0.32 has 23 and 20 per engine."""

MAX_COUNT = 2**53 - 1
"""Largest number that is believed; every JSON reader keeps it exact (RFC 8259, section 6)."""


def latency(page: str) -> Latency:
    """Return the latency that a metrics page tells of, all engines of the replica together.

    Args:
        page: Prometheus text format; only lines of the two histograms are parsed.

    Raises:
        EngineMetricsError: the page does not hold a histogram, or holds it with values that cannot be.
    """
    return Latency(ttft=_histogram(page, TTFT_METRIC), tpot=_histogram(page, TPOT_METRIC))


def _histogram(page: str, metric: str) -> Histogram:
    lines = [line for line in page.split("\n") if line.startswith(metric + "_bucket{")]
    if not lines:
        raise EngineMetricsError(f"the page does not hold {metric}; it is no page of vLLM, or of an old release")
    if len(lines) > MAX_SERIES:
        raise EngineMetricsError(f"the page holds {metric} {len(lines)} times; at most {MAX_SERIES} are read")
    counts: dict[float, int] = {}
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                bound = _bound(sample.labels)
                counts[bound] = counts.get(bound, 0) + _count(sample.value)
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise EngineMetricsError(f"{metric} cannot be read: {shortened(str(error))}") from error
    buckets = tuple(sorted(counts.items()))
    rising = all(before[1] <= after[1] for before, after in pairwise(buckets))
    if not buckets or not math.isinf(buckets[-1][0]) or not rising:
        raise EngineMetricsError(f"{metric} is no histogram: its buckets do not rise to +Inf")
    return Histogram(buckets)


def _bound(labels: Mapping[str, str]) -> float:
    bound = float(labels["le"])
    if math.isnan(bound) or bound <= 0:
        raise ValueError(f"a bucket ends at {bound}")
    return bound


def _count(value: float) -> int:
    if not 0 <= value <= MAX_COUNT or value != int(value):
        raise ValueError(f"a bucket holds {value} requests")
    return int(value)
