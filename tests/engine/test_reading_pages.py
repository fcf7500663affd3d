"""Reading a page over HTTP from a loopback server that behaves well or badly."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from deepseek_operator.errors import EngineMetricsError
from deepseek_operator.prometheus import MAX_PAGE_BYTES, metrics_url, read_page

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def read_from(handler: Handler) -> str:
    """Return what is read from a server with one page."""

    async def serve_and_read() -> str:
        application = web.Application()
        application.router.add_get("/metrics", handler)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            return await read_page(metrics_url("127.0.0.1", runner.addresses[0][1]))
        finally:
            await runner.cleanup()

    return asyncio.run(serve_and_read())


def answering(**answer: object) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(**answer)  # type: ignore[arg-type]  # keywords are those of the response

    return handler


@pytest.mark.enable_socket
def test_a_page_is_read_without_credentials_or_compression(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    async def handler(request: web.Request) -> web.Response:
        told = {name: request.headers.get(name) for name in ("Authorization", "Cookie", "Accept-Encoding")}
        return web.Response(text=f"{told}")

    assert read_from(handler) == "{'Authorization': None, 'Cookie': None, 'Accept-Encoding': 'identity'}"


@pytest.mark.enable_socket
def test_a_page_of_just_the_limit_is_read():
    assert len(read_from(answering(body=b"#" * MAX_PAGE_BYTES))) == MAX_PAGE_BYTES


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("handler", "why"),
    [
        pytest.param(answering(status=404), "status 404", id="status"),
        pytest.param(answering(status=302, headers={"Location": "http://127.0.0.1:9/"}), "status 302", id="redirect"),
        pytest.param(answering(body=b"#" * (MAX_PAGE_BYTES + 1)), "larger than 4 MiB", id="too-large"),
        pytest.param(answering(body=b"\xff\xfe\x00"), "no UTF-8 text", id="binary"),
        pytest.param(
            answering(body=gzip.compress(b"#" * 2**27), headers={"Content-Encoding": "gzip"}), "no UTF-8", id="bomb"
        ),
        pytest.param(answering(headers={"X-Long": "y" * 100_000}), "does not answer", id="long-header"),
    ],
)
def test_a_bad_answer_is_one_sentence(handler: Handler, why: str):
    with pytest.raises(EngineMetricsError, match=why):
        read_from(handler)


@pytest.mark.enable_socket
def test_an_endless_page_ends_at_the_limit():
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await answer.write(b"#" * 65_536)
        return answer

    with pytest.raises(EngineMetricsError, match="larger than 4 MiB"):
        read_from(handler)


@pytest.mark.enable_socket
def test_nobody_there_is_one_sentence():
    with pytest.raises(EngineMetricsError, match=r"http://127.77.0.1:1/metrics does not answer"):
        asyncio.run(read_page(metrics_url("127.77.0.1", 1)))


@pytest.mark.parametrize("address", ["", "example.com", "127.0.0.1/24", "10.1.2.3:80@evil"])
def test_only_addresses_are_read(address: str):
    with pytest.raises(EngineMetricsError, match="no IP address"):
        metrics_url(address, 8000)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0", "::", "224.0.0.1"]
)
def test_an_address_that_no_pod_has_is_refused(address: str):
    with pytest.raises(EngineMetricsError, match=r"is no address of a pod$"):
        metrics_url(address, 8000)
