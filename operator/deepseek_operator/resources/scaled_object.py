"""A KEDA ScaledObject on requests in flight, for owners who scale everything with KEDA."""

from __future__ import annotations

from deepseek_operator.resources.autoscaler import autoscaler_metadata, build_behavior, scale_target
from deepseek_operator.resources.names import Manifest, Owner


def build_scaled_object(
    owner: Owner, *, target: int, least: int, most: int, prometheus_url: str, query: str
) -> Manifest:
    """Return a ScaledObject that writes ``spec.replicas`` of the object.

    A query without an answer is an error (``ignoreNullValues: "false"``), so that replicas stay when metrics are
    missing; KEDA's default takes it for an idle service and stops them. The engine's own metrics end with the last
    replica, so it goes no lower than one; zero needs a metric of what stands in front. Source of the fields: KEDA
    v2.21.0, ``config/crd/bases/keda.sh_scaledobjects.yaml`` and ``pkg/scalers/prometheus_scaler.go``.

    Args:
        owner: the DeepSeekDeployment; without its UID the autoscaler outlives it.
        target: requests in flight per replica, 1 or more.
        least: ``scaling.minReplicas``.
        most: ``scaling.maxReplicas``.
        prometheus_url: of the Prometheus that scrapes the engines.
        query: PromQL with one number: the requests in flight of all replicas.
    """
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": autoscaler_metadata(owner),
        "spec": {
            "scaleTargetRef": scale_target(owner),
            "minReplicaCount": max(1, least),
            "maxReplicaCount": most,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": build_behavior()}},
            "triggers": [
                {
                    "type": "prometheus",
                    "name": "requests-in-flight",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": prometheus_url,
                        "query": query,
                        "threshold": str(target),
                        "ignoreNullValues": "false",
                    },
                }
            ],
        },
    }
