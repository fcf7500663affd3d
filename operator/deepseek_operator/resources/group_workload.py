"""What runs a model whose replica spans several nodes: the kind that its pods were made for, and its budget."""

from __future__ import annotations

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources import leader_worker_set
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.resources.gang import Gang, gang_of
from deepseek_operator.resources.group_stateful_set import build_group_stateful_sets
from deepseek_operator.resources.leader_worker_set import build_leader_worker_set
from deepseek_operator.resources.names import LABEL_COMPONENT, LABEL_ROLE, Manifest, Owner
from deepseek_operator.resources.poddisruptionbudget import build_pod_disruption_budget


def build_group_workload(
    owner: Owner, deployment: DeepSeekDeployment, templates: Manifest, replicas: int | None
) -> list[Manifest]:
    """Return the budget and the workload of a model over several nodes, the workload last.

    Args:
        owner: the DeepSeekDeployment.
        deployment: the parsed object.
        templates: of `group_pods.build_group_templates`; the kind in it decides, so that a definition that is
            installed later replaces nothing that runs.
        replicas: groups to run; None leaves the field to another owner.
    """
    if templates["kind"] == leader_worker_set.KIND:
        spec = deployment.spec
        workload = [
            build_leader_worker_set(
                owner, templates=templates, replicas=replicas, rollout=spec.rollout, queue_name=spec.queue_name
            )
        ]
    else:
        workload = build_group_stateful_sets(owner, templates=templates, replicas=replicas)
    budget = _group_budget(owner, replicas)
    return [*([] if budget is None else [budget]), *workload]


def _group_budget(owner: Owner, replicas: int | None) -> Manifest | None:
    """Return the budget of all pods of all groups: a drain takes one pod, its group restarts, and then the next.

    A budget of the leaders alone would let drains take a worker of every group at once. Pods of a download are left
    out: a budget over pods of a Job cannot be counted, and then allows no eviction at all (disruption controller,
    "jobs.batch does not implement the scale subresource").
    """
    budget = build_pod_disruption_budget(owner, replicas=replicas)
    if budget is not None:
        selected = budget["spec"]["selector"]["matchLabels"]
        del selected[LABEL_ROLE]
        selected[LABEL_COMPONENT] = "engine"
    return budget


def why_no_groups(plan: Plan, deployment: DeepSeekDeployment, features: ClusterFeatures) -> str:
    """Return why no groups can be made for a plan, one sentence; empty when they can, or when none are needed."""
    gang = gang_of(deployment, features)
    if plan.nodes_per_replica > 1 and gang is not Gang.NONE and not features.leader_worker_set:
        return (
            f"spec.queueName is admitted by {gang.value} here, which takes a replica over {plan.nodes_per_replica} "
            "nodes for one group only in a LeaderWorkerSet; install LeaderWorkerSet, or leave spec.queueName out"
        )
    return ""
