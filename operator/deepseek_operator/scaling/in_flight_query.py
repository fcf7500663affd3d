"""The PromQL of the requests in flight of one object, for an autoscaler that asks Prometheus itself."""

from __future__ import annotations

from deepseek_operator.catalog.signals import measures_of
from deepseek_operator.resources.names import CANARY, group_name, object_name


def in_flight_series(release: str = "") -> tuple[str, ...]:
    """Return the metrics whose sum are the requests in flight: those in the batches and those that wait for one.

    Args:
        release: of vLLM; empty for an unknown one.

    >>> in_flight_series()
    ('vllm:num_requests_running', 'vllm:num_requests_waiting')
    """
    measures = measures_of("vllm", release)
    return tuple(measures[measure][0].metric for measure in ("running", "waiting"))


def in_flight_query(namespace: str, name: str, nodes_per_replica: int, release: str = "") -> str:
    """Return the query; its answer is empty, and not zero, when no replica is scraped.

    Pods are told by their names, as their Deployment or group gives them, because these labels are there however
    Prometheus finds the pods.

    Args:
        namespace: of the object.
        name: of the object.
        nodes_per_replica: 1 or more.
        release: of vLLM; empty for an unknown one.

    >>> in_flight_query("chat", "r1", 2)[:77]
    'sum(vllm:num_requests_running{namespace="chat",pod=~"r1-nodes-[0-9]+(-[0-9]+)'
    """
    pods = pod_pattern(name, nodes_per_replica)
    return " + ".join(f'sum({series}{{namespace="{namespace}",pod=~"{pods}"}})' for series in in_flight_series(release))


def pod_pattern(name: str, nodes_per_replica: int) -> str:
    """Return a regular expression of the names of an object's pods; Prometheus anchors it at both ends.

    >>> pod_pattern("chat-7b", 1)
    '(chat-7b|chat-7b-canary)-[a-z0-9]+-[a-z0-9]+'
    """
    if nodes_per_replica > 1:
        return f"{group_name(name)}-[0-9]+(-[0-9]+)?"
    return f"({object_name(name)}|{object_name(name, CANARY)})-[a-z0-9]+-[a-z0-9]+"
