"""Whether one replica of a plan finds room beside those that run, and whether their leaving would make it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.capacity.facts import PodFacts
from deepseek_operator.capacity.fits import OwnPods
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.capacity.workload import room_for
from deepseek_operator.planner.result import Plan


@dataclass(frozen=True, kw_only=True)
class SurgeRoom:
    """Room for one more replica during a rollout.

    Args:
        fits: whether it fits beside everything that runs; what the object's terminating pods hold counts as free.
        makes_room: whether it fits once the object's own replicas stop one by one.
        limiting: why it does not fit, one sentence; empty when it does.
    """

    fits: bool
    makes_room: bool
    limiting: str


class LeavingPods(OwnPods):
    """The object's own pods that are going away."""

    def include(self, pod: PodFacts) -> bool:
        """Return whether a pod is one of them."""
        return pod.deleting and super().include(pod)


def surge_room(
    deployment: DeepSeekDeployment, plan: Plan, inventory: Inventory, *, running: int, started: int = 0
) -> SurgeRoom:
    """Return whether one replica of a plan fits beside those that run, inside the limits that its owner set.

    Args:
        deployment: the parsed object.
        plan: of the new replica.
        inventory: of the whole cluster.
        running: replicas that run beside it, 0 or more; limits of GPUs and money hold for one more.
        started: replicas of the new plan that have their GPUs already.
    """
    metadata = deployment.metadata
    leaving = LeavingPods.of(metadata.namespace, metadata.name)
    beside = room_for(deployment, plan, inventory, 1, leaving)
    limit = _limit(deployment, plan, running + 1)
    return SurgeRoom(
        fits=beside.fits and not limit,
        makes_room=room_for(deployment, plan, inventory, started + 1).fits,
        limiting=limit or beside.limiting,
    )


def _limit(deployment: DeepSeekDeployment, plan: Plan, replicas: int) -> str:
    """Return which limit of the owner so many replicas would break, or ""."""
    hardware, gpus = deployment.spec.hardware, replicas * plan.gpus_per_replica
    if hardware.max_gpus_total is not None and gpus > hardware.max_gpus_total:
        return f"an extra replica makes {gpus} GPUs and hardware.maxGpusTotal allows {hardware.max_gpus_total}"
    if hardware.max_cost_per_hour_usd is None or plan.cost_per_hour_usd is None or plan.replicas == 0:
        return ""
    cost = plan.cost_per_hour_usd / plan.replicas * replicas
    if cost > Decimal(hardware.max_cost_per_hour_usd):
        return (
            f"an extra replica makes {cost:.2f} USD per hour and hardware.maxCostPerHourUsd allows "
            f"{hardware.max_cost_per_hour_usd}"
        )
    return ""
