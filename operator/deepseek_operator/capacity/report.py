"""The answer of the capacity question as plain values, in the order in which it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from deepseek_operator.api.to_request import plan_request
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.capacity.board import Board
from deepseek_operator.capacity.cluster_facts import ClusterFacts
from deepseek_operator.capacity.fleet import PACKING_SECONDS, FleetAnswer, Verdict, place_fleet
from deepseek_operator.capacity.gpu_states import GPU_STATES, gpu_states
from deepseek_operator.capacity.inventory import Inventory, NodeInventory
from deepseek_operator.capacity.jobs import Job, job_rows
from deepseek_operator.capacity.members import Member
from deepseek_operator.capacity.move_rows import move_rows
from deepseek_operator.capacity.moves import Wanted
from deepseek_operator.capacity.node_rows import memory_percent, node_cost_per_hour_usd, node_rows
from deepseek_operator.capacity.quotas import promises_of, quota_view
from deepseek_operator.capacity.selection import why_excluded, why_not_planned
from deepseek_operator.capacity.shopping import NodePool, node_pools
from deepseek_operator.capacity.workload import supply_for, tolerations_of
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.result import Infeasible, Plan
from deepseek_operator.units import format_usd


def capacity_report(
    deployments: Sequence[DeepSeekDeployment],
    inventory: Inventory,
    *,
    at_max: bool = False,
    suggest: bool = False,
    domain_label: str = "",
    facts: ClusterFacts | None = None,
    free: Sequence[Wanted] = (),
    jobs: Sequence[Job] = (),
) -> dict[str, Any]:
    """Return what runs, what fits, what is stranded and what to buy, as JSON values.

    Args:
        deployments: to place, each of another name; what of them runs already counts as placed.
        inventory: of the cluster.
        at_max: places ``scaling.maxReplicas`` of each instead of what its demand needs.
        suggest: also looks for node pools for what does not fit.
        domain_label: nodes of one replica must agree on this label; empty for no such rule.
        facts: of the cluster, for its quotas, priority classes, other deployments, and what could not be read.
        free: room that somebody wants; moves for it are looked for as for what does not fit.
        jobs: training runs to place beside.

    Raises:
        InvalidSpecError: one of the specs cannot be obeyed.
    """
    members, without_plan = _planned(deployments, inventory, at_max=at_max)
    return fleet_report(
        members,
        inventory,
        without_plan=without_plan,
        suggest=suggest,
        domain_label=domain_label,
        facts=facts,
        free=free,
        jobs=jobs,
    )


def fleet_report(
    members: Sequence[Member],
    inventory: Inventory,
    *,
    without_plan: Sequence[tuple[DeepSeekDeployment, Infeasible]] = (),
    suggest: bool = False,
    packing_seconds: float = PACKING_SECONDS,
    domain_label: str = "",
    facts: ClusterFacts | None = None,
    free: Sequence[Wanted] = (),
    jobs: Sequence[Job] = (),
) -> dict[str, Any]:
    """Return the same as `capacity_report` for deployments whose plans are known.

    Args:
        members: with their plans.
        inventory: of the cluster.
        without_plan: others, and why they have none.
        suggest: also looks for node pools for what does not fit.
        packing_seconds: longest search for the best placement; 0 leaves it out.
        domain_label: as in `capacity_report`.
        facts: as in `capacity_report`.
        free: as in `capacity_report`.
        jobs: as in `capacity_report`.
    """
    answer = place_fleet(members, inventory, seconds=packing_seconds, domain_label=domain_label)
    short = [verdict for verdict in answer.verdicts if verdict.now < verdict.member.replicas]
    stranded = _stranded(inventory, answer)
    placed_jobs = _jobs(jobs, members, inventory, answer)
    return {
        "gpus": gpu_products(inventory),
        "placed": [_placed(verdict) for verdict in answer.verdicts],
        "unplaced": [
            *(_refused(*each) for each in without_plan),
            *(_unplaced(verdict) for verdict in short),
            *(_unplaced_job(row) for row in placed_jobs if row["fitNow"] < row["copies"]),
        ],
        "stranded": stranded,
        "suggestions": _suggested(without_plan, short) if suggest else [],
        "gapPercent": round(answer.gap_percent, 2),
        "nodes": node_rows(inventory, answer, stranded),
        "partial": [] if facts is None else list(facts.partial),
        "jobs": placed_jobs,
        "moves": move_rows(answer, inventory, free, suggest=suggest, domain_label=domain_label),
        "quotas": quota_view(
            inventory,
            promises_of(members, () if facts is None else facts.promises),
            () if facts is None else facts.quotas,
            () if facts is None else facts.classes,
        ),
    }


def _jobs(
    jobs: Sequence[Job], members: Sequence[Member], inventory: Inventory, answer: FleetAnswer
) -> list[dict[str, Any]]:
    """Return where training runs go beside what serves now and beside what may serve later."""
    if not jobs:
        return []
    largest = [
        replace(each, replicas=max(each.replicas, each.deployment.spec.scaling.most_replicas)) for each in members
    ]
    later = place_fleet(largest, inventory, seconds=0)
    return job_rows(jobs, inventory, _laid(inventory, answer), _laid(inventory, later))


def _laid(inventory: Inventory, answer: FleetAnswer) -> Board:
    board = Board(inventory)
    for verdict in answer.verdicts:
        for name in verdict.nodes:
            board.take(name, verdict.member.need)
    return board


def _unplaced_job(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": row["name"], "replicas": row["copies"] - row["fitNow"], "reason": row["reason"]}


def _planned(
    deployments: Sequence[DeepSeekDeployment], inventory: Inventory, *, at_max: bool
) -> tuple[list[Member], list[tuple[DeepSeekDeployment, Infeasible]]]:
    members, without_plan = [], []
    for deployment in deployments:
        found = plan(plan_request(deployment), supply_for(deployment, inventory))
        if isinstance(found, Infeasible):
            without_plan.append((deployment, found))
        else:
            most = deployment.spec.scaling.most_replicas
            replicas = max(found.replicas, most) if at_max else found.replicas
            members.append(Member(deployment=deployment, plan=found, replicas=replicas))
    return members, without_plan


def gpu_products(inventory: Inventory) -> list[dict[str, Any]]:
    """Return the GPUs of each product: physical ones, never multiplied by sharing; the states make up the total."""
    by_product: dict[str, list[NodeInventory]] = {}
    for node in inventory.nodes:
        by_product.setdefault(node.gpu.id if node.gpu else node.product or "unknown", []).append(node)
    return [
        {
            "gpu": product,
            "nodes": len(nodes),
            "total": sum(node.physical_gpus for node in nodes),
            **{state: sum(gpu_states(node)[state] for node in nodes) for state in GPU_STATES},
            "costPerHourUsd": _cost(nodes),
        }
        for product, nodes in sorted(by_product.items())
    ]


def _cost(nodes: Sequence[NodeInventory]) -> str | None:
    """Return what the nodes' GPUs cost per hour; None when one of them has no price."""
    costs = [node_cost_per_hour_usd(node) for node in nodes]
    known = [cost for cost in costs if cost is not None]
    return format_usd(sum(known, Decimal(0))) if len(known) == len(costs) else None


def _placed(verdict: Verdict) -> dict[str, Any]:
    member, found = verdict.member, verdict.member.plan
    cost = found.cost_per_hour_usd
    return {
        "name": member.deployment.metadata.name,
        "namespace": member.deployment.metadata.namespace,
        "gpu": found.gpu_name,
        "gpusPerReplica": found.gpus_per_replica,
        "nodesPerReplica": found.nodes_per_replica,
        "replicas": member.replicas,
        "running": verdict.running,
        "fitsNow": verdict.now,
        "fitsIfPacked": verdict.if_packed,
        "moreFit": verdict.more,
        "nodes": list(verdict.nodes),
        "pins": [list(spots) for spots in verdict.pins],
        "memoryPercent": memory_percent(found.memory),
        "costPerHourUsd": None if cost is None else format_usd(cost * member.replicas / found.replicas),
    }


def _unplaced(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": verdict.member.deployment.metadata.name,
        "replicas": verdict.member.replicas - verdict.now,
        "reason": verdict.reason,
    }


def _stranded(inventory: Inventory, answer: FleetAnswer) -> list[dict[str, Any]]:
    """Return the free GPUs that none of the deployments could use, or nobody where a node is excluded."""
    asked = _asked(answer)
    found = []
    for node in inventory.nodes:
        left = answer.free_after[node.name]
        reason = _why_stranded(node, left, asked) if left else ""
        if reason:
            found.append({"node": node.name, "gpu": node.gpu.id if node.gpu else "", "gpus": left, "reason": reason})
    return found


def _asked(answer: FleetAnswer) -> list[tuple[str, Member, int]]:
    """Return product, a member and the GPUs of the smallest replica for each kind of question about nodes."""
    kinds: dict[str, tuple[str, Member, int]] = {}
    for verdict in answer.verdicts:
        member, hardware = verdict.member, verdict.member.deployment.spec.hardware
        selector, tolerations = sorted(hardware.node_selector.items()), tolerations_of(member.deployment)
        keeps_to = [str(member.plan.pin), str(member.plan.rdma)]
        key = json.dumps([member.plan.gpu, selector, tolerations, hardware.spot, *keeps_to], sort_keys=True)
        _, first, least = kinds.get(key, ("", member, _per_node(verdict)))
        kinds[key] = (member.plan.gpu, first, min(least, _per_node(verdict)))
    return list(kinds.values())


def _per_node(verdict: Verdict) -> int:
    found = verdict.member.plan
    return -(-found.gpus_per_replica // found.nodes_per_replica)


def _why_stranded(node: NodeInventory, left: int, asked: Sequence[tuple[str, Member, int]]) -> str:
    if node.exclusions:
        return node.exclusions[0]
    needs, barred = [], ""
    for product, member, need in asked:
        if node.gpu is None or product != node.gpu.id:
            continue
        hardware = member.deployment.spec.hardware
        tolerations = tolerations_of(member.deployment)
        why = why_excluded(node, hardware.node_selector, tolerations, hardware.spot)
        why = why or why_not_planned(node, member.plan)
        barred = barred or why
        needs += [] if why else [need]
    if not needs:
        return barred
    return f"the smallest replica here takes {min(needs)} GPUs of one node" if left < min(needs) else ""


def _refused(deployment: DeepSeekDeployment, why: Infeasible) -> dict[str, Any]:
    return {"name": deployment.metadata.name, "replicas": None, "reason": f"{why.reason.value}: {why.message}"}


def _suggested(
    without_plan: Sequence[tuple[DeepSeekDeployment, Infeasible]], short: Sequence[Verdict]
) -> list[dict[str, Any]]:
    """Return what would hold all of those that have no plan here, and the missing replicas of the others."""
    lacking = [(deployment, 1, 1) for deployment, _ in without_plan]
    for verdict in short:
        member = verdict.member
        lacking.append((member.deployment, member.replicas - verdict.now, member.plan.replicas))
    known: dict[tuple[str, int, int], list[NodePool]] = {}
    found: list[dict[str, Any]] = []
    for deployment, missing, asked in lacking:
        question = (deployment.spec.model_dump_json(), missing, asked)
        if question not in known:  # fleets hold many deployments that are alike
            known[question] = node_pools(deployment, missing, asked)
        found += [_purchase(deployment.metadata.name, pool) for pool in known[question]]
    return found


def _purchase(name: str, pool: NodePool) -> dict[str, Any]:
    return {
        "name": name,
        "provider": pool.instance.provider,
        "instance": pool.instance.name,
        "nodes": pool.nodes,
        "replicas": pool.replicas,
        "gpu": pool.plan.gpu,
        "gpusPerReplica": pool.plan.gpus_per_replica,
        "nodesPerReplica": pool.plan.nodes_per_replica,
        "parallel": str(pool.plan.parallelism),
        "network": _network(pool.plan),
        "costPerHourUsd": format_usd(pool.cost_per_hour_usd),
        "costPerMonthUsd": format_usd(pool.cost_per_month_usd),
        "priceAsOf": pool.instance.price_as_of,
    }


def _network(planned: Plan) -> str | None:
    """Return what the nodes of a replica talk over; None on one node."""
    if planned.nodes_per_replica == 1:
        return None
    return "TCP" if planned.rdma is None else f"RDMA ({planned.rdma})"
