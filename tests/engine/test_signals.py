"""Every metric that scaling reads exists on the recorded page of its engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deepseek_operator.catalog.signals import Reads, SignalMetric, measures_of, most_plausible, signal_metrics
from deepseek_operator.scaling.read_signals import FIELDS

DATA = Path(__file__).parent / "data"
PAGES = {"vllm": "vllm_0.32_metrics.txt", "triton": "triton_vllm_metrics.txt"}
RELEASE = "0.32.0"
TYPES = {
    Reads.RATE: {"counter", "histogram"},
    Reads.SUM: {"gauge"},
    Reads.EACH: {"gauge"},
    Reads.SLOPE: {"gauge"},
    Reads.BUCKETS: {"histogram"},
    Reads.LABELS: {"gauge"},
}


def series(engine: str) -> dict[str, tuple[str, set[str]]]:
    """Type and labels of every series on a page, by the name as it is written there."""
    page = (DATA / PAGES[engine]).read_text()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))
    found: dict[str, tuple[str, set[str]]] = {}
    for name, labels in re.findall(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? \S+$", page, re.MULTILINE):
        kind = types.get(name) or types[re.sub(r"_(bucket|sum|count)$", "", name)]
        found[name] = (kind, set(re.findall(r'(\w+)="', labels)) | found.get(name, ("", set()))[1])
    return found


@pytest.mark.parametrize("engine", sorted(PAGES))
def test_every_metric_is_on_the_recorded_page(engine: str):
    page = series(engine)
    for measure, metrics in measures_of(engine, RELEASE).items():
        assert len(metrics) == 1, f"{measure} of a known release has one name"
        (metric,) = metrics
        assert metric.metric in page, measure
        kind, labels = page[metric.metric]
        assert kind in TYPES[metric.reads]
        assert {name for name, _ in metric.labels} <= labels


@pytest.mark.parametrize("engine", sorted(PAGES))
def test_every_measure_is_used(engine: str):
    assert set(measures_of(engine, RELEASE)) <= set(FIELDS)


@pytest.mark.parametrize("engine", sorted(PAGES))
def test_histograms_of_seconds_begin_below_one(engine: str):
    page = (DATA / PAGES[engine]).read_text()
    for metrics in measures_of(engine, RELEASE).values():
        for metric in metrics:
            if metric.reads is Reads.BUCKETS:
                bounds = re.findall(rf'^{metric.metric}{{.*le="([^"]+)"', page, re.MULTILINE)
                assert min(map(float, bounds)) < most_plausible("least_bucket_seconds")


@pytest.mark.parametrize(
    ("release", "measure", "names"),
    [
        pytest.param("0.9.2", "kv_usage", ["vllm:gpu_cache_usage_perc"], id="old-kv"),
        pytest.param("0.32.0", "kv_usage", ["vllm:kv_cache_usage_perc"], id="new-kv"),
        pytest.param("0.10.2", "token_seconds", ["vllm:time_per_output_token_seconds_sum"], id="old-gaps"),
        pytest.param("0.11.0", "token_seconds", ["vllm:inter_token_latency_seconds_sum"], id="new-gaps"),
        pytest.param("", "kv_usage", ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"], id="unknown-release"),
        pytest.param("nightly", "kv_usage", ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"], id="no-number"),
    ],
)
def test_names_follow_the_release(release: str, measure: str, names: list[str]):
    assert [metric.metric for metric in measures_of("vllm", release)[measure]] == names


def test_old_releases_tell_no_rejections():
    assert "rejections" not in measures_of("vllm", "0.29.0")


def test_dcgm_has_one_unit_on_each_side_of_a_quotient():
    measures = measures_of("dcgm", "")
    units = [(used.unit, free.unit) for used, free in zip(measures["gpu_used"], measures["gpu_free"], strict=True)]
    assert units == [("MiB", "MiB"), ("bytes", "bytes")]


def test_the_documentation_has_the_table():
    def row(metric: SignalMetric) -> str:
        release = f"{metric.since} or newer" if metric.since else f"before {metric.before}" if metric.before else "all"
        name = metric.metric + "".join(f'{{{label}="{value}"}}' for label, value in metric.labels)
        told = [metric.engine, metric.measure, f"`{name}`", metric.reads.value, metric.unit, release]
        return f"| {' | '.join(told)} | {'optional' if metric.optional else ''} |"

    text = (Path(__file__).parents[2] / "docs" / "signals.md").read_text()
    table = text.partition("a test compares -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    assert table == [row(metric) for metric in signal_metrics()]
