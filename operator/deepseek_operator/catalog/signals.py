"""Metrics that scaling reads, by engine and release: names, units and what is plausible."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from deepseek_operator.catalog.data_files import read_json


class Reads(StrEnum):
    """How a metric is read."""

    RATE = "rate"
    """Growth of a counter per second, all engines of a pod together."""
    SUM = "sum"
    """A gauge, all engines of a pod together."""
    EACH = "each"
    """A gauge of every engine, or of every GPU, by itself."""
    SLOPE = "slope"
    """Growth of a gauge per second."""
    BUCKETS = "buckets"
    """Growth of a histogram's buckets per second."""
    LABELS = "labels"
    """An information metric; the facts are its labels."""


@dataclass(frozen=True, kw_only=True)
class SignalMetric:
    """One metric of one engine.

    Args:
        engine: ``vllm``, ``triton``, ``dcgm`` or ``gateway``.
        measure: what it measures, the same word for every engine.
        metric: name of the series, as the engine writes it.
        reads: how it is read.
        unit: of its values.
        labels: that select the series, beside those of the pod.
        since: first release with this name; empty for any.
        before: first release without it; empty for none.
        optional: whether its absence is no problem.
        source: where it was read.
    """

    engine: str
    measure: str
    metric: str
    reads: Reads
    unit: str
    labels: tuple[tuple[str, str], ...]
    since: str
    before: str
    optional: bool
    source: str

    def exported_by(self, release: str) -> bool:
        """Return whether a release exports it; one without a number is unknown and may."""
        version = _version(release)
        if not version:
            return True
        return (not self.since or version >= _version(self.since)) and (
            not self.before or version < _version(self.before)
        )


@functools.cache
def signal_metrics() -> tuple[SignalMetric, ...]:
    """Return the whole table, in its order."""
    rows = read_json("signals.json")["metrics"]
    if not isinstance(rows, list):
        raise TypeError("signals.json holds no list of metrics")
    return tuple(map(_metric, rows))


@functools.cache
def measures_of(engine: str, release: str) -> Mapping[str, tuple[SignalMetric, ...]]:
    """Return what an engine's release tells, by measure: the metric, or every name that it may have.

    Args:
        engine: as in the table; one that it does not have tells nothing.
        release: such as ``0.32.0``; empty for an unknown one.

    >>> [metric.metric for metric in measures_of("vllm", "0.9.2")["kv_usage"]]
    ['vllm:gpu_cache_usage_perc']
    >>> len(measures_of("vllm", "")["kv_usage"])
    2
    """
    found: dict[str, tuple[SignalMetric, ...]] = {}
    for metric in signal_metrics():
        if metric.engine == engine and metric.exported_by(release):
            found[metric.measure] = (*found.get(metric.measure, ()), metric)
    return MappingProxyType(found)


@functools.cache
def most_plausible(signal: str) -> float:
    """Return the largest value that a signal can have in its unit; above it, it is of another unit.

    >>> most_plausible("kv_cache_used_fraction")
    1.5
    """
    rows = read_json("signals.json")["plausible"]
    if not isinstance(rows, dict):
        raise TypeError("signals.json holds no plausible values")
    return float(rows[signal]["most"])


def _metric(row: Mapping[str, Any]) -> SignalMetric:
    return SignalMetric(
        engine=row["engine"],
        measure=row["measure"],
        metric=row["metric"],
        reads=Reads(row["reads"]),
        unit=row["unit"],
        labels=tuple(sorted(row.get("labels", {}).items())),
        since=row.get("since", ""),
        before=row.get("before", ""),
        optional=row.get("optional", False),
        source=row["source"],
    )


def _version(release: str) -> tuple[int, ...]:
    """Return the numbers of a release, for comparison; what follows them is left out."""
    found = re.match(r"\d+(?:\.\d+)*", release)
    return tuple(int(number) for number in found.group().split(".")) if found else ()
