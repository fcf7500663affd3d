"""A stand-in of the Hugging Face hub on the loopback: one repository, and faults in the order in which they come.

Answers what ``huggingface_hub`` asks (model info, metadata, files with ranges) as the hub does, and keeps a record.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REPOSITORY = "deepseek-ai/tiny"
COMMIT = "1" * 40


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to one request in place of its answer.

    Args:
        status: HTTP status to answer with; 0 answers rightly but breaks off.
        headers: of that answer.
        after_bytes: where the connection breaks.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    after_bytes: int = 0


@dataclass
class Hub:
    """The repository and what was asked of it.

    Args:
        files: content by name.
        commit: what ``main`` points at.
        token: that every request must carry; empty asks for none.
        faults: by method and last part of the path; each list is used up in order.
        requests: method, last part of the path and range of every request.
        held: a name whose content is sent only once ``released`` is set.
        asked: set when the held content is asked for.
    """

    files: dict[str, bytes]
    commit: str = COMMIT
    token: str = ""
    faults: dict[tuple[str, str], list[Fault]] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    held: str = ""
    asked: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    endpoint: str = ""

    def count(self, method: str, name: str) -> int:
        """Return how often something was asked for."""
        return sum((each[0], each[1]) == (method, name) for each in self.requests)

    def ranges(self, name: str) -> list[str]:
        """Return the ranges in which a file was asked for; "" is the whole file."""
        return [each[2] for each in self.requests if each[:2] == ("GET", name)]

    def fault(self, method: str, name: str) -> Fault | None:
        with self.lock:
            waiting = self.faults.get((method, name)) or []
            return waiting.pop(0) if waiting else None


class Server(ThreadingHTTPServer):
    """The hub's server."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = hub


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        return

    def do_HEAD(self) -> None:
        self.answer("HEAD")

    def do_GET(self) -> None:
        self.answer("GET")

    def answer(self, method: str) -> None:
        hub, path = self.server.hub, self.path.partition("?")[0]
        name = "info" if path.startswith("/api/") else path.rpartition("/")[2]
        hub.requests.append((method, name, self.headers.get("Range") or ""))
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self.reply(401, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
            return
        fault = hub.fault(method, name)
        if fault is not None and fault.status:
            self.reply(fault.status, b"{}", fault.headers)
        elif name == "info":
            self.info(path)
        elif name in hub.files:
            self.file(method, name, fault)
        else:
            self.reply(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def info(self, path: str) -> None:
        hub = self.server.hub
        if not re.fullmatch(rf"/api/models/{REPOSITORY}(/revision/(main|{hub.commit}))?", path):
            self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = [{"rfilename": name, "size": len(content)} for name, content in hub.files.items()]
        answer = {"_id": "1", "id": REPOSITORY, "modelId": REPOSITORY, "sha": hub.commit, "siblings": siblings}
        self.reply(200, json.dumps(answer).encode())

    def file(self, method: str, name: str, fault: Fault | None) -> None:
        hub = self.server.hub
        content = hub.files[name]
        start = int(re.findall(r"\d+", self.headers.get("Range") or "0")[0])
        if method == "GET" and name == hub.held:
            hub.asked.set()
            hub.released.wait()
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": hub.commit,
            "Accept-Ranges": "bytes",
        }
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send(206 if start else 200, len(content) - start, headers)
        if method == "HEAD":
            return
        end = len(content) if fault is None else start + fault.after_bytes
        self.wfile.write(content[start:end])
        if fault is not None:
            self.close_connection = True

    def reply(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send(status, len(body), {"Content-Type": "application/json", **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def send(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(key, value)
        self.end_headers()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve a hub on a free port of the loopback while the block runs."""
    server = Server(hub)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
