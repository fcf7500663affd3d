"""Metrics pages of engines for a real Prometheus: the recorded page of vLLM 0.32.0 with counters that a load advances.

Every pod has its page on one loopback server; the list of targets is kept in a file that Prometheus watches.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RECORDED = Path(__file__).parent / "engine" / "data" / "vllm_0.32_metrics.txt"
MODEL = "ds-v3-tiny"
"""Served name on the recorded page."""

Pod = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one engine does; every request is like every other.

    Args:
        requests_per_second: that get their first token and end.
        running: in the batch; None for what the times above make of it (Little's law).
    """

    requests_per_second: float = 0.0
    prompt_tokens: float = 1000.0
    output_tokens: float = 200.0
    ttft_seconds: float = 0.4
    tpot_seconds: float = 0.02
    prefill_seconds: float = 0.1
    running: float | None = None
    waiting: float = 0.0
    kv_cache_used_fraction: float = 0.2
    preemptions_per_second: float = 0.0

    @property
    def in_batch(self) -> float:
        if self.running is not None:
            return self.running
        return self.requests_per_second * (self.prefill_seconds + self.output_tokens * self.tpot_seconds)


@dataclass
class _Engine:
    load: Load
    since: float = field(default_factory=time.monotonic)
    counters: dict[str, float] = field(default_factory=dict)
    down: bool = False

    def advance(self) -> None:
        """Add what was done since the last time; a histogram counts where its bounds are given as ``NAME|LE``."""
        now = time.monotonic()
        requests = self.load.requests_per_second * (now - self.since)
        preemptions = self.load.preemptions_per_second * (now - self.since)
        self.since = now
        load = self.load
        gaps = requests * (load.output_tokens - 1)
        self._add("vllm:prompt_tokens_total", requests * load.prompt_tokens)
        self._add("vllm:generation_tokens_total", requests * load.output_tokens)
        self._add("vllm:num_preemptions_total", preemptions)
        self._observe("vllm:time_to_first_token_seconds", requests, load.ttft_seconds)
        self._observe("vllm:inter_token_latency_seconds", gaps, load.tpot_seconds)
        self._observe("vllm:request_time_per_output_token_seconds", requests, load.tpot_seconds)
        self._observe("vllm:request_prefill_time_seconds", requests, load.prefill_seconds)

    def _add(self, name: str, amount: float) -> None:
        self.counters[name] = self.counters.get(name, 0.0) + amount

    def _observe(self, name: str, times: float, value: float) -> None:
        self._add(f"{name}_count", times)
        self._add(f"{name}_sum", times * value)
        for bound in _BOUNDS[name]:
            self._add(f"{name}_bucket|{bound}", times if value <= float(bound) else 0.0)

    def value(self, name: str, labels: str, recorded: str) -> str:
        """Return the value of one line of the page."""
        gauges = {
            "vllm:num_requests_running": self.load.in_batch,
            "vllm:num_requests_waiting": self.load.waiting,
            "vllm:kv_cache_usage_perc": self.load.kv_cache_used_fraction,
        }
        bound = _LE.search(labels)
        key = f"{name}|{bound.group(1)}" if bound else name
        found = gauges.get(name, self.counters.get(key))
        return recorded if found is None else f"{found:.6f}"


_LINE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)$")
_LE = re.compile(r'le="([^"]+)"')
_LINES = RECORDED.read_text().splitlines()


def _bounds(name: str) -> list[str]:
    found = (_LE.search(line) for line in _LINES if line.startswith(f"{name}_bucket{{"))
    return [match.group(1) for match in found if match]


_BOUNDS = {
    name: _bounds(name)
    for name in (
        "vllm:time_to_first_token_seconds",
        "vllm:inter_token_latency_seconds",
        "vllm:request_time_per_output_token_seconds",
        "vllm:request_prefill_time_seconds",
    )
}


class EnginePages:
    """The pages of any number of pods on one port of this machine.

    Args:
        folder: where ``targets.json`` is kept for Prometheus.
    """

    def __init__(self, folder: Path) -> None:
        self.targets = folder / "targets.json"
        self._engines: dict[Pod, _Engine] = {}
        self._texts: dict[Pod, str] = {}
        self._renamed: dict[str, str] = {}
        self._lock = threading.Lock()
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = pages.page(tuple(self.path.split("/")[1:3]))  # type: ignore[arg-type]  # - checked by lookup
                self.send_response(503 if content is None else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write((content or "").encode())

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._write_targets()

    def put(self, namespace: str, pod: str, load: Load) -> None:
        """Give a pod a load from now on; a new pod becomes a target, with counters at zero."""
        with self._lock:
            engine = self._engines.get((namespace, pod))
            if engine is None:
                self._engines[(namespace, pod)] = _Engine(load)
                self._write_targets()
            else:
                engine.advance()
                engine.load = load

    def put_text(self, namespace: str, name: str, text: str) -> None:
        """Give something that is no engine a page; a new one becomes a target."""
        with self._lock:
            self._texts[(namespace, name)] = text
            self._write_targets()

    def remove(self, namespace: str, pod: str) -> None:
        """Take a pod out of the targets."""
        with self._lock:
            if self._engines.pop((namespace, pod), None) is not None:
                self._write_targets()

    def pods(self) -> list[Pod]:
        """Return the pods that have a page."""
        return list(self._engines)

    def set_down(self, namespace: str, pod: str, down: bool = True) -> None:
        """Let the page of a pod fail, or work again; it stays a target."""
        self._engines[(namespace, pod)].down = down

    def rename(self, old: str, new: str) -> None:
        """Call a family of metrics by another name on all pages, as another release would; the same name undoes it."""
        self._renamed[old] = new

    def page(self, pod: Pod) -> str | None:
        """Return the page of a pod as it is now; None for one that is down or unknown."""
        with self._lock:
            engine = self._engines.get(pod)
            if engine is None or engine.down:
                return self._texts.get(pod)
            engine.advance()
            return "\n".join(self._page(engine)) + "\n"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _page(self, engine: _Engine) -> Iterator[str]:
        for line in _LINES:
            match = _LINE.match(line)
            if match is None:
                continue  # a comment; types are no matter to Prometheus
            name, labels, recorded = match.group(1), match.group(2) or "", match.group(3)
            value = engine.value(name, labels, recorded)
            for old, new in self._renamed.items():
                if name == old or name.startswith(f"{old}_"):
                    name = new + name.removeprefix(old)
            yield f"{name}{labels} {value}"

    def _write_targets(self) -> None:
        host, port = self._server.server_address[:2]
        listed = [
            {
                "targets": [f"{host!s}:{port}"],
                "labels": {"namespace": namespace, "pod": pod, "__metrics_path__": f"/{namespace}/{pod}/metrics"},
            }
            for namespace, pod in (*self._engines, *self._texts)
        ]
        part = self.targets.with_suffix(".part")
        part.write_text(json.dumps(listed))
        part.rename(self.targets)
