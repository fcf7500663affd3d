"""What scaling has decided for one object, as its status keeps it over a restart of the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deepseek_operator.api import conditions
from deepseek_operator.api.status import MAX_DECISIONS
from deepseek_operator.scaling.attainment import UNMEASURED, Attainment
from deepseek_operator.scaling.decide import HOLD_SECONDS, Decision, ScalingReason, most_after
from deepseek_operator.scaling.told import Told

JsonObject = Mapping[str, Any]

NO_METRICS = "NoMetrics"
NO_PLAN = "NoPlan"
UNDECIDED = "NotDecided"
NO_SLA = "NoSla"

NOT_ADOPTED = frozenset({NO_METRICS, NO_PLAN, UNDECIDED})
"""Reasons of ScalingActive that a loop did not tell."""

NOT_JUDGED = frozenset({NO_SLA, UNMEASURED})
"""The same of SLAMet."""

BY_LOAD = frozenset(
    {ScalingReason.STEADY, ScalingReason.DEMAND_RISES, ScalingReason.DEMAND_FELL, ScalingReason.CANCELLED}
)
"""Reasons with which a number is what the load needed; with others a limit held it back, or nothing was measured."""


@dataclass(frozen=True, kw_only=True)
class ScalingOutcome:
    """What an object's scaling tells.

    Args:
        told: of the number of replicas; None before the first decision.
        attained: of the service level; None before the first reading.
        decisions: changes of the number, newest first, as ``status.scaling.decisions``.
    """

    told: Told | None = None
    attained: Attainment | None = None
    decisions: tuple[JsonObject, ...] = ()

    def says_as(self, other: ScalingOutcome) -> bool:
        """Whether a person would read the same."""
        return (
            _same(self.told, other.told)
            and (self.attained is None) == (other.attained is None)
            and (self.attained is None or other.attained is None or self.attained.says_as(other.attained))
            and self.decisions == other.decisions
        )


def _same(told: Told | None, other: Told | None) -> bool:
    return told is other if told is None or other is None else told.says_as(other)


def restored(status: JsonObject, now: float) -> ScalingOutcome:
    """Return what an earlier process has told; it stays until it is found to be otherwise.

    Args:
        status: of the object.
        now: seconds, as the time when it was last so.
    """
    by_type = {str(each.get("type")): each for each in status.get("conditions") or ()}
    active, level = by_type.get(conditions.SCALING_ACTIVE), by_type.get(conditions.SLA_MET)
    told = attained = None
    if active is not None and active["reason"] not in NOT_ADOPTED:
        holds = active["status"] == "True"
        told = Told(active=holds, reason=active["reason"], message=active["message"], seen=now, adopted=True)
    if level is not None and level["reason"] not in NOT_JUDGED:
        holds = {"True": True, "False": False}.get(level["status"])
        attained = Attainment(holds=holds, reason=level["reason"], message=level["message"], told=now, agreed=now)
    return ScalingOutcome(told=told, attained=attained, decisions=stored_decisions(status))


def decided_by_load(status: JsonObject, now: float) -> int | None:
    """Return the replicas that an earlier process has chosen for the load; None where something else chose them.

    Args:
        status: of the object.
        now: seconds.
    """
    outcome, scaling = restored(status, now), status.get("scaling") or {}
    newest = outcome.decisions[0] if outcome.decisions else {}
    told, replicas = outcome.told, scaling.get("desiredReplicas")
    reason = told.reason if told is not None and told.active else newest.get("reason")
    on_its_way = newest.get("toReplicas") == most_after(int(newest.get("fromReplicas") or 0))
    if on_its_way and now - _seconds(newest) < HOLD_SECONDS:
        return None  # the next decisions were to add more
    return replicas if reason in BY_LOAD and isinstance(replicas, int) and replicas > 0 else None


def _seconds(decision: JsonObject) -> float:
    """Return when a stored decision was made, in seconds since 1970; 0 where it does not say."""
    try:
        return datetime.fromisoformat(str(decision.get("time"))).timestamp()
    except ValueError:
        return 0.0


def stored_decisions(status: JsonObject) -> tuple[JsonObject, ...]:
    """Return the last changes of the number of replicas, newest first."""
    found = (status.get("scaling") or {}).get("decisions") or ()
    return tuple(each for each in found if isinstance(each, Mapping))


def with_decision(
    decisions: tuple[JsonObject, ...], decision: Decision, current: int, now: float
) -> tuple[JsonObject, ...]:
    """Return the last changes with one more when the number of replicas changes."""
    if decision.replicas == current:
        return decisions
    newest = {
        "time": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "fromReplicas": current,
        "toReplicas": decision.replicas,
        "reason": decision.reason.value,
        "message": conditions.truncated(decision.message),
    }
    return (newest, *decisions)[:MAX_DECISIONS]
