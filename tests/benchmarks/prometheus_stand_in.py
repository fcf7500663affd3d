"""A process that answers queries of scaling as Prometheus would, for pods that are named in them; prints its port.

Every pod has the same values; a histogram has the buckets of the recorded page of vLLM 0.32. Answers are made once and
kept, because it is the operator that is measured.
"""

from __future__ import annotations

import json
import re
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

RECORDED = Path(__file__).parents[1] / "engine" / "data" / "vllm_0.32_metrics.txt"
NAMESPACE = re.compile(r'namespace=~"([^"]+)"')
PODS = re.compile(r'pod=~"([^"]+)"')
METRIC = re.compile(r"(vllm:\w+)\{")
VALUES = {
    "vllm:generation_tokens_total": 400.0,
    "vllm:num_requests_running": 8.0,
    "vllm:num_requests_waiting": 0.0,
    "vllm:prompt_tokens_total": 2000.0,
    "vllm:time_to_first_token_seconds_count": 2.0,
    "vllm:time_to_first_token_seconds_sum": 0.8,
    "vllm:inter_token_latency_seconds_sum": 7.96,
    "vllm:request_prefill_time_seconds_sum": 0.2,
    "vllm:kv_cache_usage_perc": 0.3,
    "vllm:num_preemptions_total": 0.0,
    "vllm:admission_rejections_total": 0.0,
    "vllm:cache_config_info": 1.0,
}


@cache
def bounds(metric: str) -> tuple[str, ...]:
    return tuple(re.findall(rf'^{metric}{{.*le="([^"]+)"', RECORDED.read_text(), re.MULTILINE))


@cache
def answer(query: str) -> bytes:
    """Return the answer to one query."""
    namespace, pods, metric = NAMESPACE.search(query), PODS.search(query), METRIC.search(query)
    rows: list[dict[str, object]] = []
    if namespace is not None and pods is not None and metric is not None:
        for pod in pods.group(1).split("|"):
            rows += _rows(query, metric.group(1), {"namespace": namespace.group(1), "pod": pod})
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": rows}}).encode()


def _rows(query: str, metric: str, labels: dict[str, str]) -> list[dict[str, object]]:
    now = round(time.time(), 3)
    if "timestamp(" in query:
        return [{"metric": labels, "value": [now, f"{now - 5:.3f}"]}]
    if metric.endswith("_bucket"):
        rate = {bound: str(2.0 if float(bound) >= 0.5 else 0.0) for bound in bounds(metric)}
        return [{"metric": {**labels, "le": bound}, "value": [now, text]} for bound, text in rate.items()]
    extra: dict[str, str] = {}
    if metric == "vllm:cache_config_info":
        extra = {"num_gpu_blocks": "20000", "block_size": "16", "kv_cache_size_tokens": "320000"}
    if metric == "vllm:kv_cache_usage_perc":
        extra = {"engine": "0"}
    return [{"metric": {**labels, **extra}, "value": [now, str(VALUES[metric])]}]


class Handler(BaseHTTPRequestHandler):
    """Answers ``POST /api/v1/query``."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer one query."""
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        content = answer(parse_qs(form, max_num_fields=10)["query"][0])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
