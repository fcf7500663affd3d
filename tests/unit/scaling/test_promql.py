from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.catalog.signals import measures_of
from deepseek_operator.scaling.promql import (
    AGE,
    MatcherError,
    QueryRules,
    engine_queries,
    gateway_query,
    gpu_query,
    matchers,
    pod_selector,
    quoted,
)

RULES = QueryRules(matchers=(("cluster", "eu-1"),))
PODS = [("chat", "r1-b"), ("search", "v3-a"), ("chat", "r1-a")]
SELECTOR = 'namespace=~"chat|search",pod=~"r1-a|r1-b|v3-a",cluster="eu-1"'


def texts(release: str = "0.32.0", engine: str = "vllm", rules: QueryRules = RULES) -> dict[str, str]:
    return {query.measure: query.text for query in engine_queries(engine, release, PODS, rules)}


def test_one_query_per_measure_and_one_for_the_age():
    queries = engine_queries("vllm", "0.32.0", PODS, RULES)
    assert [query.measure for query in queries] == [*measures_of("vllm", "0.32.0"), AGE]


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        pytest.param(
            "tokens",
            f"sum by (namespace, pod) (rate(vllm:generation_tokens_total{{{SELECTOR}}}[60000ms])"
            f" and last_over_time(vllm:generation_tokens_total{{{SELECTOR}}}[33000ms]))",
            id="rate",
        ),
        pytest.param(
            "running",
            f"sum by (namespace, pod) (last_over_time(vllm:num_requests_running{{{SELECTOR}}}[33000ms]))",
            id="sum",
        ),
        pytest.param(
            "kv_usage",
            f"max by (namespace, pod, engine) (last_over_time(vllm:kv_cache_usage_perc{{{SELECTOR}}}[33000ms]))",
            id="each",
        ),
        pytest.param(
            "waiting_growth",
            f"sum by (namespace, pod) (deriv(vllm:num_requests_waiting{{{SELECTOR}}}[60000ms])"
            f" and last_over_time(vllm:num_requests_waiting{{{SELECTOR}}}[33000ms]))",
            id="slope",
        ),
        pytest.param(
            "ttft_buckets",
            f"sum by (namespace, pod, le) (rate(vllm:time_to_first_token_seconds_bucket{{{SELECTOR}}}[300000ms])"
            f" and last_over_time(vllm:time_to_first_token_seconds_bucket{{{SELECTOR}}}[33000ms]))",
            id="buckets",
        ),
        pytest.param(
            "kv_capacity",
            "count by (namespace, pod, num_gpu_blocks, block_size, kv_cache_size_tokens) "
            f"(last_over_time(vllm:cache_config_info{{{SELECTOR}}}[33000ms]))",
            id="labels",
        ),
        pytest.param(
            AGE,
            "max_over_time(("
            f"max by (namespace, pod) (timestamp(vllm:generation_tokens_total{{{SELECTOR}}})) or "
            f"max by (namespace, pod) (timestamp(vllm:num_requests_running{{{SELECTOR}}})) or "
            f"max by (namespace, pod) (timestamp(vllm:num_requests_waiting{{{SELECTOR}}}))"
            ")[300000ms:7500ms])",
            id="age",
        ),
    ],
)
def test_how_each_measure_is_asked(measure: str, text: str):
    assert texts()[measure] == text


def test_of_an_unknown_release_every_name_is_asked_the_newest_first():
    rules = QueryRules()
    selector = pod_selector(PODS, rules)
    assert texts("", rules=rules)["kv_usage"] == (
        f"max by (namespace, pod, engine) (last_over_time(vllm:kv_cache_usage_perc{{{selector}}}[33000ms])) or "
        f"max by (namespace, pod, engine) (last_over_time(vllm:gpu_cache_usage_perc{{{selector}}}[33000ms]))"
    )


def test_labels_of_the_table_select_too():
    assert 'cluster="eu-1",reason="REJECTED"}' in texts(engine="triton")["rejections"]


def test_windows_hold_four_scrapes():
    assert (QueryRules(scrape_seconds=30).rate_window, QueryRules(scrape_seconds=15).rate_window) == (120.0, 60.0)
    assert QueryRules(scrape_seconds=1, rate_seconds=1).rate_window == 4.0


def test_gpu_memory_is_a_quotient_in_one_unit_whatever_the_exporters_labels():
    text = gpu_query(["chat"], RULES).text
    assert text.count(" or ") == 3
    assert 'DCGM_FI_DEV_FB_USED_BYTES{exported_namespace=~"chat",exported_pod!="",cluster="eu-1"}' in text
    assert 'DCGM_FI_DEV_FB_FREE{namespace=~"chat",pod!="",cluster="eu-1"}' in text


def test_gateways_are_asked_by_namespace_and_model():
    assert gateway_query(["chat", "search"], QueryRules()).text == (
        "sum by (namespace, model_name) "
        '(last_over_time(llm_d_epp_flow_control_queue_size{namespace=~"chat|search"}[33000ms])) or '
        "sum by (namespace, model_name) "
        '(last_over_time(inference_extension_flow_control_queue_size{namespace=~"chat|search"}[33000ms]))'
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param('a"} or vector(1) #', id="quote"),
        pytest.param("a|.*", id="alternative"),
        pytest.param("a\nb", id="line"),
        pytest.param(".*", id="anything"),
        pytest.param("", id="empty"),
        pytest.param("a" * 254, id="long"),
        pytest.param("Pod", id="capitals"),
    ],
)
def test_a_name_that_no_pod_has_is_refused(name: str):
    with pytest.raises(MatcherError, match="no name of a namespace or pod"):
        pod_selector([("chat", name)], RULES)
    with pytest.raises(MatcherError, match="no name of a namespace or pod"):
        pod_selector([(name, "r1-a")], RULES)


@given(st.text())
def test_a_quoted_value_ends_where_it_was_written(text: str):
    literal = quoted(text)
    inside = literal[1:-1]
    assert (literal[0], literal[-1]) == ('"', '"')
    # Read back as PromQL does: a backslash takes the next character with it, and no bare quote or line is left.
    read, rest = [], iter(inside)
    for character in rest:
        assert character not in '"\n'
        read.append({"n": "\n"}.get(escaped := next(rest), escaped) if character == "\\" else character)
    assert "".join(read) == text


@pytest.mark.parametrize("pair", ["cluster", "=x", "a-b=c", "cluster=", "pod=a", "__name__=up", "le=1"])
def test_labels_that_cannot_select_are_refused(pair: str):
    with pytest.raises(MatcherError):
        matchers([pair])


def test_a_value_may_hold_an_equals_sign():
    assert matchers(["tenant=a=b"]) == (("tenant", "a=b"),)
