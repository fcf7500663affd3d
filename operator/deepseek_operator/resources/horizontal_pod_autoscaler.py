"""A HorizontalPodAutoscaler on requests in flight, for owners who let Kubernetes itself scale."""

from __future__ import annotations

from collections.abc import Sequence

from deepseek_operator.resources.autoscaler import autoscaler_metadata, build_behavior, scale_target
from deepseek_operator.resources.names import Manifest, Owner, object_name

METRIC = "deepseek_requests_in_flight"
"""Name of the external metric, as the rule of prometheus-adapter gives it."""

SERVICE_LABEL = "service"
"""Label of a series that names the Service; Prometheus has it from a ServiceMonitor."""


def build_horizontal_pod_autoscaler(owner: Owner, *, target: int, least: int, most: int) -> Manifest:
    """Return a HorizontalPodAutoscaler that writes ``spec.replicas`` of the object.

    Args:
        owner: the DeepSeekDeployment; without its UID the autoscaler outlives it.
        target: requests in flight per replica, 1 or more.
        least: ``scaling.minReplicas``; HPA goes no lower than 1.
        most: ``scaling.maxReplicas``.
    """
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": autoscaler_metadata(owner),
        "spec": {
            "scaleTargetRef": scale_target(owner),
            "minReplicas": max(1, least),
            "maxReplicas": most,
            "metrics": [
                {
                    "type": "External",
                    "external": {
                        "metric": {
                            "name": METRIC,
                            "selector": {"matchLabels": {SERVICE_LABEL: object_name(owner.name)}},
                        },
                        "target": {"type": "AverageValue", "averageValue": str(target)},
                    },
                }
            ],
            "behavior": build_behavior(),
        },
    }


def build_adapter_rule(series: Sequence[str]) -> Manifest:
    """Return the values of prometheus-adapter's chart that serve the metric, one rule for all objects of a cluster.

    Args:
        series: Prometheus metrics whose sum is the metric.
    """
    sums = (f"sum({name}{{<<.LabelMatchers>>}})" for name in series)
    return {
        "rules": {
            "external": [
                {
                    "seriesQuery": f'{series[0]}{{namespace!="",{SERVICE_LABEL}!=""}}',
                    "resources": {"overrides": {"namespace": {"resource": "namespace"}}},
                    "name": {"as": METRIC},
                    "metricsQuery": " + ".join(sums),
                }
            ]
        }
    }
