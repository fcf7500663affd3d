"""A deployment among others that want the same GPUs, and where its replicas run today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment, Priority
from deepseek_operator.capacity.board import Need, Spots
from deepseek_operator.capacity.facts import PodFacts
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.workload import pod_host
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.names import LABEL_DEPLOYMENT, label_value

TIERS = {Priority.CRITICAL: 0, Priority.HIGH: 1, Priority.STANDARD: 2, Priority.BATCH: 3, Priority.NONE: 4}
"""Order in which priorities are served; pods that name no class count as 0, below Batch.

Source: Kubernetes, Pod Priority and Preemption: without a global default, their priority is zero.
"""

Rank = tuple[int, str, str]
"""Tier, namespace and name."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One deployment of the fleet.

    Args:
        deployment: the parsed object.
        plan: how a replica of it runs.
        replicas: that should run, 1 or more.
    """

    deployment: DeepSeekDeployment
    plan: Plan
    replicas: int

    @cached_property
    def rank(self) -> Rank:
        """Who is served first: by priority, then by namespace and name."""
        metadata = self.deployment.metadata
        return (TIERS[self.deployment.spec.priority or Priority.STANDARD], metadata.namespace, metadata.name)

    @property
    def tier(self) -> int:
        """0 for those that are served first."""
        return self.rank[0]

    @cached_property
    def need(self) -> Need:
        """What each of its replicas takes."""
        return Need.of(self.plan, pod_host(self.deployment, self.plan))

    @property
    def owner(self) -> tuple[str, str]:
        """Namespace and value of the label that says whose pod it is."""
        metadata = self.deployment.metadata
        return metadata.namespace, label_value(metadata.name)


def own_pods(members: Sequence[Member], inventory: Inventory) -> Mapping[Rank, tuple[PodFacts, ...]]:
    """Return the pods of each member that have a node, terminating ones too."""
    by_owner: dict[tuple[str, str], list[PodFacts]] = {}
    for node in inventory.nodes:
        for pod in node.pods:
            by_owner.setdefault((pod.namespace, pod.labels.get(LABEL_DEPLOYMENT, "")), []).append(pod)
    return {member.rank: tuple(by_owner.get(member.owner, ())) for member in members}


def running_spots(member: Member, pods: Sequence[PodFacts]) -> list[Spots]:
    """Return the nodes of the replicas that run whole, at most as many as should.

    Which pods of several groups belong together does not matter here: the nodes are dealt out so that each replica
    gets different ones where that is possible.
    """
    nodes = sorted(pod.node for pod in pods if not pod.deleting)
    spans = member.plan.nodes_per_replica
    whole = min(member.replicas, len(nodes) // spans)
    return [tuple(nodes[index : whole * spans : whole]) for index in range(whole)]
