"""The workload of a DeepSeekDeployment as one value, whatever kinds make its pods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from deepseek_operator.handlers.observed import Child
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.resources.group_stateful_set import stateful_set_name
from deepseek_operator.resources.names import group_name, object_name

COUNTS = ("readyReplicas", "updatedReplicas", "availableReplicas")
"""Fields of a StatefulSet's status of which a group has no more than the node that has fewest."""


def find_workload(children: Mapping[tuple[str, str], Child], owner: str) -> Child | None:
    """Return what runs a DeepSeekDeployment, None when there is nothing.

    Groups of StatefulSets are told by the leaders' one, with the counts of the node that has fewest; it is applied
    last, so without it the workload is not made yet.

    Args:
        children: of the object, by kind and name.
        owner: name of the object.
    """
    if (single := children.get(("Deployment", object_name(owner)))) is not None:
        return single
    if (groups := children.get(("LeaderWorkerSet", group_name(owner)))) is not None:
        available = groups.status.get("readyReplicas", 0)
        return replace(groups, status={**groups.status, "availableReplicas": available} if groups.status else {})
    ranks: list[Child] = []
    while (rank := children.get(("StatefulSet", stateful_set_name(owner, len(ranks))))) is not None:
        ranks.append(rank)
    if not ranks:
        return None
    leaders = ranks[0]
    fewest = {field: min(int(rank.status.get(field) or 0) for rank in ranks) for field in COUNTS}
    return replace(leaders, status={**leaders.status, **fewest} if leaders.status else {})


def features_beside(workload: Child | None, features: ClusterFeatures) -> ClusterFeatures:
    """Return the features that count for an object beside what already runs of it.

    Groups of StatefulSets were made where no gang scheduler admits groups; one that is installed later would refuse
    them, and they would run on without repair or scaling.

    Args:
        workload: what runs, None when there is nothing.
        features: of the cluster.
    """
    if workload is None or workload.kind != "StatefulSet":
        return features
    return replace(features, kueue=False, volcano=False, kai=False)
