"""Asking a loopback server that speaks the query API well or badly."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from deepseek_operator.errors import PrometheusError
from deepseek_operator.handlers.signal_reader import NOT_CONFIGURED, ReadCost, SignalReader
from deepseek_operator.prometheus_api import MAX_ANSWER_BYTES, MAX_QUERIES, PrometheusSettings, connected
from deepseek_operator.scaling.readings import MeasuredObject, ProblemReason, Readings
from deepseek_operator.scaling.samples import Row

CERTIFICATE = Path(__file__).parent / "data" / "loopback.pem"
"""A certificate for 127.0.0.1 that signs itself, with its key, made for these tests."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
VECTOR = {
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": {"pod": "a"}, "value": [1.5, "2"]}]},
}
R1 = MeasuredObject(
    uid="u", namespace="chat", name="r1", engine="vllm", release="0.32.0", pods=("r1-a",), served_name="r1"
)

pytestmark = pytest.mark.enable_socket


async def served(handler: Handler, then: Callable[[str], Awaitable[object]], *, tls: bool = False) -> object:
    """Return what is made of the base URL of a server whose every POST goes to the handler."""
    application = web.Application()
    application.router.add_post("/api/v1/query", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if tls else None
    if context is not None:
        context.load_cert_chain(CERTIFICATE)
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        return await then(f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


def ask(handler: Handler, *, tls: bool = False, seconds: float = 10.0, ca: str = "", token: str = "") -> list[Row]:
    async def then(url: str) -> list[Row]:
        settings = PrometheusSettings(url=url, ca_file=ca, token_file=token, query_seconds=seconds)
        async with connected(settings) as prometheus:
            return await prometheus.rows("up")

    rows = asyncio.run(served(handler, then, tls=tls))
    assert isinstance(rows, list)
    return rows


def answering(**answer: object) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(**answer)  # type: ignore[arg-type]  # keywords are those of the response

    return handler


def test_a_query_is_posted_without_credentials_or_compression(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    seen: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(dict(await request.post()))
        seen.append([request.headers.get(name) for name in ("Authorization", "Cookie", "Accept-Encoding")])
        return web.json_response(VECTOR)

    assert ask(handler) == [Row(labels={"pod": "a"}, value=2.0, time=1.5)]
    assert seen == [{"query": "up", "timeout": "10s"}, [None, None, "identity"]]


def test_a_token_is_sent_over_tls_that_the_given_authority_vouches_for(tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("abc.def\n")

    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer abc.def"
        return web.json_response(VECTOR)

    assert len(ask(handler, tls=True, ca=str(CERTIFICATE), token=str(token))) == 1
    with pytest.raises(PrometheusError, match="its certificate is not trusted"):
        ask(handler, tls=True)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(None, "holds no token", id="missing"),
        pytest.param("", "a bearer token is one word", id="empty"),
        pytest.param("two words", "a bearer token is one word", id="words"),
        pytest.param("x\r\nEvil: 1", "a bearer token is one word", id="header-injection"),
        pytest.param("ä", "holds no token", id="not-ascii"),
        pytest.param("x" * 20_000, "a bearer token is one word", id="long"),
    ],
)
def test_a_bad_token_file_is_one_sentence_without_the_token(tmp_path: Path, content: str | None, why: str):
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PrometheusError, match=why) as raised:
        ask(answering(), token=str(path))
    assert "words" not in str(raised.value).removesuffix("one word")
    assert "Evil" not in str(raised.value)


REFUSAL = {"status": "error", "errorType": "bad_data", "error": "parse error at char 3:\nunexpected end"}


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        pytest.param(answering(status=500), "answers with status 500", id="status"),
        pytest.param(answering(status=404), "has no /api/v1/query; is a path of the URL missing", id="path"),
        pytest.param(answering(status=401), r"refuses the operator \(status 401\)", id="unauthorized"),
        pytest.param(
            answering(status=307, headers={"Location": "http://127.0.0.1:9/"}),
            "sends to another address",
            id="redirect",
        ),
        pytest.param(answering(status=400, text=json.dumps(REFUSAL)), r"bad_data\): parse error at char 3", id="query"),
        pytest.param(answering(status=503, text="no"), "answers with status 503", id="unavailable"),
        pytest.param(answering(text="<html>"), "Expecting value", id="html"),
        pytest.param(answering(text="[" * 100_000), "recursion|too deep|Expecting", id="deep"),
        pytest.param(answering(text='{"status":"success","data":{"resultType":"scalar"}}'), "no vector", id="scalar"),
        pytest.param(answering(body=b" " * (MAX_ANSWER_BYTES + 1)), "larger than 32 MiB", id="too-large"),
        pytest.param(answering(headers={"X-Long": "y" * 100_000}), "does not answer", id="long-header"),
    ],
)
def test_a_bad_answer_is_one_line(handler: Handler, why: str):
    with pytest.raises(PrometheusError, match=why) as raised:
        ask(handler)
    assert len(str(raised.value)) < 300
    assert "\n" not in str(raised.value)


def test_a_slow_answer_is_given_up():
    async def handler(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    with pytest.raises(PrometheusError, match=r"does not answer \(TimeoutError|SocketTimeout"):
        ask(handler, seconds=0.05)


def read(handler: Handler, *objects: MeasuredObject) -> tuple[dict[str, Readings], ReadCost]:
    async def then(url: str) -> tuple[dict[str, Readings], ReadCost]:
        reader = SignalReader(PrometheusSettings(url=url))
        return dict(await reader.read(objects, time.monotonic())), reader.cost

    found = asyncio.run(served(handler, then))
    assert isinstance(found, tuple)
    return found


def test_nobody_there_is_asked_once_and_not_by_every_query():
    reader = SignalReader(PrometheusSettings(url="http://127.77.0.1:1"))
    (readings,) = asyncio.run(reader.read([R1], 0.0)).values()
    assert readings.problem is not None
    assert (readings.problem.reason, readings.problem.message) == (
        ProblemReason.UNREACHABLE,
        "Prometheus at 127.77.0.1:1 does not answer (Connection refused)",
    )
    assert reader.cost == ReadCost(queries=MAX_QUERIES)


def test_without_a_prometheus_every_object_says_so():
    assert asyncio.run(SignalReader().read([R1], 0.0)) == {"u": Readings(problem=NOT_CONFIGURED)}


def test_objects_at_zero_are_asked_of_the_gateway_alone():
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        query = str((await request.post())["query"])
        asked.append(query)
        waits = [{"metric": {"namespace": "chat", "model_name": "r1"}, "value": [1.0, "3"]}]
        result = waits if "flow_control_queue_size" in query else []
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    sleeping = MeasuredObject(
        uid="z", namespace="chat", name="r1", engine="vllm", release="0.32.0", pods=(), served_name="r1"
    )
    found, cost = read(handler, sleeping)
    assert (found["z"].queued_at_gateway.value, found["z"].problem) == (3.0, None)
    assert (len(asked), cost.queries) == (2, 2)


def test_a_refused_query_is_a_problem_of_its_own_release_alone():
    async def handler(request: web.Request) -> web.Response:
        query = str((await request.post())["query"])
        if "gpu_cache_usage_perc" in query:
            return web.json_response(REFUSAL, status=400)
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": []}})

    old = MeasuredObject(
        uid="old", namespace="chat", name="old", engine="vllm", release="0.9.2", pods=("old-a",), served_name="old"
    )
    found, _ = read(handler, R1, old)
    reasons = {uid: readings.problem.reason for uid, readings in found.items() if readings.problem is not None}
    assert reasons == {"u": ProblemReason.ABSENT, "old": ProblemReason.UNREACHABLE}
