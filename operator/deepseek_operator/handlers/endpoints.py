"""A small HTTP server: ``/metrics``, ``/healthz`` and ``/readyz`` for machines, ``/capacity`` for people.

It runs in a thread of its own, so that it can still answer "not healthy" when the event loop hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

HEARTBEAT_LIMIT_SECONDS = 60
"""The event loop beats every few seconds; a minute of silence means that it hangs."""

RETRY_AFTER = "5"
"""Seconds after which the capacity page of a large cluster is there."""

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Heartbeat:
    """When the event loop last turned; written by the loop, read by the page."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def beat(self) -> None:
        """Record that the loop turned now."""
        self._last = time.monotonic()

    def age_seconds(self) -> float:
        """Return the seconds since the last turn."""
        return time.monotonic() - self._last


class _QuietHandler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
        """Keep scrapes and probes out of the log."""


class Endpoints:
    """The running page.

    Args:
        address: address to listen on.
        port: port to listen on; 0 chooses a free one.
        registry: metrics to show.
        heartbeat: the event loop's.
        capacity: gives the newest capacity page, None while it is being made; None serves no such page.
    """

    def __init__(
        self,
        address: str,
        port: int,
        registry: CollectorRegistry,
        heartbeat: Heartbeat,
        capacity: Callable[[], bytes | None] | None = None,
    ) -> None:
        metrics = make_wsgi_app(registry)

        def page(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                return metrics(environ, start_response)  # type: ignore[no-any-return]  # untyped in the library
            if path in ("/healthz", "/readyz"):
                age = heartbeat.age_seconds()
                healthy = age < HEARTBEAT_LIMIT_SECONDS
                start_response("200 OK" if healthy else "503 Service Unavailable", [("Content-Type", "text/plain")])
                return [b"ok\n" if healthy else f"event loop silent for {age:.0f} s\n".encode()]
            if path == "/capacity" and capacity is not None:
                return _capacity(capacity(), start_response)
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found; try /metrics, /healthz or /readyz\n"]

        self._server = make_server(address, port, page, WSGIServer, _QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="endpoints", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that the page listens on."""
        return self._server.server_port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _capacity(page: bytes | None, start_response: StartResponse) -> Iterable[bytes]:
    html = ("Content-Type", "text/html; charset=utf-8")
    if page is None:
        start_response("503 Service Unavailable", [html, ("Retry-After", RETRY_AFTER), ("Refresh", RETRY_AFTER)])
        return [b"<p>The page is being made; it appears here in some seconds.</p>\n"]
    start_response("200 OK", [html, ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store")])
    return [page]
