"""How many replicas a node drain may take at once."""

from __future__ import annotations

from deepseek_operator.resources.names import Manifest, Owner, metadata, selector_labels


def build_pod_disruption_budget(owner: Owner, *, replicas: int | None) -> Manifest | None:
    """Return a budget that lets drains take one replica at a time, or None where there is nothing to keep.

    It is stated as ``maxUnavailable: 1``: that never blocks the drain of a single replica, not even one that an outside
    autoscaler has scaled down to after the budget was written. Pods that are not ready never block a drain.

    Args:
        owner: the DeepSeekDeployment.
        replicas: replicas that should run; None when another owner decides, who may go above one.
    """
    if replicas is not None and replicas < 2:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(owner),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector_labels(owner.name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
