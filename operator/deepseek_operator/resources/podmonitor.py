"""How Prometheus finds the metrics of a model's pods, where the Prometheus Operator's definitions are installed."""

from __future__ import annotations

import re

from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.resources.names import (
    LABEL_DEPLOYMENT,
    LABEL_ROLE,
    Manifest,
    Owner,
    metadata,
    object_name,
    selector_labels,
)

METRICS_PATH = "/metrics"
METRICS_PORT = "metrics"
"""Name of a container port that serves metrics alone; an engine without it serves them beside requests."""

INTERVAL = "15s"
"""How often pods are scraped: what `deepseek-operator run --scrape-seconds` expects when it is not set."""

_POD_LABEL = "__meta_kubernetes_pod_label_" + re.sub(r"[^a-zA-Z0-9_]", "_", LABEL_DEPLOYMENT)
"""As Prometheus' discovery of pods calls the label; its value is the name of the model's Service, and series get it as
the label ``service``, as from a ServiceMonitor. Source: Prometheus documentation, "kubernetes_sd_config"."""

AUTHORITY_KEY = "ca.crt"
"""Where cert-manager and Kubernetes put the authority into a Secret of type ``kubernetes.io/tls``."""


def build_pod_monitor(
    owner: Owner, template: Manifest, *, tls_secret: str, features: ClusterFeatures
) -> Manifest | None:
    """Return the PodMonitor of the pods that answer requests; None where the cluster does not serve the kind.

    The labels ``namespace`` and ``pod``, which scaling needs, are set by the Prometheus Operator itself. Source:
    prometheus-operator, "PodMonitor" of ``monitoring.coreos.com/v1``.

    Args:
        owner: the DeepSeekDeployment.
        template: the engine's pod template, for its ports.
        tls_secret: Secret with the engine's certificate; empty where it serves plain HTTP.
        features: of the cluster.
    """
    if not features.pod_monitor:
        return None
    ports = {each["name"] for each in template["spec"]["containers"][0]["ports"]}
    scraped: Manifest = {"port": METRICS_PORT if METRICS_PORT in ports else "https" if tls_secret else "http"}
    scraped |= {"path": METRICS_PATH, "interval": INTERVAL}
    scraped["relabelings"] = [{"sourceLabels": [_POD_LABEL], "targetLabel": "service"}]
    if scraped["port"] == "https":
        scraped["scheme"] = "https"
        scraped["tlsConfig"] = {
            "ca": {"secret": {"name": tls_secret, "key": AUTHORITY_KEY}},
            "serverName": f"{object_name(owner.name)}.{owner.namespace}.svc",
        }
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata(owner),
        "spec": {
            "selector": {"matchLabels": selector_labels(owner.name)},
            "podMetricsEndpoints": [scraped],
        },
    }


def scrape_advice(features: ClusterFeatures) -> str:
    """Return what has to be done so that Prometheus scrapes models, as a clause.

    >>> scrape_advice(ClusterFeatures(pod_monitor=True))
    'let Prometheus select PodMonitors of this namespace'
    """
    if features.pod_monitor:
        return "let Prometheus select PodMonitors of this namespace"
    return (
        f"let Prometheus scrape {METRICS_PATH} of pods labelled {LABEL_ROLE}=leader on the port {METRICS_PORT} or "
        "else http, and give their series the labels namespace and pod"
    )
