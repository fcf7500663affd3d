"""Reads what engines measure, of all objects in one batch of queries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from deepseek_operator.errors import DeepSeekOperatorError, PrometheusError
from deepseek_operator.prometheus_api import PrometheusApi, PrometheusSettings, connected
from deepseek_operator.scaling.pod_samples import Pod, pod_samples
from deepseek_operator.scaling.promql import MAX_PODS, Query, QueryRules, engine_queries, gateway_query, gpu_query
from deepseek_operator.scaling.read_signals import readings_of
from deepseek_operator.scaling.readings import MeasuredObject, ProblemReason, Readings, SignalProblem
from deepseek_operator.scaling.samples import Row
from deepseek_operator.scaling.signals import Signal

log = logging.getLogger(__name__)

NOT_CONFIGURED = SignalProblem(
    reason=ProblemReason.NOT_CONFIGURED,
    message="the operator was started without --prometheus-url, so replicas stay as planned",
)

AT_A_TIME = 32
"""Objects that are put together before others of the event loop have their turn: some 10 ms."""

MAX_NAMESPACES = 500
"""Namespaces of one query that is not about pods."""


@dataclass(frozen=True, kw_only=True)
class ReadCost:
    """What the last round took.

    Args:
        queries: that were asked.
        answer_bytes: that came back.
    """

    queries: int = 0
    answer_bytes: int = 0


class SignalReader:
    """Asks Prometheus for the signals of objects, and remembers which pods are new.

    Args:
        settings: where Prometheus is; None where the administrator named none.
        advice: what has to be done where a pod is not scraped, as a clause.
    """

    def __init__(self, settings: PrometheusSettings | None = None, *, advice: Callable[[], str] = str) -> None:
        self._settings = settings
        self._advice = advice
        self._first_asked: dict[Pod, float] = {}
        self.cost = ReadCost()

    async def read(self, objects: Sequence[MeasuredObject], now: float) -> Mapping[str, Readings]:
        """Return the readings of every object by its UID; what cannot be read has a problem and raises nothing.

        Args:
            objects: any number, of any engines.
            now: seconds of a monotonic clock, for what is remembered between two calls.
        """
        if self._settings is None:
            return {each.uid: Readings(problem=NOT_CONFIGURED) for each in objects}
        new = self._new_pods(objects, self._settings.rules, now)
        if not objects:
            return {}
        try:
            async with connected(self._settings) as prometheus:
                found = await _Round(prometheus, self._settings.rules, new).read(objects)
                self.cost = ReadCost(queries=prometheus.queries, answer_bytes=prometheus.bytes)
                return {uid: self._advised(readings) for uid, readings in found.items()}
        except PrometheusError as error:
            return {each.uid: Readings(problem=_unreachable(error)) for each in objects}

    def _advised(self, readings: Readings) -> Readings:
        problem, advice = readings.problem, self._advice()
        if problem is None or not problem.unscraped or not advice:
            return readings
        return replace(readings, problem=replace(problem, message=f"{problem.message}; {advice}"))

    def _new_pods(self, objects: Sequence[MeasuredObject], rules: QueryRules, now: float) -> frozenset[Pod]:
        """Return the pods that were asked about for the first time a moment ago, and forget those that are gone."""
        pods = {(each.namespace, name) for each in objects for name in each.pods}
        self._first_asked = {pod: self._first_asked.get(pod, now) for pod in pods}
        young = now - rules.rate_window  # found by Prometheus, and scraped twice
        return frozenset(pod for pod, first in self._first_asked.items() if first > young)


class _Round:
    """One reading of all objects."""

    def __init__(self, prometheus: PrometheusApi, rules: QueryRules, new: frozenset[Pod]) -> None:
        self._prometheus = prometheus
        self._rules = rules
        self._new = new

    async def read(self, objects: Sequence[MeasuredObject]) -> dict[str, Readings]:
        batches = list(_batches(objects))
        namespaces = sorted({each.namespace for each in objects})
        parts = [namespaces[at : at + MAX_NAMESPACES] for at in range(0, len(namespaces), MAX_NAMESPACES)]
        read, gpus, queued = await asyncio.gather(
            asyncio.gather(*(self._batch(batch) for batch in batches)),
            asyncio.gather(*(self._extra(gpu_query(part, self._rules)) for part in parts)),
            asyncio.gather(*(self._extra(gateway_query(part, self._rules)) for part in parts)),
        )
        found = {uid: readings for batch in read for uid, readings in batch.items()}
        return _with_extras(objects, found, [*_flat(gpus)], [*_flat(queued)])

    async def _batch(self, objects: Sequence[MeasuredObject]) -> dict[str, Readings]:
        """Return the readings of objects of one engine release; a query that is refused is a problem of them alone."""
        pods = [(each.namespace, name) for each in objects for name in each.pods]
        if not pods:
            return {each.uid: Readings() for each in objects}
        try:
            queries = engine_queries(objects[0].engine, objects[0].release, pods, self._rules)
            answers = await asyncio.gather(*(self._prometheus.rows(query.text) for query in queries))
        except DeepSeekOperatorError as error:
            return {each.uid: Readings(problem=_unreachable(error)) for each in objects}
        by_measure = {query.measure: rows for query, rows in zip(queries, answers, strict=True)}
        samples = pod_samples(queries, by_measure, self._rules.stale_seconds)
        found = {}
        for number, each in enumerate(objects):
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
            found[each.uid] = readings_of(each, samples, self._new)
        return found

    async def _extra(self, query: Query) -> list[Row]:
        """Return the rows of a query that nothing depends on."""
        try:
            return await self._prometheus.rows(query.text)
        except PrometheusError as error:
            log.debug("%s: %s", query.measure, error)
            return []


def _batches(objects: Sequence[MeasuredObject]) -> Iterator[list[MeasuredObject]]:
    """Yield objects of one engine release with together at most `MAX_PODS` pods, or one object with more."""
    kinds: dict[tuple[str, str], list[MeasuredObject]] = {}
    for each in objects:
        kinds.setdefault((each.engine, each.release), []).append(each)
    for same in kinds.values():
        batch: list[MeasuredObject] = []
        for each in same:
            if batch and sum(len(other.pods) for other in batch) + len(each.pods) > MAX_PODS:
                yield batch
                batch = []
            batch.append(each)
        yield batch


def _with_extras(
    objects: Sequence[MeasuredObject], found: Mapping[str, Readings], gpus: Sequence[Row], queued: Sequence[Row]
) -> dict[str, Readings]:
    """Return the readings with what is not the engine's own."""
    shares = {(row.labels.get("namespace"), row.labels.get("pod")): row.value for row in gpus}
    waiting = {(row.labels.get("namespace"), row.labels.get("model_name")): row.value for row in queued}
    merged = {}
    for each in objects:
        readings = found[each.uid]
        used = [shares[(each.namespace, name)] for name in each.pods if (each.namespace, name) in shares]
        if used:
            readings = replace(readings, gpu_memory_used_fraction=Signal(value=max(used)))
        if (each.namespace, each.served_name) in waiting:
            readings = replace(readings, queued_at_gateway=Signal(value=waiting[(each.namespace, each.served_name)]))
        merged[each.uid] = readings
    return merged


def _flat(parts: Sequence[Sequence[Row]]) -> Iterator[Row]:
    for part in parts:
        yield from part


def _unreachable(error: DeepSeekOperatorError) -> SignalProblem:
    return SignalProblem(reason=ProblemReason.UNREACHABLE, message=str(error))
