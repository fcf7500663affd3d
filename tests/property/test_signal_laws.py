"""Laws of signals: a sum is of all pods or there is none, whatever they tell, and the reason is named."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.scaling.pod_samples import pod_samples
from deepseek_operator.scaling.promql import AGE, QueryRules, engine_queries
from deepseek_operator.scaling.read_signals import FIELDS, readings_of
from deepseek_operator.scaling.readings import MeasuredObject, ProblemReason, Readings
from deepseek_operator.scaling.samples import Row
from deepseek_operator.scaling.signals import Signal

NOW = 1_800_000_000.0
RULES = QueryRules()
PODS = ("r1-a", "r1-b", "r1-c")
QUERIES = engine_queries("vllm", "0.32.0", [("chat", pod) for pod in PODS], RULES)
R1 = MeasuredObject(uid="u", namespace="chat", name="r1", engine="vllm", release="0.32.0", pods=PODS, served_name="r1")

Told = dict[tuple[str, str], float]

told = st.dictionaries(
    st.tuples(st.sampled_from([query.measure for query in QUERIES if query.measure != AGE]), st.sampled_from(PODS)),
    st.floats(0, 1e6),
)
ages = st.dictionaries(st.sampled_from(PODS), st.floats(0, 299))
new = st.sets(st.sampled_from(PODS))


def rows(values: Told, seen: dict[str, float], seed: int = 0) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {query.measure: [] for query in QUERIES}
    for (measure, pod), value in values.items():
        labels: dict[str, str] = {"namespace": "chat", "pod": pod}
        if measure.endswith("_buckets"):
            found[measure] += [Row({**labels, "le": bound}, value, NOW) for bound in ("0.1", "1.0", "+Inf")]
        elif measure == "kv_capacity":
            found[measure].append(Row({**labels, "num_gpu_blocks": "10", "block_size": "16"}, 1.0, NOW))
        else:
            found[measure].append(Row(labels, value, NOW))
    found[AGE] = [Row({"namespace": "chat", "pod": pod}, NOW - age, NOW) for pod, age in seen.items()]
    for listed in found.values():
        random.Random(seed).shuffle(listed)  # noqa: S311 - no secret
    return found


def read(values: Told, seen: dict[str, float], fresh: set[str], seed: int = 0) -> Readings:
    samples = pod_samples(QUERIES, rows(values, seen, seed), RULES.stale_seconds)
    return readings_of(R1, samples, {("chat", pod) for pod in fresh})


def signals(readings: Readings) -> dict[str, Signal]:
    named: dict[str, Any] = {each.name: getattr(readings, each.name) for each in fields(Readings)}
    return {name: value for name, value in named.items() if isinstance(value, Signal)}


@given(told, ages, new)
def test_a_signal_that_is_there_is_of_every_pod_that_is_known(values: Told, seen: dict[str, float], fresh: set[str]):
    readings = read(values, seen, fresh)
    present = {name for name, signal in signals(readings).items() if signal.present}
    for measure, names in FIELDS.items():
        tells = {pod for each, pod in values if each == measure}
        if measure == "rejections" or (set(PODS) - fresh <= tells and tells):
            continue  # all that are known tell, or arrivals do without it
        assert not present & set(names), measure


@given(told, ages, new)
def test_no_problem_means_that_everything_needed_is_there(values: Told, seen: dict[str, float], fresh: set[str]):
    readings = read(values, seen, fresh)
    needed = ("tokens_per_second", "seconds_per_token", "starts_per_second", "running", "waiting")
    if readings.problem is None:
        assert all(signals(readings)[name].present for name in needed)
    else:
        assert readings.problem.message
        assert readings.problem.reason in (ProblemReason.ABSENT, ProblemReason.STALE, ProblemReason.UNIT)
        assert not any(signals(readings)[name].present for name in readings.problem.signals)


@given(told, ages, new, st.integers(1, 9))
def test_the_order_of_an_answer_is_no_matter(values: Told, seen: dict[str, float], fresh: set[str], seed: int):
    assert read(values, seen, fresh) == read(values, seen, fresh, seed)
