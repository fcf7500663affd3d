"""The workload of a model whose replica spans several nodes, where LeaderWorkerSet is not installed.

One StatefulSet per node of a replica, each with as many pods as there are replicas: group ``i`` is pod ``i`` of each of
them. So the number of groups is one number, the last group goes first, and every pod knows the rank of its node from
its own template and the group from its index. What StatefulSets do not do is done by the operator: it restarts a group
as a unit, and replaces outdated groups (``updateStrategy: OnDelete``).
"""

from __future__ import annotations

from deepseek_operator.resources.group_pods import NODE_RANK, WORKER_ROLE
from deepseek_operator.resources.names import (
    ANNOTATION_TEMPLATE_HASH,
    LABEL_NODE_RANK,
    LABEL_ROLE,
    Manifest,
    Owner,
    group_name,
    metadata,
    selector_labels,
)
from deepseek_operator.resources.template_pin import template_hash

KIND = "StatefulSet"
REVISION_HISTORY = 2
"""Old revisions that are kept: enough to look at the former plan."""


def build_group_stateful_sets(owner: Owner, *, templates: Manifest, replicas: int | None) -> list[Manifest]:
    """Return the headless Service and the StatefulSet of every node of a replica, the workers' first.

    The leader's comes last, because it stands for the workload: when it is as desired, so are the others.

    Args:
        owner: the DeepSeekDeployment.
        templates: of `group_pods.build_group_templates`.
        replicas: groups to run; None leaves the field to another owner.
    """
    digest = template_hash(templates)
    ranks = [_stateful_set(owner, templates, rank, replicas, digest) for rank in range(templates["size"])]
    return [_headless_service(owner), *reversed(ranks)]


def stateful_set_name(owner: str, rank: int) -> str:
    """Return the name of the StatefulSet of one node of each replica.

    >>> stateful_set_name("deepseek-r1", 1)
    'deepseek-r1-nodes-1'
    """
    return f"{group_name(owner)}-{rank}"


def _stateful_set(owner: Owner, templates: Manifest, rank: int, replicas: int | None, digest: str) -> Manifest:
    role = WORKER_ROLE if rank else "leader"
    selector = {**selector_labels(owner.name), LABEL_ROLE: role, LABEL_NODE_RANK: str(rank)}
    meta = {**metadata(owner), "name": stateful_set_name(owner.name, rank)}
    meta["annotations"] = {ANNOTATION_TEMPLATE_HASH: digest}
    spec: Manifest = {
        "serviceName": group_name(owner.name),
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "OnDelete"},
        "revisionHistoryLimit": REVISION_HISTORY,
        "selector": {"matchLabels": selector},
        "template": _ranked(templates["worker" if rank else "leader"], rank, digest),
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": KIND, "metadata": meta, "spec": spec}


def _ranked(template: Manifest, rank: int, digest: str) -> Manifest:
    """Return the template of one node: its rank as a label and as a variable, and what it was made from."""
    meta = template["metadata"]
    engine, *others = template["spec"]["containers"]
    environment = [{"name": NODE_RANK, "value": str(rank)}, *engine["env"]]
    return {
        "metadata": {
            "labels": {**meta["labels"], LABEL_NODE_RANK: str(rank)},
            "annotations": {**meta["annotations"], ANNOTATION_TEMPLATE_HASH: digest},
        },
        "spec": {**template["spec"], "containers": [{**engine, "env": environment}, *others]},
    }


def _headless_service(owner: Owner) -> Manifest:
    """Return the Service that gives every pod of every group a host name, ready or not: ranks meet before."""
    selector = selector_labels(owner.name)
    del selector[LABEL_ROLE]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**metadata(owner), "name": group_name(owner.name)},
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector},
    }
