"""The Service of a model: one stable name for requests and for metrics."""

from __future__ import annotations

from collections.abc import Mapping

from deepseek_operator.resources.names import Manifest, Owner, metadata, object_name, selector_labels

HTTP_PORT = 80
HTTPS_PORT = 443
ENGINE_PORT = 8000
"""Port that the engine listens on. Source: default of ``vllm serve --port``, flag table of release 0.32.0."""

NO_PORTS: Mapping[str, int] = {}


def port_name(*, tls: bool) -> str:
    """Return the name of the one port, in the Service and in the container.

    Metrics are served on it too (``/metrics``), so a ServiceMonitor names this port.
    """
    return "https" if tls else "http"


def endpoint(owner: str, namespace: str, *, tls: bool) -> str:
    """Return the base URL that clients inside the cluster use.

    >>> endpoint("deepseek-67b", "chat", tls=False)
    'http://deepseek-67b.chat.svc'
    """
    return f"{port_name(tls=tls)}://{object_name(owner)}.{namespace}.svc"


def build_service(owner: Owner, *, tls: bool, more_ports: Mapping[str, int] = NO_PORTS) -> Manifest:
    """Return the ClusterIP Service in front of a model's ready pods.

    Args:
        owner: the DeepSeekDeployment.
        tls: whether the engine serves HTTPS; then the Service port is 443.
        more_ports: further ports of the container by name, served under their own numbers.
    """
    name = port_name(tls=tls)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner),
        "spec": {
            "type": "ClusterIP",
            "selector": selector_labels(owner.name),
            "ports": [
                {
                    "name": name,
                    "port": HTTPS_PORT if tls else HTTP_PORT,
                    "targetPort": name,
                    "protocol": "TCP",
                    "appProtocol": name,
                },
                *(
                    {"name": other, "port": port, "targetPort": other, "protocol": "TCP"}
                    for other, port in more_ports.items()
                ),
            ],
        },
    }
