"""From a situation to conditions: one pure function per condition, each with its reason and one sentence.

The first five are always there. Reconciling and Stalled follow kstatus: they are present only while they are true.
"""

from __future__ import annotations

from deepseek_operator.api import conditions
from deepseek_operator.api.conditions import Observation
from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.errors import shortened
from deepseek_operator.handlers.canaries import canary_planned, canary_progress, canary_ready
from deepseek_operator.handlers.engine_reports import unread_engine
from deepseek_operator.handlers.rollouts import rollout_observations
from deepseek_operator.handlers.scaling_conditions import scaling_active, sla_met
from deepseek_operator.handlers.situation import Situation, Workload
from deepseek_operator.handlers.waiting import STUCK_REASONS, refused_pods
from deepseek_operator.planner.compromise import Compromise, CompromiseKind
from deepseek_operator.planner.result import Infeasible, Plan
from deepseek_operator.planner.sharing import memory_not_isolated

PODS_REFUSED = "FailedCreate"
"""The API server refuses the pods; as the ReplicaSet controller says it."""

WAITING_FOR_GPUS = "WaitingForGpus"
"""Replicas are missing for which no GPUs are free now; no person need do anything but find some."""


def observations(situation: Situation) -> list[Observation]:
    """Return what the conditions of the object should say, in a fixed order."""
    planned = _planned(situation)
    workload = _workload_ready(situation)
    ready = _ready(situation, planned, workload)
    made = [
        ready,
        planned,
        _capacity_available(situation),
        workload,
        scaling_active(situation),
        sla_met(situation),
    ]
    if (accurate := _plan_accurate(situation)) is not None:
        made.append(accurate)
    if situation.pressure is not None:
        made.append(situation.pressure)
    return [*made, *rollout_observations(situation), *_progress(situation, planned, workload)]


def _planned(situation: Situation) -> Observation:
    def observation(holds: bool, reason: str, message: str) -> Observation:
        return Observation(type=conditions.PLANNED, holds=holds, reason=reason, message=message)

    if situation.invalid:
        return observation(False, "InvalidSpec", situation.invalid)
    acceptance = situation.acceptance
    if acceptance is None:
        return observation(False, "NotPlanned", "the object has not been planned yet")
    if (trial := canary_planned(situation.trial)) is not None:
        return trial
    kept = acceptance.accepted.plan if acceptance.accepted and acceptance.current else None
    if acceptance.infeasible is not None:
        refused = refusal(acceptance.infeasible)
        if kept is not None:
            return observation(True, "PlanKept", f"{summary(kept)} stays; today's GPUs would not hold it: {refused}")
        return observation(False, acceptance.infeasible.reason.value, refused)
    if acceptance.proposed is not None:
        proposal = f"{summary(acceptance.proposed)}, hash {plan_hash(acceptance.proposed)}"
        if kept is None:
            return observation(True, "AwaitingApproval", f"set spec.approvedPlan to run {proposal}")
        return observation(True, "PlanProposed", f"{summary(kept)} stays; the planner would now choose {proposal}")
    if kept is None:
        return observation(False, "NotPlanned", "the object has not been planned yet")
    return observation(True, *_runs(kept))


def _runs(plan: Plan) -> tuple[str, str]:
    """Return reason and message for a plan that runs as it should: the first that its owner should know of it."""
    not_isolated = memory_not_isolated(plan.share)
    if plan.compromise is not None:
        told = _compromise(plan, plan.compromise)
        return f"{plan.compromise.kind.value}Planned", f"{told}; {not_isolated}" if not_isolated else told
    if not_isolated:
        return "MemoryNotIsolated", f"{summary(plan)}; {not_isolated}"
    return "Planned", summary(plan)


def _capacity_available(situation: Situation) -> Observation:
    def observation(holds: bool | None, reason: str, message: str) -> Observation:
        return Observation(type=conditions.CAPACITY_AVAILABLE, holds=holds, reason=reason, message=message)

    if situation.decision is None:
        return observation(None, "NoPlan", "without a plan that runs no GPUs are asked for")
    if situation.fits is None:
        return observation(True, "Placed", f"{_replicas(situation.wanted_replicas)} placed")
    if situation.fits.fits:
        return observation(True, "FitsNow", f"there is room for {_replicas(situation.fits.needed)}")
    return observation(False, "InsufficientFreeGpus", situation.fits.limiting)


def _workload_ready(situation: Situation) -> Observation:
    def observation(holds: bool, reason: str, message: str) -> Observation:
        return Observation(type=conditions.WORKLOAD_READY, holds=holds, reason=reason, message=message)

    if situation.failure:
        return observation(False, "ApplyFailed", situation.failure)
    if situation.unsupported:
        return observation(False, "NotSupported", situation.unsupported)
    if situation.hold is not None:
        serving = f"; {_replicas(situation.ready_replicas)} of before keep serving" if situation.ready_replicas else ""
        return observation(False, situation.hold.reason, situation.hold.message + serving)
    if situation.workload is None:
        return observation(False, "NoWorkload", "no pods were made")
    if situation.decision is not None and situation.wanted_replicas == 0:
        return observation(True, "ScaledToZero", "no replica is wanted")
    holds, reason, message = _replicas_ready(situation, situation.workload)
    return observation(holds, reason, message)


def _replicas_ready(situation: Situation, workload: Workload) -> tuple[bool, str, str]:
    """Return whether the replicas that are wanted serve, with reason and sentence."""
    wanted = situation.track_replicas or 0
    updated, ready = workload.count("updatedReplicas"), workload.count("readyReplicas")
    counts = f"{ready} of {_replicas(wanted)} ready"
    if not workload.seen:
        return False, "Progressing", f"{counts}; the workload controller has not seen the newest version yet"
    if updated < wanted:
        counts = f"{counts}, {updated} updated"
        if refused := refused_pods(workload.status.get("conditions") or ()):
            return False, PODS_REFUSED, f"{counts}; {refused}"
        return False, *_waiting(situation, counts)
    if min(workload.count("availableReplicas"), ready) < wanted or workload.count("replicas") > wanted:
        return False, *_waiting(situation, counts)
    return True, "ReplicasReady", counts


def _waiting(situation: Situation, counts: str) -> tuple[str, str]:
    """Return reason and message for replicas that are not ready: what is stuck, the GPUs that are missing, or a pod."""
    told = [pod for pod in situation.pods if pod.waiting_reason and not pod.deleting]
    worst = next((pod for pod in told if pod.is_stuck), None)
    if worst is None and situation.fits is not None and not situation.fits.fits:
        return WAITING_FOR_GPUS, f"{counts}; {situation.fits.limiting}"
    pod = worst or next(iter(told), None)
    if pod is None:
        return "Progressing", counts
    return (pod.waiting_reason if worst else "Progressing"), f"{counts}; {pod.says}"


def _plan_accurate(situation: Situation) -> Observation | None:
    """Return whether the engine's cache is within the plan's band; None while no engine has told."""

    def observation(holds: bool | None, reason: str, message: str) -> Observation:
        return Observation(type=conditions.PLAN_ACCURATE, holds=holds, reason=reason, message=message)

    acceptance, observed = situation.acceptance, situation.feedback.observed
    if situation.deployment is None or acceptance is None or acceptance.accepted is None:
        return None
    unread = unread_engine(situation.deployment.spec.engine)
    if unread is not None and situation.ready_replicas:
        return observation(None, *unread)
    if observed is None or observed.plan_hash != plan_hash(acceptance.accepted.plan):
        return None
    cache = (
        f"the KV cache holds {observed.kv_cache_tokens:,} tokens, {observed.difference_percent:+d} % of the "
        f"{observed.planned_kv_cache_tokens:,} planned (± {observed.band_percent} %)"
    )
    if observed.sized_by_hand and not acceptance.accepted.plan.fixed_kv_cache_bytes:
        return observation(None, "SizedByHand", f"{cache}; the owner set its size, so it corrects no plan")
    if abs(observed.difference_percent) <= observed.band_percent:
        return observation(True, "WithinBand", cache)
    return observation(False, "OutsideBand", f"{cache}; the next plans of this model on these GPUs count with it")


def _ready(situation: Situation, planned: Observation, workload: Observation) -> Observation:
    def observation(holds: bool, reason: str, message: str) -> Observation:
        return Observation(type=conditions.READY, holds=holds, reason=reason, message=message)

    if not planned.holds:
        return observation(False, planned.reason, planned.message)
    nothing_runs = situation.acceptance is not None and situation.acceptance.accepted is None
    if planned.reason == "AwaitingApproval" and nothing_runs:
        return observation(True, planned.reason, planned.message)
    if planned.reason == "AwaitingApproval":
        return observation(bool(workload.holds), planned.reason, f"{planned.message}; meanwhile {workload.message}")
    if (trial := canary_ready(situation.trial, workload)) is not None:
        return trial
    if not workload.holds:
        return observation(False, workload.reason, workload.message)
    return observation(True, workload.reason, workload.message)


def _progress(situation: Situation, planned: Observation, workload: Observation) -> list[Observation]:
    """Return Reconciling or Stalled while one of them is true."""
    if not planned.holds:
        return [Observation(type=conditions.STALLED, holds=True, reason=planned.reason, message=planned.message)]
    if (trial := canary_progress(situation.trial)) is not None:
        return [trial]
    runs = situation.decision is not None
    if not runs or workload.holds:
        return []
    stuck = workload.reason in STUCK_REASONS | {"NotSupported", PODS_REFUSED}
    stuck |= situation.hold is not None and situation.hold.stuck
    expired = situation.workload is not None and (
        situation.workload.condition("Progressing").get("reason") == "ProgressDeadlineExceeded"
    )
    kind = conditions.STALLED if stuck or expired else conditions.RECONCILING
    return [Observation(type=kind, holds=True, reason=workload.reason, message=workload.message)]


def summary(plan: Plan) -> str:
    """Return a plan in a few words, such as ``1 x (4 x h100-sxm5-80gb, TP4, Native)``."""
    nodes = f" over {plan.nodes_per_replica} nodes" if plan.nodes_per_replica > 1 else ""
    each = f"{plan.gpus_per_replica} x {plan.gpu_name}{nodes}, {plan.parallelism}, {plan.quantization}"
    if plan.compromise is not None and plan.model_name != plan.compromise.asked_model:
        each = f"{shortened(plan.model_name)} on {each}"
    if plan.rdma is not None:
        each += f", RDMA by {plan.rdma}"
    return each if plan.replicas == 1 else f"{plan.replicas} replicas of {each}"


def _compromise(plan: Plan, compromise: Compromise) -> str:
    """Return what runs, and first why it is not what was asked."""
    if compromise.kind in {CompromiseKind.SCHEDULE, CompromiseKind.MEMORY_PRESSURE}:
        return f"{compromise.change}: {summary(plan)}; {compromise.message}"
    asked = f"{shortened(compromise.asked_model)} has no plan ({compromise.reason})"
    return f"{asked}, so {compromise.change}: {summary(plan)}; {compromise.message}"


def refusal(infeasible: Infeasible) -> str:
    """Return why there is no plan, and the nearest thing that would work, in one text."""
    return f"{infeasible.message}; {infeasible.nearest}" if infeasible.nearest else infeasible.message


def _replicas(count: int) -> str:
    return f"{count} replica{'' if count == 1 else 's'}"
