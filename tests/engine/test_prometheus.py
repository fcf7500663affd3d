"""A real Prometheus scrapes pages of the recorded shape, and the operator reads what was served."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

import pytest

from cluster.polling import eventually
from deepseek_operator.handlers.signal_reader import SignalReader
from deepseek_operator.prometheus_api import PrometheusSettings
from deepseek_operator.scaling.promql import QueryRules, engine_queries
from deepseek_operator.scaling.readings import MeasuredObject, ProblemReason, Readings
from deepseek_operator.scaling.signals import Availability
from engine_pages import EnginePages, Load
from prometheus_server import SCRAPE_SECONDS, PrometheusServer, engine_pages, prometheus

__all__ = ["engine_pages", "prometheus"]

pytestmark = pytest.mark.enable_socket

R1 = MeasuredObject(
    uid="r1", namespace="chat", name="r1", engine="vllm", release="0.32.0", pods=("r1-a", "r1-b"), served_name="r1"
)
RULES = QueryRules(scrape_seconds=SCRAPE_SECONDS, rate_seconds=5.0)
BUSY = Load(requests_per_second=2.0, prompt_tokens=1000, output_tokens=200, ttft_seconds=0.4, tpot_seconds=0.02)
QUIET = Load(requests_per_second=1.0, prompt_tokens=1000, output_tokens=200, ttft_seconds=0.4, tpot_seconds=0.02)

Read = Callable[[], Readings]


@pytest.fixture
def read(prometheus: PrometheusServer) -> Read:
    reader = SignalReader(PrometheusSettings(url=prometheus.url, rules=RULES))
    return lambda: asyncio.run(reader.read([R1], time.monotonic()))["r1"]


def serve(pages: EnginePages) -> None:
    pages.put("chat", "r1-a", BUSY)
    pages.put("chat", "r1-b", QUIET)


def reason(readings: Readings) -> ProblemReason | None:
    return readings.problem.reason if readings.problem is not None else None


def test_reads_what_engines_serve(engine_pages: EnginePages, read: Read):
    serve(engine_pages)
    steady = eventually(read, lambda seen: seen.problem is None and seen.tokens_per_second.value > 590)
    # Three requests a second; windows of single counters begin up to a scrape apart.
    assert steady.starts_per_second.value == pytest.approx(3.0, rel=0.02)
    assert steady.tokens_per_second.value == pytest.approx(600.0, rel=0.02)
    assert steady.prompt_tokens_per_second.value == pytest.approx(3000.0, rel=0.02)
    assert steady.arrivals_per_second.value == pytest.approx(3.0, rel=0.02)
    assert steady.seconds_per_token.value == pytest.approx(0.02, rel=0.02)
    assert steady.seconds_to_first_token.value == pytest.approx(0.4, rel=0.02)
    assert steady.prompt_work.value == pytest.approx(0.3, rel=0.02)
    assert steady.running_by_pod == pytest.approx({"r1-a": 8.2, "r1-b": 4.1})
    assert steady.running.value == pytest.approx(12.3)
    assert (steady.waiting.value, steady.preemptions_per_second.value) == (0.0, 0.0)
    assert steady.kv_cache_used_fraction.value == pytest.approx(0.2)
    assert steady.cached_tokens.value == pytest.approx(0.2 * 2 * 310_688)
    # The percentiles lie in the buckets that hold the served values.
    assert 0.25 < steady.ttft_percentile_seconds.value <= 0.5
    assert 0.01 < steady.tpot_percentile_seconds.value <= 0.025
    assert steady.tokens_per_second.age_seconds <= RULES.stale_seconds
    assert not steady.gpu_memory_used_fraction.present


def test_a_dead_prometheus_is_a_problem_until_it_is_back(
    engine_pages: EnginePages, prometheus: PrometheusServer, read: Read
):
    serve(engine_pages)
    eventually(read, lambda seen: seen.problem is None)
    prometheus.kill()
    dead = read()
    assert reason(dead) is ProblemReason.UNREACHABLE
    assert dead.tokens_per_second.state is Availability.ABSENT
    prometheus.start()
    eventually(read, lambda seen: seen.problem is None)


def test_a_renamed_metric_is_named(engine_pages: EnginePages, read: Read):
    serve(engine_pages)
    eventually(read, lambda seen: seen.problem is None)
    engine_pages.rename("vllm:kv_cache_usage_perc", "vllm:cache_fill")
    seen = eventually(read, lambda seen: seen.problem is not None)
    assert seen.problem is not None
    assert (seen.problem.reason, seen.problem.signals) == (
        ProblemReason.ABSENT,
        ("cached_tokens", "kv_cache_used_fraction"),
    )
    # Pods are scraped one after the other, so either may be the first that is missed.
    assert re.match("vllm:kv_cache_usage_perc of pod r1-[ab] is absent although the pod", seen.problem.message)
    assert seen.tokens_per_second.present


def test_a_pod_that_is_scraped_no_more_makes_the_sums_stale(engine_pages: EnginePages, read: Read):
    serve(engine_pages)
    eventually(read, lambda seen: seen.problem is None)
    engine_pages.set_down("chat", "r1-b")
    seen = eventually(read, lambda seen: seen.tokens_per_second.state is Availability.STALE)
    assert seen.problem is not None
    assert seen.problem.message.startswith("pod r1-b was scraped ")
    engine_pages.set_down("chat", "r1-b", down=False)
    eventually(read, lambda seen: seen.problem is None)


def test_a_fraction_in_percent_is_another_unit(engine_pages: EnginePages, read: Read):
    serve(engine_pages)
    eventually(read, lambda seen: seen.problem is None)
    engine_pages.put("chat", "r1-a", Load(kv_cache_used_fraction=20.0))
    seen = eventually(read, lambda seen: reason(seen) is ProblemReason.UNIT)
    assert seen.kv_cache_used_fraction.state is Availability.WRONG_UNIT


EXPORTER = {
    "before-4.9": """
DCGM_FI_DEV_FB_USED{gpu="0",namespace="chat",pod="r1-a"} 60000
DCGM_FI_DEV_FB_FREE{gpu="0",namespace="chat",pod="r1-a"} 20000
DCGM_FI_DEV_FB_USED{gpu="1",namespace="chat",pod="r1-a"} 70000
DCGM_FI_DEV_FB_FREE{gpu="1",namespace="chat",pod="r1-a"} 10000
DCGM_FI_DEV_FB_USED{gpu="2",namespace="search",pod="r1-a"} 80000
DCGM_FI_DEV_FB_FREE{gpu="2",namespace="search",pod="r1-a"} 0
""",
    "since-4.9": """
DCGM_FI_DEV_FB_USED_BYTES{gpu="0",namespace="chat",pod="r1-b"} 7e10
DCGM_FI_DEV_FB_FREE_BYTES{gpu="0",namespace="chat",pod="r1-b"} 1e10
""",
}
"""Pages of DCGM's exporter, whose own labels name the pod that has the GPU."""


@pytest.mark.parametrize("page", [pytest.param(page, id=name) for name, page in EXPORTER.items()])
def test_gpu_memory_is_of_the_pods_fullest_gpu_in_any_release(engine_pages: EnginePages, read: Read, page: str):
    serve(engine_pages)
    engine_pages.put_text("gpu-operator", "dcgm-exporter-x", page)
    seen = eventually(read, lambda seen: seen.gpu_memory_used_fraction.present)
    assert seen.gpu_memory_used_fraction.value == pytest.approx(0.875)


@pytest.mark.parametrize("metric", ["llm_d_epp_flow_control_queue_size", "inference_extension_flow_control_queue_size"])
def test_requests_that_wait_at_a_gateway_are_of_the_model_and_namespace(
    engine_pages: EnginePages, read: Read, metric: str
):
    labels = 'fairness_id="{user}",priority="0",inference_pool="r1",model_name="{model}",target_model_name="{model}"'
    lines = [
        f"{metric}{{{labels.format(user='a', model='r1')}}} 2",
        f"{metric}{{{labels.format(user='b', model='r1')}}} 3",
        f"{metric}{{{labels.format(user='a', model='v3')}}} 50",
    ]
    engine_pages.put_text("chat", "r1-epp", "\n".join(lines) + "\n")
    engine_pages.put_text("search", "r1-epp", "\n".join(lines) + "\n")
    assert eventually(read, lambda seen: seen.queued_at_gateway.present).queued_at_gateway.value == 5.0


@pytest.mark.parametrize(
    ("engine", "release"),
    [("vllm", ""), ("vllm", "0.9.2"), ("triton", "0.32.0")],
    ids=["unknown-release", "old-release", "triton"],
)
def test_every_query_is_understood(prometheus: PrometheusServer, engine: str, release: str):
    rules = QueryRules(matchers=(("cluster", 'a"b\\c'),))
    for query in engine_queries(engine, release, [("chat", "r1-a")], rules):
        assert prometheus.value(query.text) is None, query.measure
