"""One round every half minute: what all engines measure is asked for once, and every object is decided on.

The round decides and remembers; the objects' own loops write. An object's loop is woken only when its number of
replicas, or what a person is told, has changed. One object that cannot be decided on never stops another.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.handlers.memory_pressure import PressureWatch
from deepseek_operator.handlers.observed import Observed
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.scaling_beside import Beside
from deepseek_operator.handlers.scaling_facts import Key, RememberedScalingFacts, ScalingFacts
from deepseek_operator.handlers.scaling_metrics import ScalingMetrics
from deepseek_operator.handlers.scaling_options import ScalingOptions
from deepseek_operator.handlers.scaling_outcome import ScalingOutcome, decided_by_load, restored, with_decision
from deepseek_operator.handlers.scaling_room import Rooms, Wanting, room_limits
from deepseek_operator.handlers.scaling_view import (
    measured_object,
    snapshot,
    start_seconds,
    waiting_since,
    without_gpus,
)
from deepseek_operator.handlers.workloads import find_workload
from deepseek_operator.scaling.attainment import Attainment, attained
from deepseek_operator.scaling.decide import Decision, Limit, ScalingPolicy, decide
from deepseek_operator.scaling.history import History
from deepseek_operator.scaling.limits import quota_limit
from deepseek_operator.scaling.readings import MeasuredObject, ProblemReason, Readings, SignalProblem
from deepseek_operator.scaling.signals import Snapshot
from deepseek_operator.scaling.told import Told, next_told

log = logging.getLogger(__name__)

JsonObject = Mapping[str, Any]
Item = TypeVar("Item")

AT_A_TIME = 16
"""Objects that are worked on before others of the event loop have their turn: some 20 ms."""

UNREAD = SignalProblem(reason=ProblemReason.UNREACHABLE, message="the metrics could not be read")


class SignalSource(Protocol):
    """Reads what engines measure."""

    async def read(self, objects: Sequence[MeasuredObject], now: float) -> Mapping[str, Readings]:
        """Return the readings of every object by its UID; see ``signal_reader.SignalReader``."""
        ...


@dataclass(slots=True)
class _Memory:
    """What is remembered of one object between two rounds."""

    scaled: ScalingFacts
    replicas: int
    outcome: ScalingOutcome
    history: History = field(default_factory=History)
    waiting_since: float | None = None
    starts: set[str] = field(default_factory=set)
    running_by_pod: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class _View:
    """One object in one round."""

    body: JsonObject
    memory: _Memory
    pods: tuple[PodState, ...]
    measured: MeasuredObject


class ScalingLoop:
    """Decides the replicas of all objects, round by round.

    Args:
        observed: what the watches show of our objects.
        nodes: what they show of nodes and GPU pods.
        source: reads what engines measure; None when no metrics are configured, then nothing is ever decided.
        wake: wakes the loop of an object.
        metrics: where to count.
        options: what the administrator has set.
        clock: seconds since 1970.
        pressure: looks at memory pressure; None where nobody asks.
    """

    def __init__(
        self,
        observed: Observed,
        nodes: ClusterState,
        source: SignalSource | None,
        wake: Callable[[str], None],
        metrics: ScalingMetrics,
        options: ScalingOptions,
        clock: Callable[[], float] = time.time,
        pressure: PressureWatch | None = None,
    ) -> None:
        self._observed = observed
        self._nodes = nodes
        self._source = source
        self._wake = wake
        self._metrics = metrics
        self._options = options
        self._clock = clock
        self._beside = Beside(pressure)
        self._objects, self._rooms = RememberedScalingFacts(), Rooms()
        self._memories: dict[str, _Memory] = {}
        self._newest = 0.0

    @property
    def measures(self) -> bool:
        """Whether metrics are configured."""
        return self._source is not None

    def outcome(self, body: JsonObject) -> ScalingOutcome | None:
        """Return what the scaling of an object tells; None when no metrics are configured."""
        if self._source is None:
            return None
        memory = self._memories.get(body["metadata"]["uid"])
        return memory.outcome if memory else restored(body.get("status") or {}, self._now())

    def decided(self, body: JsonObject, fingerprint: str) -> int | None:
        """Return the replicas that were decided by what was measured; None where nothing was.

        After a restart, without metrics, or when another owner decided until now, that is the number that the status
        holds: what runs stays.

        Args:
            body: the object.
            fingerprint: of the spec that the plan to run answers; a number for another spec counts no more.
        """
        status = body.get("status") or {}
        scaling = status.get("scaling") or {}
        if status.get("fingerprint") != fingerprint or not isinstance(scaling.get("desiredReplicas"), int):
            return None
        memory, key = self._memories.get(body["metadata"]["uid"]), Key.of(body)
        if memory is not None and not memory.scaled.external and _runs_the_same(memory.scaled.key, key):
            return memory.replicas if memory.outcome.decisions else None
        return int(scaling["desiredReplicas"]) if scaling.get("decisions") else None

    def running_by_pod(self, uid: str) -> Mapping[str, float]:
        """Return the requests in the batch of each pod that was measured in the last round."""
        memory = self._memories.get(uid)
        return memory.running_by_pod if memory else {}

    def forget(self, uid: str) -> None:
        """Drop what is remembered of an object that is gone."""
        self._beside.forget(uid)
        memory = self._memories.pop(uid, None)
        if memory is not None:
            self._metrics.drop((memory.scaled.namespace, memory.scaled.name))

    async def run(self) -> None:
        """Decide for ever."""
        while True:
            await asyncio.sleep(self._options.interval_seconds)
            try:
                await self.round(self._now())
            except Exception:
                log.exception("a round of scaling failed; what runs stays until the next")

    async def round(self, now: float) -> None:
        """Decide on every object whose workload runs.

        Args:
            now: seconds since 1970, never before that of the round before.
        """
        if self._source is None:
            return
        with self._metrics.round_seconds.time():
            views = await self._views(now)
            try:
                readings = await self._source.read([view.measured for view in views], now)
            except Exception:
                log.exception("metrics could not be read; what runs stays")
                readings = {}
            unread = Readings(problem=UNREAD)
            found = {view.measured.uid: readings.get(view.measured.uid, unread) for view in views}
            await self._decide(views, found, now)

    def _now(self) -> float:
        """Return the time; a clock that was set back stands still."""
        self._newest = max(self._newest, self._clock())
        return self._newest

    async def _views(self, now: float) -> list[_View]:
        views: list[_View] = []
        async for uid in _in_turns(list(self._observed.deployments)):
            try:
                view = self._view(uid, now)
            except Exception:
                log.exception("%s: its scaling cannot be looked at", uid)
                continue
            if view is not None:
                views.append(view)
        return views

    def _view(self, uid: str, now: float) -> _View | None:
        """Return an object for this round; None when no plan of its present spec runs."""
        body = self._observed.deployments.get(uid)
        if body is None or body["metadata"].get("deletionTimestamp"):
            return None
        metadata, key = body["metadata"], Key.of(body)
        if not key.plan_hash or find_workload(self._observed.children(uid), metadata["name"]) is None:
            return None
        memory = self._memories.get(uid)
        if memory is None or memory.scaled.key != key or now >= (memory.scaled.until or math.inf):
            memory = self._remember(uid, body, key, memory, now)
            if memory is None:
                return None
        pods = tuple(self._observed.pods(metadata["namespace"], metadata["name"]))
        return _View(body=body, memory=memory, pods=pods, measured=measured_object(memory.scaled, pods))

    def _remember(self, uid: str, body: JsonObject, key: Key, old: _Memory | None, now: float) -> _Memory | None:
        """Return what is remembered of an object that is new, or whose spec or plan has changed."""
        scaled = self._objects.of(body, key, datetime.fromtimestamp(now, UTC))
        if scaled is None:
            return None
        status = body.get("status") or {}
        replicas = int((status.get("scaling") or {}).get("desiredReplicas") or 0)
        memory = _Memory(scaled=scaled, replicas=replicas, outcome=old.outcome if old else restored(status, now))
        if old is not None:
            memory.starts, memory.history = old.starts, old.history
            if not _runs_the_same(old.scaled.key, key):
                memory.history = replace(old.history, needs=(), step_factor=1.0, gave_up_at=None, restored=None)
        elif not scaled.external:
            memory.history = History(restored=decided_by_load(status, now))
        self._memories[uid] = memory
        return memory

    async def _decide(self, views: Sequence[_View], readings: Mapping[str, Readings], now: float) -> None:
        """Decide on all objects: first as if each were alone, then within the GPUs that are free."""
        alone: dict[str, tuple[Snapshot, Decision | None]] = {}
        async for view in _in_turns(views):
            uid = view.measured.uid
            try:
                seen = self._snapshot(view, readings[uid], now)
                alone[uid] = (seen, self._decision(view, seen, (), now))
            except Exception:
                log.exception("%s: no decision about its replicas", uid)
        limits = {} if self._options.node_autoscaling else self._room(views, alone)
        async for view in _in_turns([view for view in views if view.measured.uid in alone]):
            uid = view.measured.uid
            seen, decision = alone[uid]
            try:
                if uid in limits:
                    decision = self._decision(view, seen, (limits[uid],), now)
                more = (limits[uid],) if uid in limits else ()
                self._look(view, seen, readings[uid], more, now)
                self._take(view, decision, readings[uid], now)
            except Exception:
                log.exception("%s: its decision could not be taken", uid)

    def _room(
        self, views: Sequence[_View], alone: Mapping[str, tuple[Snapshot, Decision | None]]
    ) -> Mapping[str, Limit]:
        decided = ((view, alone.get(view.measured.uid)) for view in views)
        wanting = [_wanting(view, *found) for view, found in decided if found]
        return room_limits(wanting, self._nodes.inventory(), self._rooms)

    def _snapshot(self, view: _View, readings: Readings, now: float) -> Snapshot:
        memory, scaled = view.memory, view.memory.scaled
        starts = start_seconds(view.pods, scaled.pods_per_replica, with_nodes=self._options.node_autoscaling)
        for replica in sorted(starts.keys() - memory.starts):
            memory.history = memory.history.with_start(starts[replica])
        memory.starts = set(starts)
        waiting = without_gpus(memory.replicas, view.pods, scaled.pods_per_replica)
        memory.waiting_since = waiting_since(memory.waiting_since, waiting, view.pods, now)
        return snapshot(
            readings,
            current=memory.replicas,
            ready=len(view.measured.pods),
            waiting_for_gpus=waiting,
            waiting_seconds=0.0 if memory.waiting_since is None else max(0.0, now - memory.waiting_since),
        )

    def _decision(self, view: _View, seen: Snapshot, limits: tuple[Limit, ...], now: float) -> Decision | None:
        """Return the decision on one object; None when nothing is decided for it."""
        memory, scaled = view.memory, view.memory.scaled
        if scaled.external or scaled.capacity is None or memory.replicas == 0:
            return None  # at zero nothing is measured: `Beside.with_zero` decides
        policy = ScalingPolicy(
            least=max(1, scaled.least),
            limits=(*scaled.limits, *self._quota(view, seen), *limits),
            output_tokens=float(scaled.output_tokens),
            hold_seconds=self._options.hold_seconds,
        )
        return decide(seen, scaled.capacity, policy, memory.history, now, memory.replicas)

    def _quota(self, view: _View, seen: Snapshot) -> tuple[Limit, ...]:
        """Return the limit of the namespace's quotas; replicas whose pods exist count in them already."""
        scaled, current = view.memory.scaled, view.memory.replicas
        room = self._nodes.quotas.room(scaled.namespace, scaled.quota_need)
        existing = max(current - seen.waiting_for_gpus, len(view.pods) // scaled.pods_per_replica)
        return () if room is None else (quota_limit(room, existing, current),)

    def _look(self, view: _View, seen: Snapshot, readings: Readings, limits: tuple[Limit, ...], now: float) -> None:
        current, waiting = view.memory.replicas, seen.waiting_for_gpus
        self._beside.look(view.memory.scaled, view.pods, readings, limits, current=current, waiting=waiting, now=now)

    def _take(self, view: _View, decision: Decision | None, readings: Readings, now: float) -> None:
        """Remember what was decided and read, and wake the object's loop when a person should hear of it."""
        memory, scaled = view.memory, view.memory.scaled
        memory.running_by_pod = readings.running_by_pod
        before, current, where = memory.outcome, memory.replicas, (scaled.namespace, scaled.name)
        ready = len(view.measured.pods)
        decision = self._beside.with_zero(
            scaled, decision, readings, current=current, ready=ready, history=memory.history, now=now
        )
        told, decisions = before.told if current == 0 else _told(before, scaled, now), before.decisions
        if decision is not None:
            told = next_told(
                before.told,
                decision,
                readings.problem,
                current=current,
                now=now,
                round_seconds=self._options.interval_seconds,
            )
            decisions = with_decision(decisions, decision, current, now)
            memory.replicas, memory.history = decision.replicas, decision.history
            if decision.replicas != current:
                self._metrics.decisions.labels(reason=decision.reason.value).inc()
        level = before.attained or Attainment()
        if scaled.sla is not None:
            level = attained(level, readings, scaled.sla, now)
        memory.outcome = ScalingOutcome(told=told, attained=level, decisions=decisions)
        self._metrics.show(where, desired=memory.replicas, ready=ready, attained=level)
        self._metrics.show_problem(where, readings.problem)
        if not memory.outcome.says_as(before):
            self._wake(scaled.uid)


def _told(before: ScalingOutcome, scaled: ScalingFacts, now: float) -> Told | None:
    """Return what is told of an object that nothing is decided for."""
    if scaled.why_not is None or scaled.external:
        return before.told
    return Told(active=False, reason=scaled.why_not[0], message=scaled.why_not[1], seen=now)


def _wanting(view: _View, seen: Snapshot, decision: Decision | None) -> Wanting:
    """Return what an object wants; one that nothing is decided for holds and awaits what it was given."""
    return Wanting(
        scaled=view.memory.scaled,
        body=view.body,
        wanted=decision.replicas if decision else view.memory.replicas,
        current=view.memory.replicas,
        running=max(0, view.memory.replicas - seen.waiting_for_gpus),
    )


async def _in_turns(items: Sequence[Item]) -> AsyncIterator[Item]:
    """Yield items, and let others of the event loop have their turn between some of them."""
    for number, item in enumerate(items):
        if number % AT_A_TIME == 0:
            await asyncio.sleep(0)
        yield item


def _runs_the_same(key: Key, other: Key) -> bool:
    """Whether both are of one plan for one question, so that a number of replicas means the same."""
    return (key.plan_hash, key.fingerprint) == (other.plan_hash, other.fingerprint)
