"""How many replicas an object should have: who decides, within which limits, and why in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deepseek_operator.api.spec_scaling import ScalingOwner
from deepseek_operator.scaling.schedules import Limits


class ReplicaReason(StrEnum):
    """What a number of replicas rests on; used as the reason of the ScalingActive condition."""

    EXTERNAL_OWNER = "ExternalOwner"
    PLANNED = "Planned"
    BELOW_MINIMUM = "BelowMinimum"
    ABOVE_MAXIMUM = "AboveMaximum"
    HOLDING = "Holding"
    MEASURED = "Measured"
    NO_PLAN = "NoPlan"


@dataclass(frozen=True, kw_only=True)
class ReplicaDecision:
    """How many replicas the child should have.

    Args:
        replicas: the number to write; None writes nothing.
        message: one sentence with the numbers that led there.
    """

    replicas: int | None
    reason: ReplicaReason
    message: str


def desired_replicas(
    *,
    owner: ScalingOwner,
    limits: Limits,
    plan_replicas: int | None,
    spec_replicas: int | None,
    running: int,
    measured: int | None = None,
) -> ReplicaDecision:
    """Return how many replicas an object should have: by what was measured, and else by its plan.

    Args:
        owner: who decides; with ``External`` only ``spec_replicas`` counts.
        limits: within which the operator may choose; the upper one, where limits of money and GPUs were checked,
            wins over the lower one.
        plan_replicas: that serve the asked demand; None when there is no plan.
        spec_replicas: ``spec.replicas``; None while nobody has set it, which keeps what runs and makes at least 1.
        running: replicas that the child asks for now, 0 or more; 0 when there is no child.
        measured: replicas that `decide` has chosen for this plan; None where nothing was measured.

    >>> desired_replicas(owner=ScalingOwner.OPERATOR, limits=Limits(least=1, most=4),
    ...                  plan_replicas=2, spec_replicas=None, running=0).replicas
    2
    """
    if owner is ScalingOwner.EXTERNAL:
        return _external(max(1, running) if spec_replicas is None else spec_replicas)
    if plan_replicas is None:
        return _without_plan(limits.most, running)
    if measured is not None:
        return _measured(measured, limits)
    if running > limits.most:
        return ReplicaDecision(
            replicas=limits.most,
            reason=ReplicaReason.ABOVE_MAXIMUM,
            message=f"{_replicas(running)} run and {limits.named('maxReplicas')} allows {limits.most}",
        )
    wanted = _within_limits(plan_replicas, limits)
    if wanted.replicas is not None and running > max(wanted.replicas, limits.raised):
        return ReplicaDecision(
            replicas=running,
            reason=ReplicaReason.HOLDING,
            message=f"{_replicas(running)} run where the plan needs {plan_replicas}; without metrics none is stopped, "
            "and a lower scaling.maxReplicas stops them",
        )
    return wanted


def _external(replicas: int) -> ReplicaDecision:
    return ReplicaDecision(
        replicas=replicas,
        reason=ReplicaReason.EXTERNAL_OWNER,
        message=f"scaling.owner External decides, and asks for {_replicas(replicas)}",
    )


def _measured(replicas: int, limits: Limits) -> ReplicaDecision:
    """Return a measured number within limits that may have been changed since it was decided."""
    kept = min(max(replicas, limits.least), limits.most)
    return ReplicaDecision(
        replicas=kept, reason=ReplicaReason.MEASURED, message=f"the measured load asks for {_replicas(kept)}"
    )


def _without_plan(max_replicas: int, running: int) -> ReplicaDecision:
    if running == 0:
        return ReplicaDecision(replicas=None, reason=ReplicaReason.NO_PLAN, message="there is no plan and nothing runs")
    return ReplicaDecision(
        replicas=min(running, max_replicas),
        reason=ReplicaReason.NO_PLAN,
        message=f"there is no plan now; of {_replicas(running)} that run, {min(running, max_replicas)} stay",
    )


def _within_limits(plan_replicas: int, limits: Limits) -> ReplicaDecision:
    needs = f"the plan needs {_replicas(plan_replicas)}"
    if plan_replicas > limits.most:
        return ReplicaDecision(
            replicas=limits.most,
            reason=ReplicaReason.ABOVE_MAXIMUM,
            message=f"{needs} and {limits.named('maxReplicas')} allows {limits.most}",
        )
    if plan_replicas < limits.least:
        return ReplicaDecision(
            replicas=min(limits.least, limits.most),
            reason=ReplicaReason.BELOW_MINIMUM,
            message=f"{needs} and {limits.named('minReplicas')} asks for {limits.least}",
        )
    return ReplicaDecision(
        replicas=plan_replicas,
        reason=ReplicaReason.PLANNED,
        message=f"the plan needs {_replicas(plan_replicas)} for the asked demand",
    )


def _replicas(count: int) -> str:
    return f"{count} replica{'' if count == 1 else 's'}"
