"""A change on trial as one pass sees it: what is stored and observed becomes the next state, manifests and words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from deepseek_operator.api import conditions
from deepseek_operator.api.conditions import Observation
from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.spec_engine import EngineType
from deepseek_operator.api.status import CanaryStatus
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.capacity.canary_room import canary_room
from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.handlers.acceptance import Acceptance, AcceptedPlan, genuine_plan
from deepseek_operator.handlers.latency_reads import LatencyReads
from deepseek_operator.handlers.observed import Child, Observed
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Situation, Workload
from deepseek_operator.handlers.waiting import CRASH_REASON
from deepseek_operator.handlers.workloads import find_workload
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.canary import canary_manifests, canary_record, trial_manifests
from deepseek_operator.resources.configmap_plan import PLAN_SUFFIX
from deepseek_operator.resources.desired import desired, inputs_of
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.resources.names import CANARY, Manifest, Owner, object_name
from deepseek_operator.resources.service import port_name
from deepseek_operator.resources.template_pin import INPUTS_KEY, kept_template
from deepseek_operator.resources.triton import further_ports
from deepseek_operator.scaling.canary import (
    Canary,
    CanaryPhase,
    CanaryReason,
    CanaryView,
    canary_replicas,
    next_canary,
)
from deepseek_operator.scaling.latency import together

JsonObject = Mapping[str, Any]

STABLE_AND_TRIAL = frozenset({CanaryPhase.TRIAL, CanaryPhase.ROLLED_BACK})
"""Phases in which the plan before the change is the accepted one."""

REASONS = {
    CanaryPhase.TRIAL: CanaryReason.STARTING,
    CanaryPhase.PROMOTED: CanaryReason.PROMOTED,
    CanaryPhase.ROLLED_BACK: CanaryReason.ROLLED_BACK,
}
"""What a stored trial says until it is looked at."""


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """The observed children that a trial is about; None for what does not exist."""

    workload: Child | None
    canary: Child | None
    record: Child | None

    @classmethod
    def of(cls, observed: Observed, body: JsonObject) -> Tracks:
        """Return those of an object."""
        name, children = body["metadata"]["name"], observed.children(body["metadata"]["uid"])
        return cls(
            workload=find_workload(children, name),
            canary=children.get(("Deployment", object_name(name, CANARY))),
            record=children.get(("ConfigMap", object_name(name, PLAN_SUFFIX))),
        )


def canary_of(status: JsonObject) -> Canary | None:
    """Return the trial that a status holds; what an editor has damaged counts as none."""
    if status.get("canary") is None:
        return None
    try:
        stored = CanaryStatus.model_validate_json(json.dumps(status["canary"]))
        return Canary(
            revision=stored.revision,
            fingerprint=stored.fingerprint,
            phase=CanaryPhase(stored.phase),
            replicas=stored.replicas,
            replaces=stored.replaces,
            since=stored.since,
            reason=REASONS[CanaryPhase(stored.phase)],
            message=stored.message,
        )
    except (ValidationError, ValueError):
        return None


def canary_status(canary: Canary) -> dict[str, Any]:
    """Return ``status.canary``."""
    return {
        "revision": canary.revision,
        "fingerprint": canary.fingerprint,
        "phase": canary.phase.value,
        "replicas": canary.replicas,
        "replaces": canary.replaces,
        "since": canary.since,
        "message": conditions.truncated(canary.message),
    }


def pinned_plan(status: JsonObject, fingerprint: str) -> Plan | None:
    """Return the plan on trial, or rejected, for as long as its owner asks the same; None when there is none."""
    canary = canary_of(status)
    if canary is None or canary.fingerprint != fingerprint or canary.phase not in STABLE_AND_TRIAL:
        return None
    return genuine_plan(status.get("proposedPlan") or {})


class Trials:
    """Looks at changes on trial.

    Args:
        observed: what the watches show.
        reads: reads latency.
    """

    def __init__(self, observed: Observed, reads: LatencyReads) -> None:
        self._observed = observed
        self._reads = reads

    def look(
        self,
        body: JsonObject,
        deployment: DeepSeekDeployment,
        acceptance: Acceptance,
        known: AcceptedPlan | None,
        inventory: Inventory,
        now: datetime,
    ) -> tuple[Acceptance, Canary | None]:
        """Return which plan runs while the change is on trial, and the trial; None when there is none.

        Args:
            body: the object.
            deployment: the same, parsed.
            acceptance: what would run without a trial.
            known: what runs.
            inventory: of the cluster.
            now: time in UTC.
        """
        stored, tracks = canary_of(body.get("status") or {}), Tracks.of(self._observed, body)
        if acceptance.accepted is None or not acceptance.current:
            return acceptance, stored
        revision = change_on_trial(deployment, acceptance.accepted.plan, known, tracks, stored)
        if known is None or not revision or _is_through(stored, revision, tracks):
            self._reads.forget(body["metadata"]["uid"])
            return acceptance, None
        fingerprint = acceptance.accepted.fingerprint
        canary = (
            stored if stored and stored.revision == revision else Canary(revision=revision, fingerprint=fingerprint)
        )
        canary = replace(canary, fingerprint=fingerprint)
        candidate = acceptance.accepted.plan
        if canary.phase is CanaryPhase.TRIAL:
            canary = self._looked(body, deployment, canary, known.plan, candidate, tracks, inventory, now)
        if canary.phase is not CanaryPhase.TRIAL:
            self._reads.forget(body["metadata"]["uid"])
        if canary.phase is CanaryPhase.PROMOTED:
            return acceptance, canary
        return Acceptance(accepted=known, current=True, proposed=candidate), canary

    def _looked(
        self,
        body: JsonObject,
        deployment: DeepSeekDeployment,
        canary: Canary,
        stable: Plan,
        candidate: Plan,
        tracks: Tracks,
        inventory: Inventory,
        now: datetime,
    ) -> Canary:
        spec, running = deployment.spec.rollout.canary, tracks.workload.replicas if tracks.workload else 0
        if spec is None:
            return canary
        if canary.replicas == 0:
            wanted = canary_replicas(spec.traffic_percent, running)
            room = canary_room(deployment, stable, candidate, inventory, running=running, wanted=wanted)
            if room.replicas == 0:
                waits = f"the change waits for GPUs to be tried on: {room.limiting}"
                return replace(canary, reason=CanaryReason.WAITING_FOR_GPUS, message=waits)
            canary = replace(canary, replicas=room.replicas, replaces=room.replaces)
            running -= room.replaces
        return next_canary(
            canary, spec, deployment.spec.sla, self._view(body, deployment, canary, tracks, running), now
        )

    def _view(
        self, body: JsonObject, deployment: DeepSeekDeployment, canary: Canary, tracks: Tracks, running: int
    ) -> CanaryView:
        metadata = body["metadata"]
        pods = list(self._observed.pods(metadata["namespace"], metadata["name"]))
        trial, stable = [pod for pod in pods if pod.track == CANARY], [pod for pod in pods if pod.track != CANARY]
        told = self._reads.told(metadata["uid"], [*trial, *stable])
        return CanaryView(
            ready=_serves(tracks.canary, canary.replicas),
            failure=_failure(tracks.canary, trial),
            stable=running,
            canary_latency=together(told[pod.uid] for pod in trial if pod.uid in told),
            stable_latency=together(told[pod.uid] for pod in stable if pod.uid in told),
            unreadable=self._unreadable(deployment),
        )

    def _unreadable(self, deployment: DeepSeekDeployment) -> str:
        if deployment.spec.engine.tls_secret_ref is not None:
            return "the engine serves HTTPS with a certificate that the operator cannot check"
        if deployment.spec.engine.type is EngineType.TRITON:
            return "Triton does not tell how long each request's tokens took"
        return "" if self._reads.enabled else "the operator runs with --no-engine-metrics"


def change_on_trial(
    deployment: DeepSeekDeployment, plan: Plan, known: AcceptedPlan | None, tracks: Tracks, stored: Canary | None
) -> str:
    """Return what identifies a change that is tried before it reaches everybody, or "" when there is none.

    A change of TLS or of the server (vLLM, Triton) is not tried: one Service cannot speak both.

    Args:
        deployment: the parsed object.
        plan: that it should get.
        known: plan that runs.
        tracks: what exists.
        stored: trial that the status holds.
    """
    revision = inputs_of(deployment, plan, plan_hash(plan))
    if stored is not None and stored.phase is CanaryPhase.PROMOTED and stored.revision == revision:
        return revision
    workload, record = tracks.workload, tracks.record
    if deployment.spec.rollout.canary is None or known is None or workload is None or record is None:
        return ""
    inputs = record.data.get(INPUTS_KEY, "")
    template = kept_template(record.data, inputs, workload.template_hash)
    if workload.replicas == 0 or not inputs or inputs == revision or template is None:
        return ""
    spoken = [port.get("name") for port in template["spec"]["containers"][0].get("ports") or ()]
    wanted = [port_name(tls=deployment.spec.engine.tls_secret_ref is not None), *further_ports(deployment)]
    return revision if spoken == wanted else ""


def trial_key(canary: Canary | None) -> tuple[object, ...]:
    """Return what the manifests depend on of a trial."""
    return () if canary is None else (canary.phase, canary.replicas, canary.replaces)


def build(
    deployment: DeepSeekDeployment,
    situation: Situation,
    tracks: Tracks,
    uid: str,
    replicas: int | None,
    features: ClusterFeatures,
) -> list[Manifest]:
    """Return the manifests of an object, with those of its trial.

    Args:
        deployment: the parsed object.
        situation: with the accepted plan and the trial.
        tracks: what exists.
        uid: of the object.
        replicas: to ask of what runs; None leaves them to another owner.
        features: what the cluster can do beside the API that every cluster has.

    Raises:
        InvalidSpecError: as `desired`.
    """
    acceptance, canary = situation.acceptance, situation.canary
    if acceptance is None or acceptance.accepted is None:
        return []
    owner = Owner(name=deployment.metadata.name, namespace=deployment.metadata.namespace, uid=uid)
    data: Mapping[str, str] = tracks.record.data if tracks.record else {}
    stable_hash = tracks.workload.template_hash if tracks.workload else ""
    trial_hash = tracks.canary.template_hash if tracks.canary else stable_hash

    def made(accepted: AcceptedPlan, kept: Mapping[str, str], template_hash: str, inputs: str = "") -> list[Manifest]:
        return desired(
            deployment,
            accepted.plan,
            uid=uid,
            replicas=replicas,
            plan_hash=plan_hash(accepted.plan),
            fingerprint=accepted.fingerprint,
            kept=kept,
            workload_template_hash=template_hash,
            kept_inputs=inputs,
            features=features,
        )

    if canary is None:
        return made(acceptance.accepted, data, stable_hash)
    if canary.phase is CanaryPhase.PROMOTED:
        promoted = made(acceptance.accepted, canary_record(data), trial_hash)
        return [*promoted, *canary_manifests(promoted, owner, replicas=canary.replicas)]
    stable = made(acceptance.accepted, data, stable_hash, data.get(INPUTS_KEY, ""))
    if canary.phase is CanaryPhase.ROLLED_BACK or acceptance.proposed is None:
        return stable
    candidate = AcceptedPlan(plan=acceptance.proposed, fingerprint=canary.fingerprint)
    changed = made(candidate, canary_record(data), trial_hash)
    return trial_manifests(stable, changed, owner, replicas=canary.replicas)


def _is_through(stored: Canary | None, revision: str, tracks: Tracks) -> bool:
    """Return whether a promoted change has reached all replicas, so that its own workload may go."""
    if stored is None or stored.phase is not CanaryPhase.PROMOTED or stored.revision != revision:
        return False
    workload, trial = tracks.workload, tracks.canary
    if workload is None or trial is None:
        return True
    return workload.template_hash == trial.template_hash and _serves(workload, workload.replicas)


def _serves(child: Child | None, replicas: int) -> bool:
    """Return whether so many replicas serve, and no others are there."""
    if child is None:
        return False
    seen = Workload(generation=child.generation, status=child.status)
    counts = [seen.count(each) for each in ("replicas", "updatedReplicas", "availableReplicas")]
    return seen.seen and counts == [replicas] * len(counts)


def _failure(child: Child | None, pods: Sequence[PodState]) -> str:
    """Return why a trial's replicas never serve, one sentence, or "" while they may."""
    crashed = next((pod for pod in pods if pod.waiting_reason == CRASH_REASON and not pod.deleting), None)
    if crashed is not None:
        return f"pod {crashed.name} waits, {CRASH_REASON}"
    if child is None:
        return ""
    seen = Workload(generation=child.generation, status=child.status)
    if not seen.seen or seen.condition("Progressing").get("reason") != "ProgressDeadlineExceeded":
        return ""
    waiting = next((pod for pod in pods if pod.waiting_reason and not pod.deleting), None)
    detail = f", pod {waiting.name} waits, {waiting.waiting_reason}" if waiting else ""
    return f"they did not start in time{detail}"


def canary_planned(canary: Canary | None) -> Observation | None:
    """Return the Planned condition while a change is on trial or was rolled back; None otherwise."""
    if canary is None or canary.phase is CanaryPhase.PROMOTED:
        return None
    return Observation(type=conditions.PLANNED, holds=True, reason=canary.reason.value, message=canary.message)


def canary_ready(canary: Canary | None, workload: Observation) -> Observation | None:
    """Return the Ready condition while what runs is not, or not only, what was asked; None otherwise."""
    if canary is None or canary.phase is CanaryPhase.PROMOTED or not workload.holds:
        return None
    held = canary.reason is CanaryReason.HELD
    return Observation(type=conditions.READY, holds=held, reason=canary.reason.value, message=canary.message)


def canary_progress(canary: Canary | None) -> Observation | None:
    """Return Reconciling while a change is on trial and Stalled after it was rolled back; None otherwise."""
    if canary is None or canary.phase is CanaryPhase.PROMOTED or canary.reason is CanaryReason.HELD:
        return None
    kind = conditions.STALLED if canary.phase is CanaryPhase.ROLLED_BACK else conditions.RECONCILING
    return Observation(type=kind, holds=True, reason=canary.reason.value, message=canary.message)
