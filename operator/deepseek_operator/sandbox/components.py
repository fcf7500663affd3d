"""The command line of every component. All paths are relative to the plane's directory, where each of them runs."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from deepseek_operator.sandbox.nodes import FAKE_NODE_ANNOTATION

LOOPBACK = "127.0.0.1"
STAGES = Path(__file__).with_name("stages.yaml")
"""How KWOK lets nodes and pods live."""

AUDIT_POLICY_FILE = "audit-policy.json"
AUDIT_LOG_FILE = "audit.log"
"""In the plane's directory: the requests of service accounts, as the API server's audit writes them."""

# etcd listens on sockets inside the directory (mode 0700), so that no other user of the machine can reach it; it
# insists on something that looks like a port, which becomes part of the file's name.
_ETCD_SOCKET = "unix://etcd.sock:0"
_PEER_SOCKET = "unix://peer.sock:0"
ETCD_SOCKET_FILE = "etcd.sock:0"


@dataclass(frozen=True)
class Ports:
    """TCP ports on loopback."""

    api_server: int
    controller_manager: int
    scheduler: int
    webhooks: int = 0


def free_ports() -> Ports:
    """Return ports that nobody listens on; all are held at once so that no two are the same."""
    with ExitStack() as held:
        numbers = []
        for _ in range(4):
            listener = held.enter_context(socket.socket())
            listener.bind((LOOPBACK, 0))
            numbers.append(int(listener.getsockname()[1]))
        return Ports(*numbers)


def etcd_arguments() -> list[str]:
    """Return etcd's arguments; nothing is synced to disk, because nothing here has to outlive the machine."""
    return [
        "--name=sandbox",
        "--data-dir=etcd",
        "--unsafe-no-fsync",
        f"--listen-client-urls={_ETCD_SOCKET}",
        f"--advertise-client-urls={_ETCD_SOCKET}",
        f"--listen-peer-urls={_PEER_SOCKET}",
        f"--initial-advertise-peer-urls={_PEER_SOCKET}",
        f"--initial-cluster=sandbox={_PEER_SOCKET}",
        "--log-level=warn",
    ]


def api_server_arguments(ports: Ports) -> list[str]:
    """Return kube-apiserver's arguments: RBAC, default features and admission, an audit of service accounts."""
    return [
        f"--etcd-servers={_ETCD_SOCKET}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={ports.api_server}",
        # A loopback address is no legal endpoint; the `kubernetes` service exists without one.
        "--endpoint-reconciler-type=none",
        "--cert-dir=certs",
        "--token-auth-file=tokens.csv",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=service-account.key",
        "--service-account-signing-key-file=service-account.key",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged=true",
        # Off by default in Kubernetes, on in OpenShift: who sets an owner must have the right to.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        f"--audit-policy-file={AUDIT_POLICY_FILE}",
        f"--audit-log-path={AUDIT_LOG_FILE}",
        "--profiling=false",
    ]


def audit_policy() -> str:
    """Return kube-apiserver's audit policy: what service accounts ask for, without bodies; the plane itself uses none.

    What an operator with its own account did, and what it was refused, is then in :data:`AUDIT_LOG_FILE`, one JSON
    object per line.
    """
    return json.dumps(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
        }
    )


def controller_manager_arguments(ports: Ports) -> list[str]:
    """Return kube-controller-manager's arguments: every default controller, and no waiting on its own quota."""
    return [
        "--kubeconfig=kube-controller-manager.kubeconfig",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={ports.controller_manager}",
        "--cert-dir=certs",
        "--leader-elect=false",
        "--root-ca-file=certs/apiserver.crt",
        "--service-account-private-key-file=service-account.key",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--profiling=false",
    ]


def scheduler_arguments(ports: Ports) -> list[str]:
    """Return kube-scheduler's arguments; the rest is in :func:`scheduler_configuration`."""
    return [
        "--config=kube-scheduler.json",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={ports.scheduler}",
        "--cert-dir=certs",
    ]


def scheduler_configuration() -> str:
    """Return kube-scheduler's configuration file: default plugins, short back-off."""
    return json.dumps(
        {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            "clientConnection": {"kubeconfig": "kube-scheduler.kubeconfig", "qps": 500, "burst": 1000},
            "podInitialBackoffSeconds": 1,
            "podMaxBackoffSeconds": 2,
        }
    )


def kwok_arguments() -> list[str]:
    """Return KWOK's arguments: only nodes with its annotation are kept alive, and their pods with them."""
    key, value = FAKE_NODE_ANNOTATION
    return [
        "--kubeconfig=kwok.kubeconfig",
        f"--config={STAGES}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={key}={value}",
        "--node-ip=192.0.2.1",
        "--cidr=10.244.0.0/16",
        "--node-lease-duration-seconds=40",
    ]
