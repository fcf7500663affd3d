"""What a batch of queries has told of its pods: one value per pod and measure, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepseek_operator.scaling.promql import AGE, Query
from deepseek_operator.scaling.samples import Row

Pod = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, kw_only=True)
class PodSamples:
    """The answers to one batch, by pod.

    Args:
        queries: that were asked, by measure.
        values: by measure and pod; of a gauge per engine the largest.
        means: of gauges per engine, the mean over a pod's engines.
        buckets: by measure and pod: rate of requests up to each bound, in seconds.
        tokens: what the KV cache of a pod holds.
        ages: seconds since a pod was scraped last.
        stale_seconds: age up to which values are believed.
    """

    queries: Mapping[str, Query]
    values: Mapping[str, Mapping[Pod, float]]
    means: Mapping[str, Mapping[Pod, float]]
    buckets: Mapping[str, Mapping[Pod, Mapping[float, float]]]
    tokens: Mapping[Pod, float] = field(default_factory=dict)
    ages: Mapping[Pod, float] = field(default_factory=dict)
    stale_seconds: float

    def told(self, measure: str, pod: Pod) -> bool:
        """Return whether a pod has a young value of a measure."""
        return pod in self.values.get(measure, {}) or pod in self.buckets.get(measure, {})

    def age(self, pod: Pod) -> float | None:
        """Return the seconds since a pod was scraped; None when that is too long ago to know.

        A pod with values whose last scrape cannot be told was scraped within the age of values.
        """
        if pod in self.ages:
            return self.ages[pod]
        return self.stale_seconds if any(self.told(measure, pod) for measure in self.queries) else None


def pod_samples(queries: Sequence[Query], answers: Mapping[str, Sequence[Row]], stale_seconds: float) -> PodSamples:
    """Return the answers by pod.

    Args:
        queries: of one batch.
        answers: rows by measure.
        stale_seconds: age up to which values are believed.
    """
    values: dict[str, dict[Pod, float]] = {}
    means: dict[str, dict[Pod, float]] = {}
    buckets: dict[str, dict[Pod, dict[float, float]]] = {}
    for query in queries:
        rows = answers.get(query.measure, ())
        if query.measure.endswith("_buckets"):
            buckets[query.measure] = _buckets(rows)
        elif query.measure not in (AGE, "kv_capacity"):
            values[query.measure], means[query.measure] = _by_pod(rows)
    return PodSamples(
        queries={query.measure: query for query in queries},
        values=values,
        means=means,
        buckets=buckets,
        tokens=_tokens(answers.get("kv_capacity", ())),
        ages={_pod(row): max(0.0, row.time - row.value) for row in answers.get(AGE, ())},
        stale_seconds=stale_seconds,
    )


def _pod(row: Row) -> Pod:
    return row.labels.get("namespace", ""), row.labels.get("pod", "")


def _by_pod(rows: Sequence[Row]) -> tuple[dict[Pod, float], dict[Pod, float]]:
    """Return the largest and the mean value of each pod."""
    found: dict[Pod, list[float]] = {}
    for row in rows:
        found.setdefault(_pod(row), []).append(row.value)
    return (
        {pod: max(values) for pod, values in found.items()},
        {pod: sum(values) / len(values) for pod, values in found.items()},
    )


def _buckets(rows: Sequence[Row]) -> dict[Pod, dict[float, float]]:
    found: dict[Pod, dict[float, float]] = {}
    for row in rows:
        try:
            bound = float(row.labels["le"])
        except (KeyError, ValueError):
            continue  # no bucket; nothing counts it
        found.setdefault(_pod(row), {})[bound] = row.value
    return found


def _tokens(rows: Sequence[Row]) -> dict[Pod, float]:
    """Return what the caches of pods hold; the value of a row is the number of engines that say the same.

    Every engine repeats the blocks of all engines and tells its own tokens, where it tells them. Source: vLLM 0.32
    ``v1/engine/core_client.py`` l.851-868.
    """
    found: dict[Pod, float] = {}
    for row in rows:
        own, blocks, size = (
            _number(row.labels.get(name, "")) for name in ("kv_cache_size_tokens", "num_gpu_blocks", "block_size")
        )
        tokens = own * row.value if own else blocks * size
        if tokens > 0:
            found[_pod(row)] = tokens
    return found


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 16 else 0
