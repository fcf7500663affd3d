"""The question of a CapacityPlan, answered: the cluster as asked, and a status that stays small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepseek_operator.api.capacity_plan import (
    MAX_PRODUCTS,
    MAX_SUGGESTIONS,
    MAX_UNPLACED,
    CapacityPlanSpec,
)
from deepseek_operator.api.status import MAX_MESSAGE_CHARACTERS
from deepseek_operator.api.to_request import plan_request
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.capacity.facts import NodeFacts, PodFacts
from deepseek_operator.capacity.inventory import Inventory, inventory
from deepseek_operator.capacity.members import Member
from deepseek_operator.capacity.report import fleet_report
from deepseek_operator.capacity.what_if import with_nodes, without_nodes
from deepseek_operator.capacity.workload import supply_for
from deepseek_operator.catalog.instances import instance
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.result import Infeasible, Plan


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A DeepSeekDeployment of the cluster.

    Args:
        accepted: the plan that runs; None plans it on the cluster as asked.
        replicas: that it asks for now; None takes those of its plan.
    """

    deployment: DeepSeekDeployment
    accepted: Plan | None
    replicas: int | None


def answer(
    spec: CapacityPlanSpec,
    asked: Sequence[Asked],
    nodes: Sequence[NodeFacts],
    pods: Sequence[PodFacts],
    live: Inventory,
) -> Mapping[str, Any]:
    """Return the report of the cluster as a question wants it.

    Args:
        spec: the question.
        asked: the DeepSeekDeployments of the cluster.
        nodes: of the cluster.
        pods: of the cluster.
        live: says what engines have reported and which APIs are served.

    Raises:
        InvalidSpecError: the question names a deployment that is not there.
        InventoryError: it removes nodes that are not there, or adds nodes that hold no whole GPUs.
        CatalogError: it adds an instance type that the catalogue does not know.
    """
    for pattern in spec.remove_nodes:
        nodes, pods = without_nodes(nodes, pods, pattern)
    for added in spec.add_nodes:
        nodes = with_nodes(nodes, instance(added.instance), added.count)
    cluster = inventory(nodes, pods, live.measurements, live.features)
    wanted = _replicas_asked(spec, asked)
    members, without_plan = list[Member](), list[tuple[DeepSeekDeployment, Infeasible]]()
    invalid: list[dict[str, Any]] = []
    for each in asked:
        try:
            found = each.accepted or plan(plan_request(each.deployment), supply_for(each.deployment, cluster))
        except InvalidSpecError as error:  # of one object, which must not cost the others their answer
            reason = f"InvalidSpec: {error}"
            invalid.append({"name": each.deployment.metadata.name, "replicas": None, "reason": reason})
            continue
        if isinstance(found, Infeasible):
            without_plan.append((each.deployment, found))
            continue
        replicas = wanted.get(_key(each.deployment)) or _replicas(spec, each, found)
        if replicas:
            members.append(Member(deployment=each.deployment, plan=found, replicas=replicas))
    report = fleet_report(members, cluster, without_plan=without_plan, suggest=spec.suggest)
    return {**report, "unplaced": [*report["unplaced"], *invalid]}


def _replicas(spec: CapacityPlanSpec, each: Asked, found: Plan) -> int:
    now = found.replicas if each.replicas is None else each.replicas
    return max(now, each.deployment.spec.scaling.most_replicas) if spec.at_max_replicas else now


def _key(deployment: DeepSeekDeployment) -> tuple[str, str]:
    return deployment.metadata.namespace, deployment.metadata.name


def _replicas_asked(spec: CapacityPlanSpec, asked: Sequence[Asked]) -> Mapping[tuple[str, str], int]:
    known = {_key(each.deployment) for each in asked}
    for index, each in enumerate(spec.replicas):
        if (each.namespace, each.name) not in known:
            raise InvalidSpecError(
                f"spec.replicas.{index}", f"there is no DeepSeekDeployment {each.name} in namespace {each.namespace}"
            )
    return {(each.namespace, each.name): each.replicas for each in spec.replicas}


def bounded_answer(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report as the status of a CapacityPlan holds it, conditions left out.

    >>> report = {"gpus": [], "placed": [], "unplaced": [], "stranded": [], "suggestions": []}
    >>> bounded_answer(report)["summary"]
    'nothing was asked for; 0 of 0 GPUs are free and 0 stranded'
    """
    products, unplaced, bought = report["gpus"], report["unplaced"], report["suggestions"]
    stranded = sum(row["gpus"] for row in report["stranded"])
    rows = {
        "gpus": [_present(row) for row in products[:MAX_PRODUCTS]],
        "unplaced": [
            _present(row) | {"reason": row["reason"][:MAX_MESSAGE_CHARACTERS]} for row in unplaced[:MAX_UNPLACED]
        ],
        "suggestions": [_suggestion(row) for row in bought[:MAX_SUGGESTIONS]],
    }
    cut = len(products) > MAX_PRODUCTS or len(unplaced) > MAX_UNPLACED or len(bought) > MAX_SUGGESTIONS
    return rows | {"summary": summary(report, stranded), "strandedGpus": stranded, "truncated": cut}


def _suggestion(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("name", "provider", "instance", "nodes", "costPerHourUsd", "costPerMonthUsd", "priceAsOf")
    return {name: row[name] for name in names}


def _present(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def summary(report: Mapping[str, Any], stranded: int) -> str:
    """Return the answer as one sentence."""
    wanted = sum(row["replicas"] for row in report["placed"])
    now = sum(row["fitsNow"] for row in report["placed"])
    total, free = (sum(row[key] for row in report["gpus"]) for key in ("total", "free"))
    gpus = f"{free:,} of {total:,} GPUs are free and {stranded:,} stranded"
    without = sum(row["replicas"] is None for row in report["unplaced"])
    if not wanted and not without:
        return f"nothing was asked for; {gpus}"
    planless = f", {without} deployment{'' if without == 1 else 's'} without a plan" if without else ""
    return f"{now:,} of {wanted:,} replicas fit now{planless}; {gpus}"
