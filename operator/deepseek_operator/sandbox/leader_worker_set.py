"""LeaderWorkerSet in a local control plane: definitions, webhooks and the controller, all real.

In a cluster the webhooks are reached through a Service with a certificate of its own. Here the API server calls the
controller on loopback, and both use the certificate that the API server has made for that address.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from deepseek_operator.errors import SandboxError
from deepseek_operator.sandbox.components import LOOPBACK
from deepseek_operator.sandbox.leader_worker_set_build import CONTROLLER, LeaderWorkerSetFiles
from deepseek_operator.sandbox.startup import Startup
from deepseek_operator.sandbox.state import SandboxState, write_private

CONFIGURATION = "leader-worker-set.json"
CERTIFICATES = "leader-worker-set"
"""Folder with ``tls.crt`` and ``tls.key``, as the controller wants to find them."""

OF_GROUPS = {"matchExpressions": [{"key": "leaderworkerset.sigs.k8s.io/name", "operator": "Exists"}]}
"""Pods that its webhooks look at. Source: kubernetes-sigs/lws v0.9.0 ``config/webhook/*-patch.yaml``."""

_PROBE: Mapping[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "probe", "namespace": "default", "labels": {"leaderworkerset.sigs.k8s.io/name": "probe"}},
    "spec": {"containers": [{"name": "probe", "image": "probe"}]},
}
"""A pod that the webhook refuses, because it lacks the size of its group."""


def start_leader_worker_set(startup: Startup, files: LeaderWorkerSetFiles, port: int) -> None:
    """Install the definitions, start the controller, and return when its webhooks answer.

    Args:
        startup: of a control plane that is up.
        files: what to run.
        port: of the webhooks, on loopback.

    Raises:
        SandboxError: the API server refused something, or the controller did not start.
    """
    directory, state = startup.state.directory, startup.state
    certificates = directory / CERTIFICATES
    certificates.mkdir()
    for name, copy in (("apiserver.crt", "tls.crt"), ("apiserver.key", "tls.key")):
        shutil.copy(directory / "certs" / name, certificates / copy)
    write_private(directory / CONFIGURATION, json.dumps(configuration(port)))
    for definition in files.definitions:
        _kubectl(state, "apply", "--server-side", "--filename", str(definition))
    kinds = ",".join(resource_name(definition.stem) for definition in files.definitions)
    startup.wait("LeaderWorkerSets are served", lambda: _run(state, "get", kinds).returncode == 0)
    startup.run(CONTROLLER, controller_arguments(), path=files.controller)
    authority = base64.b64encode((certificates / "tls.crt").read_bytes()).decode()
    hooks = webhooks(yaml.safe_load_all(files.webhooks.read_text()), port, authority)
    _kubectl(state, "apply", "--server-side", "--filename", "-", given=json.dumps(hooks))
    startup.wait("LeaderWorkerSet's webhooks answer", lambda: _webhooks_answer(state))


def resource_name(stem: str) -> str:
    """Return a resource as kubectl names it, from the name of its definition's file.

    >>> resource_name("leaderworkerset.x-k8s.io_leaderworkersets")
    'leaderworkersets.leaderworkerset.x-k8s.io'
    """
    group, _, plural = stem.partition("_")
    return f"{plural}.{group}"


def controller_arguments() -> list[str]:
    """Return the controller's arguments."""
    return [f"--kubeconfig={CONTROLLER}.kubeconfig", f"--config={CONFIGURATION}", "--zap-log-level=info"]


def configuration(port: int) -> dict[str, Any]:
    """Return the controller's configuration file: one process, webhooks on loopback, nothing else listens."""
    return {
        "apiVersion": "config.lws.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "webhook": {"host": LOOPBACK, "port": port, "certDir": CERTIFICATES},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": "0"},
    }


def webhooks(declared: Iterable[Mapping[str, Any]], port: int, authority: str) -> dict[str, Any]:
    """Return a List of the webhook configurations, called on loopback.

    Args:
        declared: as the project declares them, called through a Service.
        port: where the controller listens.
        authority: certificate of the controller, PEM in base64.
    """
    made = []
    for each in declared:
        kind = each["kind"].removesuffix("WebhookConfiguration").lower()
        hooks = [_on_loopback(hook, port, authority) for hook in each["webhooks"]]
        made.append({**each, "metadata": {"name": f"lws-{kind}"}, "webhooks": hooks})
    return {"apiVersion": "v1", "kind": "List", "items": made}


def _on_loopback(hook: Mapping[str, Any], port: int, authority: str) -> dict[str, Any]:
    path = hook["clientConfig"]["service"]["path"]
    client = {"url": f"https://{LOOPBACK}:{port}{path}", "caBundle": authority}
    of_pods = any("pods" in rule["resources"] for rule in hook["rules"])
    return {**hook, "clientConfig": client, **({"objectSelector": OF_GROUPS} if of_pods else {})}


def _webhooks_answer(state: SandboxState) -> bool:
    done = _run(state, "create", "--dry-run=server", "--filename", "-", given=json.dumps(_PROBE))
    return "size annotation is unexpectedly missing" in done.stderr


def _kubectl(state: SandboxState, *arguments: str, given: str | None = None) -> None:
    done = _run(state, *arguments, given=given)
    if done.returncode != 0:
        raise SandboxError(f"LeaderWorkerSet cannot be installed: kubectl {arguments[0]}: {done.stderr.strip()}")


def _run(state: SandboxState, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(state.kubectl), "--kubeconfig", str(state.kubeconfig), *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)  # noqa: S603 - our own binary
