"""ScalingActive and SLAMet, and ``status.scaling``, from what scaling tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepseek_operator.api import conditions
from deepseek_operator.api.conditions import Observation
from deepseek_operator.handlers.scaling_outcome import NO_METRICS, NO_PLAN, NO_SLA, UNDECIDED, stored_decisions
from deepseek_operator.handlers.situation import Situation
from deepseek_operator.scaling.attainment import UNMEASURED
from deepseek_operator.scaling.decision import ReplicaReason

JsonObject = Mapping[str, Any]


def scaling_active(situation: Situation) -> Observation:
    """Return whether somebody adjusts the number of replicas, and why not."""

    def observation(holds: bool | None, reason: str, message: str) -> Observation:
        return Observation(type=conditions.SCALING_ACTIVE, holds=holds, reason=reason, message=message)

    decision, outcome = situation.decision, situation.scaling
    if decision is None:
        return observation(False, NO_PLAN, "without a plan that runs nothing is scaled")
    if decision.reason is ReplicaReason.EXTERNAL_OWNER:
        return observation(True, decision.reason.value, decision.message)
    if outcome is None:
        return observation(False, NO_METRICS, f"the operator runs without --prometheus-url; {decision.message}")
    if outcome.told is None:
        return observation(None, UNDECIDED, f"nothing was measured yet; {decision.message}")
    return observation(outcome.told.active, outcome.told.reason, outcome.told.message)


def sla_met(situation: Situation) -> Observation:
    """Return whether the measured latency keeps the service level; Unknown without data."""

    def observation(holds: bool | None, reason: str, message: str) -> Observation:
        return Observation(type=conditions.SLA_MET, holds=holds, reason=reason, message=message)

    if situation.deployment is None or situation.deployment.spec.sla is None:
        return observation(None, NO_SLA, "spec.sla is not set")
    if situation.scaling is None:
        return observation(None, UNMEASURED, "the operator runs without --prometheus-url")
    attained = situation.scaling.attained
    if attained is None:
        return observation(None, UNMEASURED, "no latency was measured yet")
    return observation(attained.holds, attained.reason, attained.message)


def scaling_status(old: JsonObject, situation: Situation) -> dict[str, Any]:
    """Return ``status.scaling``; without metrics the decisions of before stay, and with them what they decided.

    Args:
        old: the status before.
        situation: with a decision.
    """
    fields: dict[str, Any] = {"desiredReplicas": situation.wanted_replicas}
    external = situation.decision is not None and situation.decision.reason is ReplicaReason.EXTERNAL_OWNER
    decisions = stored_decisions(old) if situation.scaling is None else situation.scaling.decisions
    if decisions and not external:
        fields["decisions"] = [dict(each) for each in decisions]
    return fields
