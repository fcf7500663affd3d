"""What an administrator can set on the running operator, with the defaults and their reasons."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from deepseek_operator.handlers.scaling_options import ScalingOptions
from deepseek_operator.prometheus_api import PrometheusSettings


def process_identity() -> str:
    """Return a name for this process: the pod's name inside a cluster, else host name and process id."""
    return os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one operator process.

    Args:
        namespaces: watched namespaces; empty watches all.
        kubeconfig: path of a kubeconfig; None uses the pod's service account or the user's default.
        address: where the metrics and health page listens.
        port: its port; 0 chooses a free one.
        leader_election: whether a Lease guards that one process is active.
        lease_namespace: namespace of that Lease.
        lease_name: name of that Lease.
        identity: this process in the Lease.
        lease_seconds: a silent leader is replaced after this time.
        resync_seconds: longest time between two full passes over one object, when nothing wakes it earlier.
        settle_seconds: how long a change of the nodes may settle before all objects look at it.
        max_parallel_reconciles: objects worked on at once.
        capacity_page: whether the page with metrics also shows GPUs and who holds them, of all namespaces.
        read_engine_metrics: whether the metrics pages of started engines are read, to correct plans.
        scaling: of the rounds that decide replicas by what engines measure.
        prometheus: where the engines' metrics are; None keeps every object at its plan.
    """

    namespaces: tuple[str, ...] = ()
    kubeconfig: str | None = None
    address: str = "0.0.0.0"  # noqa: S104 - the kubelet and Prometheus reach the pod from outside
    port: int = 8080
    leader_election: bool = True
    lease_namespace: str = "deepseek-operator"
    lease_name: str = "deepseek-operator"
    identity: str = field(default_factory=process_identity)
    lease_seconds: int = 30
    resync_seconds: int = 3600
    settle_seconds: float = 1.0
    max_parallel_reconciles: int = 32
    read_engine_metrics: bool = True
    scaling: ScalingOptions = field(default_factory=ScalingOptions)
    capacity_page: bool = False
    prometheus: PrometheusSettings | None = None
