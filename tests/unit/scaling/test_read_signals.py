"""From rows per pod to the signals of one object."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import pytest

from deepseek_operator.scaling.pod_samples import pod_samples
from deepseek_operator.scaling.promql import AGE, QueryRules, engine_queries
from deepseek_operator.scaling.read_signals import FIELDS, readings_of
from deepseek_operator.scaling.readings import MeasuredObject, ProblemReason, Readings
from deepseek_operator.scaling.samples import Row
from deepseek_operator.scaling.signals import ABSENT, Availability, Signal

NOW = 1_800_000_000.0
RULES = QueryRules()
R1 = MeasuredObject(
    uid="u", namespace="chat", name="r1", engine="vllm", release="0.32.0", pods=("r1-a", "r1-b"), served_name="r1"
)
BUCKETS = {"0.01": 0.0, "1.0": 2.0, "+Inf": 2.0}
PER_POD: Mapping[str, float] = {
    "tokens": 500.0,
    "prompt_tokens": 2000.0,
    "first_tokens": 2.0,
    "first_token_seconds": 0.8,
    "token_seconds": 9.96,
    "prefill_seconds": 0.3,
    "running": 10.0,
    "waiting": 1.0,
    "waiting_growth": 0.5,
    "kv_usage": 0.25,
    "preemptions": 0.1,
    "rejections": 0.2,
}
Answers = dict[str, list[Row]]


def row(value: float, pod: str = "r1-a", **labels: str) -> Row:
    return Row(labels={"namespace": "chat", "pod": pod, **labels}, value=value, time=NOW)


def answers(pods: Sequence[str] = R1.pods) -> Answers:
    found: Answers = {measure: [row(value, pod) for pod in pods] for measure, value in PER_POD.items()}
    for measure in ("ttft_buckets", "tpot_buckets"):
        found[measure] = [row(rate, pod, le=bound) for pod in pods for bound, rate in BUCKETS.items()]
    found["kv_capacity"] = [
        row(1.0, pod, num_gpu_blocks="1000", block_size="16", kv_cache_size_tokens="None") for pod in pods
    ]
    found[AGE] = [row(NOW - 5.0, pod) for pod in pods]
    return found


def read(given: Answers, measured: MeasuredObject = R1, new: Sequence[str] = ()) -> Readings:
    pods = [(measured.namespace, name) for name in measured.pods]
    queries = engine_queries(measured.engine, measured.release, pods, RULES)
    samples = pod_samples(queries, given, RULES.stale_seconds)
    return readings_of(measured, samples, {("chat", name) for name in new})


def present(value: float) -> Signal:
    return Signal(value=pytest.approx(value), age_seconds=5.0, stale_seconds=RULES.stale_seconds)


def test_rates_and_gauges_are_summed_and_means_are_of_all_replicas():
    assert read(answers()) == Readings(
        tokens_per_second=present(1000.0),
        prompt_tokens_per_second=present(4000.0),
        arrivals_per_second=present(4.0 + 1.0 + 0.4),
        starts_per_second=present(4.0),
        seconds_per_token=present(0.02),
        seconds_to_first_token=present(0.4),
        running=present(20.0),
        waiting=present(2.0),
        kv_cache_used_fraction=present(0.25),
        cached_tokens=present(0.25 * 2 * 16_000),
        prompt_work=present(0.6),
        preemptions_per_second=present(0.2),
        rejections_per_second=present(0.4),
        ttft_percentile_seconds=present(0.01 + 0.95 * 0.99),
        tpot_percentile_seconds=present(0.01 + 0.95 * 0.99),
        running_by_pod={"r1-a": 10.0, "r1-b": 10.0},
    )


def test_every_measure_names_fields_that_exist():
    names = {each.name for each in fields(Readings)}
    assert {name for used in FIELDS.values() for name in used} <= names


def test_without_pods_nothing_is_measured_and_nothing_is_wrong():
    assert read({}, replace(R1, pods=("x",))).problem is not None
    samples = pod_samples((), {}, RULES.stale_seconds)
    assert readings_of(replace(R1, pods=()), samples, ()) == Readings()


def test_an_idle_fleet_is_present_with_zeros_and_has_no_means_of_requests():
    idle = answers()
    for measure in PER_POD:
        idle[measure] = [row(0.0, pod) for pod in R1.pods]
    for measure in ("ttft_buckets", "tpot_buckets"):
        idle[measure] = [row(0.0, pod, le=bound) for pod in R1.pods for bound in BUCKETS]
    seen = read(idle)
    assert seen.problem is None
    assert (seen.tokens_per_second, seen.seconds_per_token) == (present(0.0), present(0.0))
    assert (seen.seconds_to_first_token, seen.ttft_percentile_seconds) == (ABSENT, ABSENT)


def test_data_parallel_engines_count_by_the_fullest_cache_and_fill_their_own():
    given = answers(["r1-a"])
    given["kv_usage"] = [row(0.9, engine="0"), row(0.3, engine="1")]
    given["kv_capacity"] = [row(2.0, num_gpu_blocks="2000", block_size="16", kv_cache_size_tokens="15000")]
    seen = read(given, replace(R1, pods=("r1-a",)))
    assert (seen.kv_cache_used_fraction, seen.cached_tokens) == (present(0.9), present(0.6 * 30_000))


def test_speculative_decoding_counts_tokens_and_not_gaps():
    given = answers()
    given["token_seconds"] = [row(4.98, pod) for pod in R1.pods]  # half as many gaps of 20 ms: two tokens each
    assert read(given).seconds_per_token == present(0.01)


def test_a_metric_that_is_gone_is_named():
    given = answers()
    given["kv_usage"] = []
    seen = read(given)
    assert seen.problem is not None
    assert (seen.problem.reason, seen.problem.signals) == (
        ProblemReason.ABSENT,
        ("cached_tokens", "kv_cache_used_fraction"),
    )
    assert seen.problem.message == (
        "vllm:kv_cache_usage_perc of pod r1-a is absent although the pod is scraped: vllm 0.32.0 exports it, so the "
        "image is of another release or the metric was renamed"
    )
    assert seen.kv_cache_used_fraction.state is Availability.ABSENT
    assert seen.tokens_per_second == present(1000.0)


def test_an_optional_metric_that_is_gone_is_no_problem():
    given = answers()
    given["rejections"] = []
    given["kv_capacity"] = []
    seen = read(given)
    assert (seen.problem, seen.rejections_per_second, seen.cached_tokens) == (None, ABSENT, ABSENT)
    assert seen.arrivals_per_second == present(5.0)


def test_one_silent_pod_makes_every_sum_unusable():
    given = answers(["r1-a"])
    given[AGE].append(row(NOW - 120.0, "r1-b"))
    seen = read(given)
    assert seen.problem is not None
    assert seen.problem.reason is ProblemReason.STALE
    assert seen.problem.message == (
        "pod r1-b was scraped 120 s ago for the last time, and nothing older than two scrapes (33 s) is believed"
    )
    assert seen.tokens_per_second.state is Availability.STALE
    assert seen.running_by_pod == {"r1-a": 10.0}


def test_a_pod_that_nothing_scrapes_is_told_once():
    seen = read(answers(["r1-a"]))
    assert seen.problem is not None
    assert (seen.problem.reason, seen.problem.message) == (
        ProblemReason.ABSENT,
        "there is no vllm:generation_tokens_total and no other metric of pod r1-b: it is not scraped, or its series do "
        "not have the labels namespace and pod",
    )


def test_a_new_pod_is_not_missed_while_others_tell():
    assert read(answers(["r1-a"]), new=["r1-b"]).tokens_per_second == present(500.0)
    assert read(answers(["r1-a"]), new=["r1-b"]).problem is None


def test_only_new_pods_that_do_not_tell_are_a_problem():
    seen = read({}, new=R1.pods)
    assert seen.problem is not None
    assert (seen.problem.reason, seen.tokens_per_second.state) == (ProblemReason.ABSENT, Availability.ABSENT)


@pytest.mark.parametrize(
    ("measure", "rows", "field", "metric"),
    [
        pytest.param(
            "kv_usage", [row(25.0, pod) for pod in R1.pods], "kv_cache_used_fraction", "vllm:kv_cache_usage_perc",
            id="percent",
        ),
        pytest.param(
            "token_seconds", [row(9960.0, pod) for pod in R1.pods], "seconds_per_token",
            "vllm:inter_token_latency_seconds_sum", id="gaps-in-milliseconds",
        ),
        pytest.param(
            "first_token_seconds", [row(8e6, pod) for pod in R1.pods], "seconds_to_first_token",
            "vllm:time_to_first_token_seconds_sum", id="impossible-first-token",
        ),
        pytest.param(
            "ttft_buckets", [row(1.0, pod, le=bound) for pod in R1.pods for bound in ("1.0", "500.0", "+Inf")],
            "seconds_to_first_token", "vllm:time_to_first_token_seconds_bucket", id="buckets-in-milliseconds",
        ),
    ],
)  # fmt: skip
def test_another_unit_is_named_and_not_used(measure: str, rows: list[Row], field: str, metric: str):
    given = answers()
    given[measure] = rows
    seen = read(given)
    assert seen.problem is not None
    assert seen.problem.reason is ProblemReason.UNIT
    assert seen.problem.message.startswith(metric)
    assert getattr(seen, field).state is Availability.WRONG_UNIT


def test_triton_tells_no_batch_and_no_cache_and_that_is_no_problem():
    triton = replace(R1, engine="triton")
    seen = read(answers(), triton)
    assert seen.problem is None
    assert (seen.running, seen.waiting, seen.kv_cache_used_fraction, seen.arrivals_per_second) == (ABSENT,) * 4
    assert (seen.tokens_per_second, seen.seconds_per_token) == (present(1000.0), present(0.02))


def test_a_percentile_is_of_all_replicas_together():
    given = answers()
    given["ttft_buckets"] = [
        *(row(rate, "r1-a", le=bound) for bound, rate in {"0.5": 9.0, "2.0": 9.0, "+Inf": 9.0}.items()),
        *(row(rate, "r1-b", le=bound) for bound, rate in {"0.5": 0.0, "2.0": 1.0, "+Inf": 1.0}.items()),
    ]
    assert read(given).ttft_percentile_seconds == present(0.5 + 0.5 * 1.5)
    assert not math.isnan(read(given).ttft_percentile_seconds.value)
