"""A metrics page on an address of this machine, in place of an engine that fake pods do not have."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from cluster.kubectl import Kubectl

RECORDED = (Path(__file__).parents[1] / "engine" / "data" / "vllm_0.32_metrics.txt").read_text()

PORT = 8000

_numbers = itertools.count(1)


@dataclass
class FakeEngine:
    """Answers every request with its page, with status 503 while that is empty."""

    address: str
    page: str = ""
    requests: list[str] = field(default_factory=list)


@contextlib.contextmanager
def fake_engine(page: str = "") -> Iterator[FakeEngine]:
    """Serve a page on a loopback address of its own."""
    engine = FakeEngine(f"127.77.{os.getpid() % 256}.{next(_numbers)}", page)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            engine.requests.append(self.path)
            self.send_response(200 if engine.page else 503)
            self.end_headers()
            self.wfile.write(engine.page.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((engine.address, PORT), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def move_to(kubectl: Kubectl, pod: str, address: str) -> None:
    """Give a fake pod an address where somebody listens."""
    patch = f'{{"status":{{"podIP":"{address}","podIPs":[{{"ip":"{address}"}}]}}}}'
    kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", f"--patch={patch}")
