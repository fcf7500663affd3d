"""The workload of a model whose replica spans several nodes, where LeaderWorkerSet is installed: one group per replica.

Its controller makes the groups, restarts a group as a unit when any of its pods ends or restarts, and rolls a change
out group by group. Source: kubernetes-sigs/lws v0.9.0, ``api/leaderworkerset/v1``.
"""

from __future__ import annotations

from deepseek_operator.api.spec_scaling import RolloutSpec
from deepseek_operator.resources.gang import Gang, workload_metadata
from deepseek_operator.resources.names import ANNOTATION_TEMPLATE_HASH, Manifest, Owner, group_name, metadata
from deepseek_operator.resources.rolling_update import resting_update
from deepseek_operator.resources.template_pin import template_hash

API_VERSION = "leaderworkerset.x-k8s.io/v1"
KIND = "LeaderWorkerSet"


def build_leader_worker_set(
    owner: Owner,
    *,
    templates: Manifest,
    replicas: int | None,
    rollout: RolloutSpec,
    queue_name: str = "",
) -> Manifest:
    """Return the LeaderWorkerSet.

    Its name is not that of the model's Service, because its controller makes a headless Service of its own name.

    Args:
        owner: the DeepSeekDeployment.
        templates: of `group_pods.build_group_templates`.
        replicas: groups to run; None leaves the field to another owner.
        rollout: how many groups a change may add or take.
        queue_name: queue of the gang scheduler; empty for none.
    """
    meta = {**metadata(owner), "name": group_name(owner.name)}
    meta["annotations"] = {ANNOTATION_TEMPLATE_HASH: template_hash(templates)}
    limits = resting_update(rollout)
    spec: Manifest = {
        "leaderWorkerTemplate": {
            "size": templates["size"],
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": templates["leader"],
            "workerTemplate": templates["worker"],
        },
        "startupPolicy": "LeaderCreated",
        "networkConfig": {"subdomainPolicy": "Shared"},
        "rolloutStrategy": {
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": {
                "maxSurge": limits.max_surge,
                "maxUnavailable": limits.max_unavailable,
            },
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": workload_metadata(meta, Gang(templates["gang"]), queue_name),
        "spec": spec,
    }
