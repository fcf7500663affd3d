from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from deepseek_operator.cli.prometheus_options import prometheus_settings
from deepseek_operator.prometheus_api import PrometheusSettings
from deepseek_operator.scaling.promql import QueryRules

MOUNTED = "/etc/token"


def settings(url: str | None, **options: object) -> PrometheusSettings | None:
    plain = {"ca_file": None, "token_file": None, "labels": (), "scrape_seconds": 15.0, "rate_seconds": 60.0}
    return prometheus_settings(url, **{**plain, **options})


def test_without_a_url_there_is_no_prometheus():
    assert settings(None) is None


def test_everything_that_is_asked_with():
    assert settings(
        "https://thanos:9091/tenant/",
        ca_file="/etc/ca.crt",
        token_file=MOUNTED,
        labels=["cluster=eu-1", 'tenant=a"b'],
        scrape_seconds=30.0,
    ) == PrometheusSettings(
        url="https://thanos:9091/tenant",
        ca_file="/etc/ca.crt",
        token_file=MOUNTED,
        rules=QueryRules(scrape_seconds=30.0, matchers=(("cluster", "eu-1"), ("tenant", 'a"b'))),
    )


@pytest.mark.parametrize(
    ("url", "options", "why"),
    [
        pytest.param("thanos:9091", {}, "begins with http:// or https://", id="no-scheme"),
        pytest.param("file:///etc/passwd", {}, "begins with http:// or https://", id="another-scheme"),
        pytest.param("http://[::1", {}, "cannot be read", id="broken"),
        pytest.param("https://me:secret@thanos", {}, "holds a password", id="password"),
        pytest.param("http://p/?tenant=1", {}, "ends with its path", id="query"),
        pytest.param("http://p", {"token_file": "/t"}, "over https only", id="token-over-http"),
        pytest.param("http://p", {"ca_file": "/c"}, "give Prometheus' https URL", id="authority-over-http"),
        pytest.param("https://p", {"token_file": str(Path(__file__).parent)}, "is a folder", id="folder"),
        pytest.param("http://p", {"labels": ["cluster"]}, "write KEY=VALUE", id="no-value"),
        pytest.param("http://p", {"labels": ['x"}=1']}, "write KEY=VALUE", id="injection"),
        pytest.param("http://p", {"labels": ["pod=a"]}, "set by the operator's own queries", id="own-label"),
        pytest.param(None, {"token_file": "/t"}, "--prometheus-url says where it is", id="token-without-url"),
        pytest.param(None, {"labels": ["a=b"]}, "--prometheus-url says where it is", id="label-without-url"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(url: str | None, options: dict[str, Any], why: str):
    with pytest.raises(typer.BadParameter, match=why) as raised:
        settings(url, **options)
    assert "secret" not in str(raised.value)
