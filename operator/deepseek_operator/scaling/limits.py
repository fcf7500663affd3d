"""The upper limits of replicas that the owner of an object has set, each with the words that name it."""

from __future__ import annotations

from decimal import Decimal

from deepseek_operator.capacity.quota_room import QuotaRoom
from deepseek_operator.planner.result import Plan
from deepseek_operator.scaling.decide import Limit
from deepseek_operator.scaling.water_filling import Grant


def owner_limits(
    plan: Plan, *, most: Limit, max_gpus_total: int | None, max_cost_per_hour_usd: Decimal | None
) -> tuple[Limit, ...]:
    """Return the limits that the spec sets: replicas, GPUs and money.

    Args:
        plan: what runs; one without a price was accepted without a limit of money.
        most: ``scaling.maxReplicas``, or that of open windows.
        max_gpus_total: ``hardware.maxGpusTotal``; None has no limit.
        max_cost_per_hour_usd: ``hardware.maxCostPerHourUsd``; None has no limit.
    """
    limits = [most]
    if max_gpus_total is not None:
        shares_per_gpu = 1 if plan.share is None else plan.share.slices_per_gpu
        replicas = max_gpus_total * shares_per_gpu // plan.gpus_per_replica
        limits.append(Limit(replicas=replicas, name=f"hardware.maxGpusTotal {max_gpus_total}"))
    if max_cost_per_hour_usd is not None and plan.cost_per_hour_usd is not None:
        each = plan.cost_per_hour_usd / max(1, plan.replicas)
        replicas = int(max_cost_per_hour_usd // each) if each > 0 else most.replicas
        limits.append(Limit(replicas=replicas, name=f"hardware.maxCostPerHourUsd {max_cost_per_hour_usd}"))
    return tuple(limits)


def quota_limit(room: QuotaRoom, existing: int, current: int) -> Limit:
    """Return the limit that the ResourceQuotas of the namespace set; what is asked for already stays asked for.

    Args:
        room: what the tightest quota leaves.
        existing: replicas that count in it.
        current: replicas that are asked for now.
    """
    return Limit(replicas=max(existing + room.replicas, current), name=f"ResourceQuota {room.name}")


def room_limit(grant: Grant, current: int) -> Limit:
    """Return the limit that the GPUs set which are free now.

    What is asked for already stays asked for: replicas that find no GPUs are given up after some time, not at once.

    Args:
        grant: what the object gets of the free GPUs.
        current: replicas that are asked for now.
    """
    return Limit(replicas=max(grant.replicas, current), name=f"the room on free GPUs ({grant.message})")
