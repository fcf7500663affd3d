"""Reading the live cluster page by page: facts only are kept, so that large clusters stay small in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepseek_operator.capacity.cluster_facts import ClusterFacts, FactsCollector
    from deepseek_operator.cluster import Cluster

_BESIDE = {
    "ResourceSlice": "without GPUs that are given by claims",
    "DeepSeekDeployment": "without what running engines reported, and without what deployments may grow to",
    "ResourceQuota": "without quotas",
    "PriorityClass": "without priority classes",
}
"""Kinds that an answer can do without, and how it then is."""


async def read_live(kubeconfig: str | None) -> ClusterFacts:
    """Return the facts of the cluster of a kubeconfig; None takes the usual one.

    Raises:
        ClusterError: there is no cluster, or its nodes and pods may not be read.
    """
    from deepseek_operator.capacity.cluster_facts import FactsCollector
    from deepseek_operator.cluster import UNFINISHED_PODS, connect
    from deepseek_operator.resources.features import features_of

    collector = FactsCollector()
    async with await connect(kubeconfig) as cluster:
        async for node in cluster.list("Node"):
            collector.add({**node, "kind": "Node"})
        async for pod in cluster.list("Pod", field_selector=UNFINISHED_PODS):
            collector.add({**pod, "kind": "Pod"})
        partial = [sentence for kind in _BESIDE if (sentence := await _beside(cluster, collector, kind))]
        features = features_of(await cluster.served_versions())
    return collector.facts(features=features, partial=tuple(partial))


async def _beside(cluster: Cluster, collector: FactsCollector, kind: str) -> str:
    """Read the objects of a kind; return what is missing where that is forbidden, nothing where it is not served."""
    from deepseek_operator.errors import ForbiddenError, NotFoundError

    try:
        async for each in cluster.list(kind):
            collector.add({**each, "kind": kind})
    except NotFoundError:
        return ""
    except ForbiddenError as error:
        return f"{_BESIDE[kind]}: {error}"
    return ""
