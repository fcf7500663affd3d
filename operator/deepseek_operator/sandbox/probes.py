"""The few questions that starting a control plane puts to its API server and components."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from deepseek_operator.errors import SandboxError

_TIMEOUT_SECONDS = 10.0


def _client(certificate: Path, url: str, headers: Mapping[str, str] | None = None) -> httpx.Client:
    """Return a client for loopback: trusts one certificate and ignores the user's proxy settings."""
    context = ssl.create_default_context(cafile=str(certificate))
    return httpx.Client(base_url=url, headers=headers, verify=context, trust_env=False, timeout=_TIMEOUT_SECONDS)


class ApiServer:
    """A connection to the API server as administrator; a context manager.

    Args:
        url: where it listens.
        token: the administrator's bearer token.
        certificate: file with what signed its certificate.
    """

    def __init__(self, url: str, token: str, certificate: Path) -> None:
        self._client = _client(certificate, url, headers={"Authorization": f"Bearer {token}"})

    def __enter__(self) -> ApiServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def _get(self, path: str) -> httpx.Response | None:
        try:
            return self._client.get(path)
        except httpx.TransportError:
            return None

    def is_ready(self) -> bool:
        """Return whether it serves and has made its default roles and namespaces."""
        answer = self._get("/readyz")
        return answer is not None and answer.is_success

    def takes_pods(self) -> bool:
        """Return whether pods can be created: the default namespace has its service account."""
        answer = self._get("/api/v1/namespaces/default/serviceaccounts/default")
        return answer is not None and answer.is_success

    def create_node(self, manifest: Mapping[str, Any]) -> None:
        """Create a node, its status included.

        Raises:
            SandboxError: the API server refused it; the text has the API server's reason.
        """
        name = manifest["metadata"]["name"]
        try:
            answer = self._client.post("/api/v1/nodes", json=manifest)
        except httpx.TransportError as error:
            raise SandboxError(f"node {name} cannot be created: {error}") from error
        if not answer.is_success:
            raise SandboxError(f"node {name} is refused: {answer.json().get('message', answer.status_code)}")

    def ready_nodes(self) -> set[str]:
        """Return the names of the nodes that are Ready and no longer tainted as not ready."""
        answer = self._get("/api/v1/nodes")
        if answer is None or not answer.is_success:
            return set()
        return {node["metadata"]["name"] for node in answer.json()["items"] if _takes_pods(node)}


def _takes_pods(node: Mapping[str, Any]) -> bool:
    conditions = node["status"].get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    taints = node["spec"].get("taints", [])
    return ready and not any(taint["key"] == "node.kubernetes.io/not-ready" for taint in taints)


def component_is_healthy(port: int, certificate: Path) -> bool:
    """Return whether a component on loopback says that it is well; ``False`` while it has no certificate yet."""
    if not certificate.with_suffix(".key").exists():
        return False
    with _client(certificate, f"https://127.0.0.1:{port}") as client:
        try:
            return client.get("/healthz").is_success
        except httpx.TransportError:
            return False
