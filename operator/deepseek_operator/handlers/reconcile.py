"""The recipe: observe, plan, make the children be as desired, write the status when it changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.spec_scaling import ScalingOwner
from deepseek_operator.api.v1alpha1 import KIND, DeepSeekDeployment
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.capacity.fits import FitsNow
from deepseek_operator.capacity.workload import room_for
from deepseek_operator.cluster import Cluster
from deepseek_operator.errors import ClusterError, InvalidSpecError
from deepseek_operator.handlers.acceptance import Acceptance, AcceptedPlan, accept, genuine_plan, is_known
from deepseek_operator.handlers.apply import Applier
from deepseek_operator.handlers.canaries import STABLE_AND_TRIAL, Tracks, Trials, build, pinned_plan, trial_key
from deepseek_operator.handlers.discovery import Discovery
from deepseek_operator.handlers.drain_order import DrainOrder
from deepseek_operator.handlers.engine_reports import EngineReports, reporter
from deepseek_operator.handlers.events import post_events
from deepseek_operator.handlers.feedback import feedback_of, with_report
from deepseek_operator.handlers.group_state import placed_replicas
from deepseek_operator.handlers.groups import Groups
from deepseek_operator.handlers.latency_reads import LatencyReads
from deepseek_operator.handlers.loops import Left, Turn
from deepseek_operator.handlers.memory_pressure import PressureWatch
from deepseek_operator.handlers.object_metrics import ObjectMetrics, shown
from deepseek_operator.handlers.observed import Child, Observed
from deepseek_operator.handlers.planning import Planning
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.preparation import Preparation
from deepseek_operator.handlers.questions import Questions
from deepseek_operator.handlers.repair_events import Repairs
from deepseek_operator.handlers.replica_choice import choose_replicas
from deepseek_operator.handlers.rollouts import is_at_rest, must_announce, rolled
from deepseek_operator.handlers.scaling_events import post_scaling_event
from deepseek_operator.handlers.scaling_loop import ScalingLoop
from deepseek_operator.handlers.situation import Situation, Workload
from deepseek_operator.handlers.status import next_status
from deepseek_operator.handlers.supplies import Supplies
from deepseek_operator.handlers.switching import planned_workload, switched
from deepseek_operator.handlers.unhurried import Unhurried
from deepseek_operator.handlers.workloads import features_beside, find_workload
from deepseek_operator.metrics import Metrics
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.canary import canary_keys
from deepseek_operator.resources.configmap_plan import FINGERPRINT_KEY, PLAN_SUFFIX, accepted_plan
from deepseek_operator.resources.desired import before_workload
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.resources.gang import is_made_whole
from deepseek_operator.resources.names import object_name
from deepseek_operator.resources.runnable import is_runnable
from deepseek_operator.scaling.canary import CanaryReason
from deepseek_operator.scaling.decision import ReplicaDecision
from deepseek_operator.scaling.schedules import Limits

JsonObject = Mapping[str, Any]


class Reconciler:
    """Does one pass over one object at a time.

    Args:
        cluster: the connection for all writes.
        observed: what the watches show of our objects.
        nodes: what the watches show of nodes and GPU pods.
        planning: asks the planner.
        reports: asks the engines.
        preparation: looks at what must be there before pods.
        latencies: asks them what requests take.
        metrics: where to count.
        discovery: knows which APIs the cluster serves.
        groups: looks after pods over several nodes.
        drain: tells which replicas go first.
        questions: knows what objects ask at this moment.
        scaling: decides replicas by what is measured.
        pressure: knows which formats memory pressure asks for.
        unhurried: puts off what a status need not say at once.
    """

    def __init__(
        self,
        cluster: Cluster,
        observed: Observed,
        nodes: ClusterState,
        planning: Planning,
        reports: EngineReports,
        preparation: Preparation,
        latencies: LatencyReads,
        metrics: Metrics,
        discovery: Discovery,
        groups: Groups,
        drain: DrainOrder,
        questions: Questions,
        scaling: ScalingLoop,
        pressure: PressureWatch,
        unhurried: Unhurried,
    ) -> None:
        self._cluster = cluster
        self._observed = observed
        self._nodes = nodes
        self._planning = planning
        self._reports = reports
        self._preparation = preparation
        self._latencies = latencies
        self._trials = Trials(observed, latencies)
        self._metrics = metrics
        self._shown = ObjectMetrics(metrics.registry)
        self._discovery = discovery
        self._groups = groups
        self._scaling = scaling
        self._drain = drain
        self._unhurried = unhurried
        self._applier = Applier(cluster, observed)
        self._repairs = Repairs()
        self._waiting: set[str] = set()
        self._made: dict[str, tuple[int, AcceptedPlan, int | None, object, bool]] = {}
        self._questions = questions
        self._pressure = pressure
        self._supplies = Supplies(nodes)

    def waiting_for_capacity(self) -> list[str]:
        """Return the UIDs of objects whose replicas found no free GPUs at their last pass."""
        return sorted(self._waiting)

    def forget(self, uid: str) -> None:
        """Drop what is remembered of an object that is gone."""
        self._applier.forget(uid)
        self._made.pop(uid, None)
        self._waiting.discard(uid)
        self._reports.forget(uid)
        self._preparation.forget(uid)
        self._groups.forget(uid)
        self._latencies.forget(uid)
        self._questions.forget(uid)
        self._scaling.forget(uid)
        self._pressure.forget(uid)
        self._unhurried.forget(uid)
        self._metrics.drop_plan(uid)
        self._metrics.drop_plan_error(uid)
        self._shown.drop(uid)
        self._repairs.forget(uid)

    async def reconcile(self, uid: str, turn: Turn) -> Left:
        """Do one pass over an object.

        Args:
            uid: of the DeepSeekDeployment.
            turn: with ``resync`` every child is applied, also those that the watches show unchanged; with ``pressed``
                a status that says no more than that children were made is left to the next pass.

        Returns:
            What was left to the next pass.

        Raises:
            ClusterError: a call failed; what could be done was done and told in the status.
        """
        body = self._observed.deployments.get(uid)
        if body is None or body["metadata"].get("deletionTimestamp"):
            return Left.NOTHING
        if turn.resync:
            self._applier.forget(uid)
            self._made.pop(uid, None)
            self._reports.forget(uid)
        failure: ClusterError | None = None
        situation = await self._decide(body)
        if situation.decision is not None and situation.acceptance is not None and situation.acceptance.current:
            try:
                situation = await self._act(body, situation, turn)
                said = await self._groups.tend(uid, self._planned(body, situation), self._pods(body), situation)
                self._repairs.restarted(body, said)
            except ClusterError as error:
                failure = error
                situation = replace(situation, failure=str(error))
        self._repairs.undone(body, self._applier.undone(uid))
        situation = self._listen(body, self._look(body, situation))
        if situation.deferred:
            return Left.URGENT
        if turn.pressed and failure is None and situation.only_started:
            return Left.SOME
        situation = replace(situation, fits=self._fits(situation), scaling=self._scaling.outcome(body))
        self._remember(uid, situation)
        await self._write_status(body, situation)
        if failure is not None:
            raise failure
        return Left.URGENT if must_announce(body.get("status") or {}, situation) else Left.NOTHING

    async def _decide(self, body: JsonObject) -> Situation:
        """Parse, plan and choose replicas; nothing is written."""
        generation, now = int(body["metadata"].get("generation") or 0), datetime.now(UTC)
        try:
            question = self._questions.ask(body, known := self._known_plan(body), now)
        except InvalidSpecError as error:
            return Situation(generation=generation, invalid=str(error))
        deployment, supply = question.deployment, self._supplies.of(question.deployment)
        pinned = pinned_plan(body.get("status") or {}, question.fingerprint)
        acceptance = accept(
            pinned or await self._planning.answer(question.request, supply),
            known,
            fingerprint=question.fingerprint,
            apply=deployment.spec.apply,
            replan=deployment.spec.replan,
            approved_hash=deployment.spec.approved_plan,
        )
        await self._pressure.learn(body["metadata"]["uid"], deployment, acceptance.accepted, supply, now.timestamp())
        inventory = self._nodes.inventory()
        acceptance, canary = self._trials.look(body, deployment, acceptance, known, inventory, now)
        situation = Situation(
            generation=generation,
            deployment=deployment,
            acceptance=acceptance,
            canary=canary,
            pressure=self._pressure.told(body, deployment.spec.memory_pressure, measured=self._scaling.measures),
            variant=question.variant,
        )
        if acceptance.accepted is None:
            return situation
        plan = acceptance.accepted.plan
        return replace(
            situation,
            unsupported=is_runnable(plan, deployment, self._features(body)),
            decision=self._replicas(body, deployment, acceptance, question.limits),
        )

    def _replicas(
        self, body: JsonObject, deployment: DeepSeekDeployment, acceptance: Acceptance, limits: Limits
    ) -> ReplicaDecision:
        workload, accepted = self._workload(body), acceptance.accepted
        running, known = workload.replicas if workload else 0, self._known_plan(body)
        decided = self._scaling.decided(body, accepted.fingerprint) if accepted else None
        return choose_replicas(body, deployment, acceptance, known, limits, running=running, decided=decided)

    async def _act(self, body: JsonObject, situation: Situation, turn: Turn) -> Situation:
        """Make the children be as desired; while others press, a new workload waits: its pods slow their Services."""
        deployment, acceptance, decision = situation.deployment, situation.acceptance, situation.decision
        if deployment is None or acceptance is None or acceptance.accepted is None or decision is None:
            return situation
        await self._seed_scale(deployment, decision)
        uid, tracks = body["metadata"]["uid"], Tracks.of(self._observed, body)
        workload, canary = tracks.workload, situation.canary
        if situation.unsupported and workload is not None:
            return situation  # what runs stays as it is
        replicas = self._admitted(body, deployment, acceptance.accepted.plan, situation.track_replicas)
        monitored = self._discovery.features.pod_monitor
        inputs = (situation.generation, acceptance.accepted, replicas, trial_key(canary), monitored)
        status = body.get("status") or {}
        rests = workload is None or is_at_rest(workload, situation, status)
        if self._made.get(uid) == inputs and self._applier.is_settled(uid) and rests:
            return situation
        try:
            manifests = build(deployment, situation, tracks, uid, replicas, self._features(body))
        except InvalidSpecError as error:
            return replace(situation, invalid=str(error))
        plan = acceptance.proposed if canary and acceptance.proposed else acceptance.accepted.plan
        stage = await self._preparation.stage(uid, deployment, plan, manifests)
        manifests, situation = stage.manifests, replace(situation, hold=stage.hold)
        if turn.pressed and not self._observed.children(uid):
            await self._applier.apply(uid, before_workload(manifests))
            return replace(situation, deferred=True)
        pods, inventory = self._pods(body), self._nodes.inventory()
        manifests, step = rolled(manifests, workload, pods, situation, inventory, status)
        switch = switched(manifests, self._observed.children(uid), pods, situation, inventory)
        manifests, situation = switch.manifests, replace(situation, rollout=switch.step or step)
        if must_announce(status, situation):
            return situation  # said first, done at the next pass
        await self._drain.prepare(manifests, workload, pods, deployment.spec.engine, self._scaling.running_by_pod(uid))
        await self._applier.apply(uid, manifests)
        if stage.prune:
            among = canary_keys(deployment.metadata.name) if canary and canary.phase in STABLE_AND_TRIAL else None
            await self._applier.prune(uid, manifests, among, switch.spared)
        if stage.hold is None and not switch.spared:
            self._made[uid] = inputs
        return situation

    async def _seed_scale(self, deployment: DeepSeekDeployment, decision: ReplicaDecision) -> None:
        """Hand what runs over to an external scaler, once; it cannot read an unset ``spec.replicas``."""
        spec = deployment.spec
        if spec.scaling.owner is ScalingOwner.EXTERNAL and spec.replicas is None and decision.replicas is not None:
            metadata = deployment.metadata
            await self._cluster.scale(KIND, metadata.namespace, metadata.name, decision.replicas)

    def _admitted(self, body: JsonObject, deployment: DeepSeekDeployment, plan: Plan, wanted: int | None) -> int | None:
        """Return the replicas to make; groups that nobody places as a whole are made only where the whole fits."""
        if wanted is None or not is_made_whole(deployment, plan, self._features(body)):
            return wanted
        room = room_for(deployment, plan, self._nodes.inventory(), wanted)
        uid, size = body["metadata"]["uid"], plan.nodes_per_replica
        return self._groups.admission.admitted(uid, plan.gpu, wanted, room.count, self._pods(body), size)

    def _look(self, body: JsonObject, situation: Situation) -> Situation:
        """Add what runs."""
        child = self._planned(body, situation)
        workload = Workload(generation=child.generation, status=child.status) if child else None
        return replace(situation, workload=workload, pods=self._pods(body))

    def _pods(self, body: JsonObject) -> tuple[PodState, ...]:
        """Return the pods of the object, those of a change on trial left out."""
        metadata = body["metadata"]
        pods = self._observed.pods(metadata["namespace"], metadata["name"])
        return tuple(pod for pod in pods if not pod.track)

    def _listen(self, body: JsonObject, situation: Situation) -> Situation:
        """Add what engines have reported; one that should be asked is asked beside this pass."""
        situation = replace(situation, feedback=feedback_of(body.get("status") or {}))
        if situation.deployment is None or situation.acceptance is None or situation.acceptance.accepted is None:
            return situation
        if situation.canary is not None:
            return situation  # what runs is not what the spec says
        variant = situation.variant
        pod = reporter(situation, variant)
        report = self._reports.report(body["metadata"]["uid"], pod) if pod else None
        if pod is None or report is None:
            return situation
        plan = situation.acceptance.accepted.plan
        told = with_report(situation.feedback, plan, report, variant=variant, pod=pod.name, image=pod.image)
        return replace(situation, feedback=told)

    def _fits(self, situation: Situation) -> FitsNow | None:
        """Return whether the replicas that no node has yet have room; None when there are none."""
        deployment, acceptance = situation.deployment, situation.acceptance
        if situation.decision is None or deployment is None or acceptance is None or acceptance.accepted is None:
            return None
        if placed_replicas(situation.pods, acceptance.accepted.plan.nodes_per_replica) >= (
            situation.track_replicas or 0
        ):
            return None
        return room_for(deployment, acceptance.accepted.plan, self._nodes.inventory(), situation.wanted_replicas)

    def _remember(self, uid: str, situation: Situation) -> None:
        waits = situation.canary is not None and situation.canary.reason is CanaryReason.WAITING_FOR_GPUS
        if waits or (situation.fits is not None and not situation.fits.fits):
            self._waiting.add(uid)
        else:
            self._waiting.discard(uid)
        accepted = situation.acceptance.accepted if situation.acceptance else None
        if accepted is not None:
            self._metrics.set_plan(uid, accepted.plan, situation.wanted_replicas)
            observed, deployment = situation.feedback.observed, situation.deployment
            if observed is not None and deployment is not None and observed.plan_hash == plan_hash(accepted.plan):
                where = (deployment.metadata.namespace, deployment.metadata.name)
                self._metrics.set_plan_error(uid, where, observed.difference_percent)

    async def _write_status(self, body: JsonObject, situation: Situation) -> None:
        metadata, old = body["metadata"], body.get("status") or {}
        status = next_status(old, situation, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        self._shown.show(metadata["uid"], shown((metadata["namespace"], metadata["name"]), status))
        if self._unhurried.puts_off(metadata["uid"], old, status) or status == old:
            return
        identity = {field: metadata[field] for field in ("name", "namespace", "uid")}
        stored = await self._cluster.apply(
            {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": identity, "status": status},
            subresource="status",
        )
        self._observed.put_written(body, stored)
        post_events(body, old.get("conditions") or (), status["conditions"])
        post_scaling_event(body, old, status)

    def _known_plan(self, body: JsonObject) -> AcceptedPlan | None:
        """Return the accepted plan; the status is believed first, because few may write it."""
        status = body.get("status") or {}
        if (plan := genuine_plan(status.get("plan") or {})) is not None:
            return AcceptedPlan(plan=plan, fingerprint=status.get("fingerprint", ""))
        record = self._plan_record(body)
        if record is not None and (kept := accepted_plan(record.data)) is not None and is_known(kept):
            return AcceptedPlan(plan=kept, fingerprint=record.data.get(FINGERPRINT_KEY, ""))
        return None

    def _plan_record(self, body: JsonObject) -> Child | None:
        name = object_name(body["metadata"]["name"], PLAN_SUFFIX)
        return self._observed.children(body["metadata"]["uid"]).get(("ConfigMap", name))

    def _planned(self, body: JsonObject, situation: Situation) -> Child | None:
        accepted = situation.acceptance.accepted if situation.acceptance else None
        children, name = self._observed.children(body["metadata"]["uid"]), body["metadata"]["name"]
        return planned_workload(children, name, accepted.plan if accepted else None)

    def _features(self, body: JsonObject) -> ClusterFeatures:
        return features_beside(self._workload(body), self._discovery.features)

    def _workload(self, body: JsonObject) -> Child | None:
        return find_workload(self._observed.children(body["metadata"]["uid"]), body["metadata"]["name"])
