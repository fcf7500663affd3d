"""Taking stock: everything that the loops look at, listed once before the first event and again now and then.

The second time finds what a broken watch may have missed: an object that was deleted meanwhile sends no event any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from deepseek_operator.api.v1alpha1 import KIND
from deepseek_operator.cluster import UNFINISHED_PODS, Cluster
from deepseek_operator.errors import ClusterError
from deepseek_operator.handlers.observed import identity, node_identity
from deepseek_operator.handlers.operator import Operator
from deepseek_operator.resources.names import FIELD_MANAGER, LABEL_MANAGED_BY

log = logging.getLogger(__name__)

CHILD_KINDS = ("ConfigMap", "PersistentVolumeClaim", "Service", "PodDisruptionBudget", "Deployment")
"""Kinds that the builders make."""

OUR_CHILDREN = f"{LABEL_MANAGED_BY}={FIELD_MANAGER}"
"""Label selector of everything that we made; nobody else's objects of these kinds cross the wire."""


async def take_stock(cluster: Cluster, operator: Operator, namespaces: Sequence[str]) -> None:
    """Tell an operator about every node, GPU pod and child that exists, and of those it knew that do not any more.

    What appears while the lists are read is told by the watches, and is not taken for missing.

    Args:
        cluster: connection to the API server.
        operator: told what is found.
        namespaces: where to look for pods and children; empty means everywhere.

    Raises:
        ClusterError: a list failed; what was found before it is kept, nothing is dropped.
    """
    missing = operator.known()
    async for node in cluster.list("Node"):
        operator.node_seen(node)
        missing.discard(node_identity(node["metadata"]["name"]))
    for namespace in namespaces or (None,):
        async for pod in cluster.list("Pod", namespace, field_selector=UNFINISHED_PODS):
            operator.pod_seen(pod)
            missing.discard(identity(pod, "Pod"))
        for kind in CHILD_KINDS:
            async for child in cluster.list(kind, namespace, label_selector=OUR_CHILDREN):
                operator.child_seen({**child, "kind": kind})
                missing.discard(identity(child, kind))
        async for deployment in cluster.list(KIND, namespace):
            missing.discard(identity(deployment, KIND))
    for each in sorted(missing):
        operator.lost(each)


async def keep_stock(cluster: Cluster, operator: Operator, namespaces: Sequence[str], seconds: float) -> None:
    """Take stock again and again; a failure is told and waits for the next time."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await take_stock(cluster, operator, namespaces)
        except ClusterError as error:
            log.warning("taking stock: %s", error)
