"""Where the replicas of a change on trial get their GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.surge import LeavingPods
from deepseek_operator.capacity.workload import room_for
from deepseek_operator.planner.result import Plan


@dataclass(frozen=True, kw_only=True)
class CanaryRoom:
    """GPUs for a trial.

    Args:
        replicas: that may run the change; 0 while there are no GPUs.
        replaces: replicas that run now and give their GPUs for it.
        limiting: why no more, one sentence; empty for as many as were asked.
    """

    replicas: int
    replaces: int
    limiting: str


def canary_room(
    deployment: DeepSeekDeployment, stable: Plan, candidate: Plan, inventory: Inventory, *, running: int, wanted: int
) -> CanaryRoom:
    """Return how many replicas of a changed plan may run beside those that run, inside the limits of their owner.

    Where no GPUs are free, one replica gives its GPUs to the trial: the capacity of a node drain is missing meanwhile.
    The only replica is never given.

    Args:
        deployment: the parsed object.
        stable: plan that runs.
        candidate: plan on trial.
        inventory: of the whole cluster.
        running: replicas that run, 1 or more.
        wanted: replicas that should run the change, 1 or more.
    """
    leaving = LeavingPods.of(deployment.metadata.namespace, deployment.metadata.name)
    free = room_for(deployment, candidate, inventory, wanted, leaving)
    limit = ""
    for replicas in range(min(wanted, free.count), 0, -1):
        limit = _limit(deployment, stable, candidate, running, replicas)
        if not limit:
            return CanaryRoom(replicas=replicas, replaces=0, limiting="" if replicas == wanted else free.limiting)
    fits_inside = candidate.gpu == stable.gpu and candidate.gpus_per_replica <= stable.gpus_per_replica
    if running > 1 and fits_inside and not _limit(deployment, stable, candidate, running - 1, 1):
        return CanaryRoom(replicas=1, replaces=1, limiting=limit or free.limiting)
    return CanaryRoom(replicas=0, replaces=0, limiting=limit or free.limiting)


def _limit(deployment: DeepSeekDeployment, stable: Plan, candidate: Plan, running: int, extra: int) -> str:
    """Return which limit of the owner both plans together would break, or ""."""
    hardware = deployment.spec.hardware
    gpus = running * stable.gpus_per_replica + extra * candidate.gpus_per_replica
    if hardware.max_gpus_total is not None and gpus > hardware.max_gpus_total:
        return f"with the canary {gpus} GPUs run and hardware.maxGpusTotal allows {hardware.max_gpus_total}"
    prices = [_each(stable), _each(candidate)]
    if hardware.max_cost_per_hour_usd is None or prices[0] is None or prices[1] is None:
        return ""
    cost = running * prices[0] + extra * prices[1]
    if cost > Decimal(hardware.max_cost_per_hour_usd):
        return (
            f"with the canary {cost:.2f} USD per hour are spent and hardware.maxCostPerHourUsd allows "
            f"{hardware.max_cost_per_hour_usd}"
        )
    return ""


def _each(plan: Plan) -> Decimal | None:
    return None if plan.cost_per_hour_usd is None else plan.cost_per_hour_usd / max(1, plan.replicas)
