"""The watchdog against servers that answer every way: only an answered error or a closed port is a dead backend."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType

import pytest

from deepseek_operator.resources.triton import watchdog_source

pytestmark = pytest.mark.enable_socket


@pytest.fixture
def watchdog() -> ModuleType:
    """The program as the pods run it."""
    module = ModuleType("triton_watchdog")
    exec(compile(watchdog_source(), "triton_watchdog.py", "exec"), module.__dict__)  # noqa: S102 - our own program
    return module


@contextmanager
def server_that_answers(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"words")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        pytest.param(200, 0, id="an answer"),
        pytest.param(429, 0, id="a full queue"),
        pytest.param(503, 0, id="a server that takes no more for now"),
        pytest.param(400, 1, id="Triton's answer for a dead stub"),
        pytest.param(500, 1, id="an engine that failed"),
    ],
)
def test_an_answer_decides_by_its_status(
    watchdog: ModuleType, capsys: pytest.CaptureFixture[str], status: int, code: int
) -> None:
    with server_that_answers(status) as port:
        assert watchdog.main(str(port), "/v2/models/m/generate", "{}") == code
    assert capsys.readouterr().out == (f"the backend failed: {status} words\n" if code else "")


def test_a_slow_answer_is_a_busy_backend(watchdog: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert watchdog.main(str(silent.getsockname()[1]), "/", "{}") == 0


def test_a_closed_port_is_a_dead_server(watchdog: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert watchdog.main(str(port), "/", "{}") == 1
    assert capsys.readouterr().out.startswith("the server does not answer:")
