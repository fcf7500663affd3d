"""How many replicas one pass over an object asks for: by its plan, by what was measured, or by another owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.handlers.acceptance import Acceptance, AcceptedPlan
from deepseek_operator.scaling.decision import ReplicaDecision, ReplicaReason, desired_replicas
from deepseek_operator.scaling.rollout import carried_replicas
from deepseek_operator.scaling.schedules import Limits

JsonObject = Mapping[str, Any]


def choose_replicas(
    body: JsonObject,
    deployment: DeepSeekDeployment,
    acceptance: Acceptance,
    known: AcceptedPlan | None,
    limits: Limits,
    *,
    running: int,
    decided: int | None,
) -> ReplicaDecision:
    """Return how many replicas to ask for.

    Args:
        body: the object.
        deployment: the same, parsed.
        acceptance: which plan runs.
        known: plan that ran at the pass before, of which the numbers are that were decided.
        limits: of replicas, by spec and open windows.
        running: replicas that the workload asks for; somebody may have written them there, so they count only until
            something was decided.
        decided: replicas that were decided by what was measured; None where nothing was.
    """
    accepted = acceptance.accepted
    if accepted is None or not acceptance.current:
        return ReplicaDecision(
            replicas=running,
            reason=ReplicaReason.HOLDING,
            message="the workload of the plan before stays as it is",
        )
    last = ((body.get("status") or {}).get("scaling") or {}).get("desiredReplicas")
    before = known.plan if known else accepted.plan
    if decided is None and is_asleep(body, deployment, limits):
        decided = 0
    return desired_replicas(
        owner=deployment.spec.scaling.owner,
        limits=limits,
        plan_replicas=accepted.plan.replicas,
        spec_replicas=deployment.spec.replicas,
        running=carried_replicas(last if isinstance(last, int) else running, before, accepted.plan),
        measured=None if decided is None else carried_replicas(decided, before, accepted.plan),
    )


def is_asleep(body: JsonObject, deployment: DeepSeekDeployment, limits: Limits) -> bool:
    """Return whether an object was scaled to zero and may stay there: another plan or spec alone wakes nobody.

    Args:
        body: the object.
        deployment: the same, parsed.
        limits: of replicas, by spec and open windows.
    """
    scaling = (body.get("status") or {}).get("scaling") or {}
    allowed = limits.least == 0 and deployment.spec.scaling.scale_to_zero_after_seconds > 0
    return allowed and scaling.get("desiredReplicas") == 0 and bool(scaling.get("decisions"))
