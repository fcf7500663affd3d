"""Which plan runs: the accepted one stays until its owner changes what it answers, or approves another.

New prices, nodes or facts make the planner answer differently; that is a proposal and never a rollout by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.plan_status import plan_from_status
from deepseek_operator.api.v1alpha1 import Apply, Replan
from deepseek_operator.catalog.engines import DEFAULT_ENGINE, engine_release
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.quantizations import quantization
from deepseek_operator.errors import CatalogError
from deepseek_operator.planner.result import Infeasible, Plan


@dataclass(frozen=True, kw_only=True)
class AcceptedPlan:
    """A plan that may run, with the part of the spec that it answers.

    Args:
        fingerprint: of the planner-relevant part of the spec.
    """

    plan: Plan
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """What runs, what is proposed and what is refused.

    Args:
        accepted: the plan that runs; with a fingerprint of an older spec while the newer one is refused or waits.
        current: whether ``accepted`` answers today's spec.
        proposed: what the planner would decide now, when that is not what runs.
        infeasible: why today's spec or supply has no plan.
    """

    accepted: AcceptedPlan | None
    current: bool
    proposed: Plan | None = None
    infeasible: Infeasible | None = None


def accept(
    answer: Plan | Infeasible,
    known: AcceptedPlan | None,
    *,
    fingerprint: str,
    apply: Apply,
    replan: Replan,
    approved_hash: str = "",
) -> Acceptance:
    """Return what may run now.

    Args:
        answer: the planner's answer to today's spec on today's supply.
        known: the plan that was accepted before, None for a new object.
        fingerprint: of today's spec.
        apply: Manual waits for ``approved_hash``.
        replan: Auto takes a new answer to an unchanged spec.
        approved_hash: ``spec.approvedPlan``.
    """
    unchanged = known is not None and known.fingerprint == fingerprint
    if isinstance(answer, Infeasible):
        return Acceptance(accepted=known, current=unchanged, infeasible=answer)
    fresh = AcceptedPlan(plan=answer, fingerprint=fingerprint)
    same_pods = known is not None and plan_hash(known.plan) == plan_hash(answer)
    if same_pods or _may_run(answer, unchanged=unchanged, apply=apply, replan=replan, approved_hash=approved_hash):
        return Acceptance(accepted=fresh, current=True)
    return Acceptance(accepted=known, current=unchanged, proposed=answer)


def genuine_plan(status: Mapping[str, Any]) -> Plan | None:
    """Return the plan of ``status.plan``; None when it is unreadable, edited by hand or of another catalogue."""
    plan = plan_from_status(status) if status else None
    if plan is None or plan_hash(plan) != status.get("hash") or not is_known(plan):
        return None
    return plan


def is_known(plan: Plan) -> bool:
    """Return whether the catalogue knows everything that a stored plan names."""
    try:
        gpu(plan.gpu)
        engine_release(DEFAULT_ENGINE, plan.engine_release)
        quantization(plan.quantization)
    except CatalogError:
        return False
    return True


def _may_run(answer: Plan, *, unchanged: bool, apply: Apply, replan: Replan, approved_hash: str) -> bool:
    if apply is Apply.MANUAL:
        return approved_hash == plan_hash(answer)
    return not unchanged or replan is Replan.AUTO
