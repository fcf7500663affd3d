"""The workload of a model whose replica fits one node: a Deployment, one pod per replica."""

from __future__ import annotations

from deepseek_operator.api.spec_scaling import RolloutSpec
from deepseek_operator.resources.names import (
    ANNOTATION_TEMPLATE_HASH,
    LABEL_QUEUE,
    Manifest,
    Owner,
    metadata,
    selector_labels,
)
from deepseek_operator.resources.rolling_update import resting_update, strategy
from deepseek_operator.resources.template_pin import template_hash

REVISION_HISTORY = 2
"""Old ReplicaSets that are kept: enough to look at the former plan."""


def build_deployment(
    owner: Owner,
    *,
    template: Manifest,
    replicas: int | None,
    rollout: RolloutSpec,
    progress_seconds: int,
    queue_name: str = "",
) -> Manifest:
    """Return the Deployment.

    Args:
        owner: the DeepSeekDeployment.
        template: pod template of one replica.
        replicas: replicas to run; None leaves the field to another owner (an HPA or KEDA).
        rollout: how many replicas a change may add or take; what it leaves open adds none and takes one, because a
            cluster whose GPUs are full could never finish another rollout. Where GPUs are free, the operator opens a
            rollout with an extra replica.
        progress_seconds: how long a start may take before it counts as stuck.
        queue_name: queue of Kueue; empty for none.
    """
    meta = metadata(owner)
    meta["annotations"] = {ANNOTATION_TEMPLATE_HASH: template_hash(template)}
    if queue_name:
        meta["labels"][LABEL_QUEUE] = queue_name
    spec: Manifest = {
        "selector": {"matchLabels": selector_labels(owner.name)},
        "strategy": strategy(resting_update(rollout)),
        "revisionHistoryLimit": REVISION_HISTORY,
        "progressDeadlineSeconds": progress_seconds,
        "template": template,
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
