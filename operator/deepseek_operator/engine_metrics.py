"""Reading the metrics page of an engine: the KV cache that it made at start-up.

Pure: text in, value out. The page comes from a pod, so nothing on it is believed before it is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from deepseek_operator.errors import EngineMetricsError, shortened
from deepseek_operator.scaling.in_flight_query import in_flight_series

CACHE_METRIC = "vllm:cache_config_info"
"""An information metric: always 1, everything is in its labels. Source: vLLM 0.32 ``v1/metrics/loggers.py`` l.1114."""

MAX_ENGINES = 1024
"""Series of the metric, one per data-parallel engine; more is no page of one replica."""

MAX_COUNT = 2**53 - 1
"""Largest number that is believed; every JSON reader keeps it exact (RFC 8259, section 6)."""


@dataclass(frozen=True, kw_only=True)
class KvCacheReport:
    """The KV cache of one replica as its engine reports it.

    Args:
        engines: data-parallel engines that the page tells of, 1 or more.
        num_gpu_blocks: of all those engines together (the engine sums them).
        block_size: tokens in a block.
        tokens_per_engine: what one engine's cache holds: the engine's own figure where it tells one, because layers
            of several kinds share the blocks, else blocks x block size.
        sized_by_hand: whether the owner set the size of the cache, so that it tells nothing about overheads.
    """

    engines: int
    num_gpu_blocks: int
    block_size: int
    tokens_per_engine: int
    sized_by_hand: bool


def kv_cache_report(page: str) -> KvCacheReport:
    """Return the KV cache that a metrics page tells of.

    Of several engines all series must agree: each repeats the sum of all blocks and the tokens of one engine. Source:
    vLLM 0.32 ``v1/engine/core_client.py`` l.851-868.

    Args:
        page: Prometheus text format; only lines of the metric are parsed.

    Raises:
        EngineMetricsError: the page does not hold the metric, or holds it with values that cannot be.

    >>> line = 'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="100"} 1.0'
    >>> kv_cache_report(line)
    KvCacheReport(engines=1, num_gpu_blocks=100, block_size=16, tokens_per_engine=1600, sized_by_hand=False)
    """
    series = _series(page)
    engines = {labels.get("engine", "") for labels in series}
    if len(engines) != len(series):
        raise EngineMetricsError(f"{CACHE_METRIC} is there several times for one engine")
    told = {tuple(_count(labels, name) for name in ("num_gpu_blocks", "block_size")) for labels in series}
    tokens = {_optional_count(labels, "kv_cache_size_tokens") for labels in series}
    if len(told) > 1 or len(tokens) > 1:
        raise EngineMetricsError(f"the engines of one replica disagree in {CACHE_METRIC}")
    (blocks, block_size), own_tokens = told.pop(), tokens.pop()
    tokens_per_engine = own_tokens or blocks * block_size // len(engines)
    if not 1 <= tokens_per_engine <= MAX_COUNT:
        raise EngineMetricsError(f"{CACHE_METRIC} tells of {tokens_per_engine} tokens per engine")
    return KvCacheReport(
        engines=len(engines),
        num_gpu_blocks=blocks,
        block_size=block_size,
        tokens_per_engine=tokens_per_engine,
        sized_by_hand=any(_is_set(labels, name) for labels in series for name in _SIZED_BY_HAND),
    )


def requests_in_flight(page: str) -> float:
    r"""Return the requests that a replica runs and holds back, all its engines together.

    Args:
        page: Prometheus text format; only lines of the two metrics are parsed.

    Raises:
        EngineMetricsError: the page does not hold the metrics, or holds them with values that cannot be.

    >>> requests_in_flight('vllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_waiting{engine="0"} 1.0')
    4.0
    """
    total = 0.0
    for name in in_flight_series():
        values = [sample.value for sample in _samples(page, name)]
        wrong = next((value for value in values if not 0 <= value <= MAX_COUNT), None)
        if wrong is not None or not values:
            raise EngineMetricsError(f"{name} is {wrong}, which cannot be")
        total += sum(values)
    return total


_SIZED_BY_HAND = ("kv_cache_memory_bytes", "num_gpu_blocks_override")
"""Options that set the size of the cache. Source: vLLM 0.32 ``config/cache.py``."""


def _samples(page: str, metric: str) -> list[Sample]:
    """Return the series of a metric, at least one."""
    lines = [line for line in page.split("\n") if line.startswith((metric + "{", metric + " "))]
    if not lines:
        raise EngineMetricsError(f"the page does not hold {metric}; it is no page of vLLM, or of an old release")
    if len(lines) > MAX_ENGINES:
        raise EngineMetricsError(f"the page holds {metric} {len(lines)} times; one replica has at most {MAX_ENGINES}")
    try:
        return [
            sample for family in text_string_to_metric_families("\n".join(lines) + "\n") for sample in family.samples
        ]
    except (ValueError, IndexError, KeyError) as error:
        raise EngineMetricsError(f"{metric} cannot be read: {shortened(str(error))}") from error


def _series(page: str) -> list[Mapping[str, str]]:
    samples = _samples(page, CACHE_METRIC)
    wrong = next((sample.value for sample in samples if sample.value != 1), None)
    if wrong is not None or not samples:
        raise EngineMetricsError(f"{CACHE_METRIC} is {wrong} where 1 is expected")
    return [sample.labels for sample in samples]


def _is_set(labels: Mapping[str, str], name: str) -> bool:
    return labels.get(name, "None") not in ("None", "")


def _optional_count(labels: Mapping[str, str], name: str) -> int | None:
    return _count(labels, name) if _is_set(labels, name) else None


def _count(labels: Mapping[str, str], name: str) -> int:
    """Return a label as a whole number of 1 or more."""
    text = labels.get(name, "")
    # Counted first: `int` of a long text takes long.
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_COUNT))):
        raise EngineMetricsError(f"label {name} of {CACHE_METRIC} is {shortened(text)!r} where a number is expected")
    if not 1 <= int(text) <= MAX_COUNT:
        raise EngineMetricsError(f"label {name} of {CACHE_METRIC} is {text}, which cannot be")
    return int(text)
