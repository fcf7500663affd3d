"""Which plan runs: the accepted one stays until its owner changes what it answers, or approves another.

New prices, nodes or facts make the planner answer differently; that is a proposal and never a rollout by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.v1alpha1 import Apply, Replan
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


def _may_run(answer: Plan, *, unchanged: bool, apply: Apply, replan: Replan, approved_hash: str) -> bool:
    if apply is Apply.MANUAL:
        return approved_hash == plan_hash(answer)
    return not unchanged or replan is Replan.AUTO
