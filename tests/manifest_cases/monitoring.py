"""What Prometheus is told, where the Prometheus Operator's definitions are installed."""

from __future__ import annotations

from deepseek_operator.resources.features import ClusterFeatures
from manifest_cases.case import ManifestCase
from model_factories import make_plan

KNOWN = {"features": ClusterFeatures(pod_monitor=True)}

CASES = [
    ManifestCase(name="monitored", says="a PodMonitor of the engine's port", spec={}, plan=make_plan(), known=KNOWN),
    ManifestCase(
        name="monitored-tls",
        says="a PodMonitor of an engine that serves HTTPS",
        spec={"engine": {"tlsSecretRef": {"name": "chat-tls"}}},
        plan=make_plan(),
        known=KNOWN,
    ),
]
