"""What is asked of Prometheus: PromQL for many pods at once, one query per measure.

Every value is asked for together with the proof that it is young: ``last_over_time`` over two scrapes. So a series that
was not scraped for longer is missing from the answer, and never an old number. Pods are named one by one, so an answer
holds nothing of other people's pods and its size is known.

Names and values that reach a query are either literals of ours, checked names of Kubernetes, or quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from deepseek_operator.catalog.signals import Reads, SignalMetric, measures_of
from deepseek_operator.errors import DeepSeekOperatorError, shortened

RATE_SECONDS = 60.0
"""Window of rates; long enough for four scrapes of 15 s."""

LEAST_SCRAPES = 4
"""Scrapes that a window holds at least: with one lost and one at each edge, two are left to make a rate."""

PERCENTILE_RATES = 5
"""Windows of rates in a window of percentiles: a percentile of one minute of a small model is one request."""

STALE_SCRAPES = 2
"""A value is believed while it is not older than so many scrapes."""

JITTER = 1.1
"""Scrapes are late by a little; Prometheus spreads and aligns them."""

SEEN_SCRAPES = 20
"""How far back it is looked for when a pod was scraped last."""

MAX_PODS = 500
"""Pods of one query: some 25 kB of text and, for a histogram, 12,000 samples of answer."""

AGE = "age"
"""Measure of when a pod was scraped last, in seconds of Unix time."""

_NAME = re.compile(r"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
_RESERVED = frozenset({"__name__", "namespace", "pod", "exported_namespace", "exported_pod", "engine", "le", "reason"})


class MatcherError(DeepSeekOperatorError):
    """A label that cannot select series; the text says what can."""


@dataclass(frozen=True, kw_only=True)
class QueryRules:
    """What all queries of one Prometheus have in common.

    Args:
        scrape_seconds: interval at which it scrapes engines, 1 or more.
        rate_seconds: window of rates; stretched to four scrapes where it is shorter.
        matchers: labels that every series must have, such as the cluster's in a store that several share.
    """

    scrape_seconds: float = 15.0
    rate_seconds: float = RATE_SECONDS
    matchers: tuple[tuple[str, str], ...] = ()

    @property
    def stale_seconds(self) -> float:
        """Age up to which a value is believed."""
        return STALE_SCRAPES * self.scrape_seconds * JITTER

    @property
    def fresh(self) -> str:
        """Return the same as a PromQL duration."""
        return _duration(self.stale_seconds)

    @property
    def rate_window(self) -> float:
        """Window of rates in seconds."""
        return max(self.rate_seconds, LEAST_SCRAPES * self.scrape_seconds)


@dataclass(frozen=True, kw_only=True)
class Query:
    """One query and what its answer means.

    Args:
        measure: as in the table of signals, or `AGE`.
        text: PromQL.
        metrics: names that it looks for, the newest release's first.
        optional: whether an empty answer is no problem.
    """

    measure: str
    text: str
    metrics: tuple[str, ...] = field(default=())
    optional: bool = False


def matchers(pairs: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return labels written as ``KEY=VALUE``.

    Raises:
        MatcherError: no such form, no name of a label, or one that the queries set themselves.

    >>> matchers(["cluster=eu-1"])
    (('cluster', 'eu-1'),)
    """
    found = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not _LABEL.fullmatch(name) or not value:
            raise MatcherError(f"{shortened(pair)!r} is no label; write KEY=VALUE, such as cluster=eu-1")
        if name in _RESERVED:
            raise MatcherError(f"label {name} is set by the operator's own queries; leave it out")
        found.append((name, value))
    return tuple(found)


def quoted(text: str) -> str:
    r"""Return a PromQL string literal.

    Source: Prometheus documentation, "Querying basics": Go's escapes inside double quotes.

    >>> print(quoted('a"b\\c'))
    "a\"b\\c"
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def pod_selector(pods: Iterable[tuple[str, str]], rules: QueryRules) -> str:
    r"""Return label matchers of pods and of the rules, without braces.

    Args:
        pods: (namespace, name); at least one.
        rules: with further labels.

    Raises:
        MatcherError: a name that no namespace or pod can have.

    >>> print(pod_selector([("chat", "r1-7f-x.2")], QueryRules()))
    namespace=~"chat",pod=~"r1-7f-x\\.2"
    """
    known = set(pods)
    names = sorted({_checked(name) for _, name in known})
    spaces = {namespace for namespace, _ in known}
    return ",".join([_space_selector(spaces), f"pod=~{_any_of(names)}", *_shared(rules)])


def engine_queries(engine: str, release: str, pods: Sequence[tuple[str, str]], rules: QueryRules) -> tuple[Query, ...]:
    """Return the queries for pods of one engine release: one per measure, and when they were scraped last.

    Args:
        engine: as in the table of signals.
        release: of it; empty for an unknown one.
        pods: (namespace, name), at least one and at most `MAX_PODS`.
        rules: of all queries.
    """
    selector = pod_selector(pods, rules)
    measures = measures_of(engine, release)
    return (*(_query(metrics, selector, rules) for metrics in measures.values()), _age(measures, selector, rules))


def gpu_query(namespaces: Iterable[str], rules: QueryRules) -> Query:
    """Return the query for the share of a GPU's memory that is used, of each pod's fullest GPU.

    DCGM's exporter knows the pod by labels of its own; a scrape that does not honour them renames them.
    """
    spaces = _space_selector(namespaces)
    quotients = []
    for used, free in _dcgm_names():
        for prefix in ("exported_", ""):
            selector = ",".join([f"{prefix}{spaces}", f'{prefix}pod!=""', *_shared(rules)])
            young = f"last_over_time({used}{{{selector}}}[{rules.fresh}])"
            left = f"last_over_time({free}{{{selector}}}[{rules.fresh}])"
            share = f"{young} / ({young} + {left})"
            if prefix:
                share = f'label_replace({share}, "pod", "$1", "exported_pod", "(.+)")'
                share = f'label_replace({share}, "namespace", "$1", "exported_namespace", "(.+)")'
            quotients.append(f"max by (namespace, pod) ({share})")
    names = tuple(used for used, _ in _dcgm_names())
    return Query(measure="gpu_share", text=" or ".join(quotients), metrics=names, optional=True)


def gateway_query(namespaces: Iterable[str], rules: QueryRules) -> Query:
    """Return the query for requests that wait in front of models, by namespace and name of the model."""
    selector = ",".join([_space_selector(namespaces), *_shared(rules)])
    metrics = tuple(metric.metric for metric in measures_of("gateway", "")["queued"])
    texts = [
        f"sum by (namespace, model_name) (last_over_time({metric}{{{selector}}}[{rules.fresh}]))" for metric in metrics
    ]
    return Query(measure="queued", text=" or ".join(texts), metrics=metrics, optional=True)


def _query(metrics: Sequence[SignalMetric], selector: str, rules: QueryRules) -> Query:
    # The newest name first: `or` takes the left side where both are there.
    newest = sorted(metrics, key=lambda metric: metric.before != "")
    return Query(
        measure=metrics[0].measure,
        text=" or ".join(_expression(metric, selector, rules) for metric in newest),
        metrics=tuple(metric.metric for metric in newest),
        optional=all(metric.optional for metric in metrics),
    )


def _expression(metric: SignalMetric, selector: str, rules: QueryRules) -> str:
    labels = ",".join([selector, *(f"{name}={quoted(value)}" for name, value in metric.labels)])
    series = f"{metric.metric}{{{labels}}}"
    young = f"last_over_time({series}[{rules.fresh}])"
    minute = _duration(rules.rate_window)
    match metric.reads:
        case Reads.RATE:
            return f"sum by (namespace, pod) (rate({series}[{minute}]) and {young})"
        case Reads.SLOPE:
            return f"sum by (namespace, pod) (deriv({series}[{minute}]) and {young})"
        case Reads.SUM:
            return f"sum by (namespace, pod) ({young})"
        case Reads.EACH:
            return f"max by (namespace, pod, engine) ({young})"
        case Reads.BUCKETS:
            window = _duration(PERCENTILE_RATES * rules.rate_window)
            return f"sum by (namespace, pod, le) (rate({series}[{window}]) and {young})"
        case Reads.LABELS:
            return f"count by (namespace, pod, num_gpu_blocks, block_size, kv_cache_size_tokens) ({young})"


def _age(measures: Mapping[str, tuple[SignalMetric, ...]], selector: str, rules: QueryRules) -> Query:
    """Return the query for the time of each pod's last scrape; several metrics, because one may be renamed."""
    needed = [metric.metric for metrics in measures.values() for metric in metrics if not metric.optional]
    names = tuple(dict.fromkeys(needed))[:3]
    newest = " or ".join(f"max by (namespace, pod) (timestamp({name}{{{selector}}}))" for name in names)
    window, step = _duration(SEEN_SCRAPES * rules.scrape_seconds), _duration(rules.scrape_seconds / 2)
    text = f"max_over_time(({newest})[{window}:{step}])"
    return Query(measure=AGE, text=text, metrics=names, optional=True)


def _dcgm_names() -> tuple[tuple[str, str], ...]:
    """Return the names of used and free memory, those of the newest exporter first."""
    measures = measures_of("dcgm", "")
    pairs = zip(measures["gpu_used"], measures["gpu_free"], strict=True)
    return tuple((used.metric, free.metric) for used, free in sorted(pairs, key=lambda pair: pair[0].before != ""))


def _space_selector(namespaces: Iterable[str]) -> str:
    return f"namespace=~{_any_of(sorted({_checked(name) for name in namespaces}))}"


def _shared(rules: QueryRules) -> list[str]:
    return [f"{name}={quoted(value)}" for name, value in rules.matchers]


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise MatcherError(f"{shortened(name)!r} is no name of a namespace or pod")
    return name


def _any_of(names: Sequence[str]) -> str:
    return quoted("|".join(name.replace(".", "\\.") for name in names))


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
