"""An external metrics API with one number, in place of prometheus-adapter, for a real HPA."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cluster.kubectl import Kubectl
from deepseek_operator.sandbox import SandboxState

VERSION = "external.metrics.k8s.io/v1beta1"
API_SERVICE = "v1beta1.external.metrics.k8s.io"


@dataclass
class ExternalMetrics:
    """What is told to whoever asks, as requests in flight; None answers that there is no such metric."""

    value: int | None = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Paths and label selectors of the questions, in their order."""


@contextlib.contextmanager
def external_metrics(kubectl: Kubectl, sandbox: SandboxState) -> Iterator[ExternalMetrics]:
    """Serve the API, registered with the API server through a Service in the namespace of ``kubectl``.

    A Service of type ExternalName is the only one that may lead to loopback.
    """
    metrics = ExternalMetrics()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(metrics))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates = sandbox.directory / "certs"
    context.load_cert_chain(certificates / "apiserver.crt", certificates / "apiserver.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        kubectl.apply(*_registered(kubectl.namespace, server.server_address[1]))
        kubectl("wait", "--for=condition=Available", f"apiservice/{API_SERVICE}", "--timeout=60s")
        yield metrics
    finally:
        kubectl("delete", "apiservice", API_SERVICE, "--ignore-not-found")
        server.shutdown()
        server.server_close()


def _registered(namespace: str, port: int) -> list[dict[str, Any]]:
    service = {"name": "external-metrics", "namespace": namespace}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": service,
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": API_SERVICE},
            "spec": {
                "group": "external.metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {**service, "port": port},
            },
        },
    ]


def _handler(metrics: ExternalMetrics) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path.rstrip("/") == f"/apis/{VERSION}":
                self._answer(
                    200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": VERSION, "resources": []}
                )
                return
            if "/namespaces/" not in url.path:
                self._answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404})
                return
            name = url.path.rsplit("/", 1)[-1]
            metrics.asked.append((url.path, parse_qs(url.query).get("labelSelector", [""])[0]))
            item = {"metricName": name, "metricLabels": {}, "timestamp": "2026-01-01T00:00:00Z"}
            items = [] if metrics.value is None else [{**item, "value": str(metrics.value)}]
            self._answer(
                200, {"kind": "ExternalMetricValueList", "apiVersion": VERSION, "metadata": {}, "items": items}
            )

        def _answer(self, code: int, body: dict[str, Any]) -> None:
            text = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    return Handler
