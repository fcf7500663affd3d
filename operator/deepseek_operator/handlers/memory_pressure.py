"""Memory pressure of all objects: the ladder of each, where it stands, and the step that is due.

Where an object stands is told by its accepted plan (`ladder.position_of`), so nothing else has to survive a restart.
The round of scaling looks; the object's own loop plans and rolls out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deepseek_operator.api import conditions
from deepseek_operator.api.conditions import Observation
from deepseek_operator.api.fingerprint import plan_hash, spec_fingerprint
from deepseek_operator.api.ladder import Formats, Position, position_of, stronger_formats
from deepseek_operator.api.spec_scaling import MemoryPressureSpec, PressureAction
from deepseek_operator.api.to_request import plan_request
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.handlers.acceptance import AcceptedPlan
from deepseek_operator.handlers.planning import Planning
from deepseek_operator.planner.request import Supply
from deepseek_operator.planner.result import Infeasible, Plan
from deepseek_operator.scaling.memory_pressure import (
    COOLDOWN_SECONDS,
    RELIEF_SECONDS,
    Direction,
    Pressure,
    PressureReason,
    PressureRule,
    PressureView,
    next_pressure,
    stepped,
)
from deepseek_operator.scaling.readings import Readings

JsonObject = Mapping[str, Any]

NOT_WATCHED = Observation(
    type=conditions.MEMORY_PRESSURE,
    holds=None,
    reason=PressureReason.UNKNOWN.value,
    message="the operator runs without --prometheus-url, so memoryPressure is not watched",
)


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """The neighbours of the plan that runs.

    Args:
        hash: of that plan; they say nothing of another.
        lower: the next stronger formats that make the cache larger; None at the end of the ladder.
        higher: the next milder formats; None for what the spec asks for.
        cache_ratio: tokens of the cache over those it would have in ``higher``; None for what the spec asks for.
    """

    hash: str = ""
    lower: Formats | None = None
    higher: Formats | None = None
    cache_ratio: float | None = None


@dataclass(slots=True)
class _Memory:
    state: Pressure
    rungs: Rungs = field(default_factory=Rungs)
    supply: Supply | None = None


class PressureWatch:
    """Looks at memory pressure.

    Args:
        planning: asks the planner about stronger formats.
        wake: wakes the loop of an object.
        cooldown_seconds: between two steps, and before the first.
        relief_seconds: how long milder formats must have sufficed before they are taken again.
    """

    def __init__(
        self,
        planning: Planning,
        wake: Callable[[str], None],
        *,
        cooldown_seconds: float = COOLDOWN_SECONDS,
        relief_seconds: float = RELIEF_SECONDS,
    ) -> None:
        self._planning = planning
        self._wake = wake
        self._cooldown_seconds = cooldown_seconds
        self._relief_seconds = relief_seconds
        self._memories: dict[str, _Memory] = {}

    def formats(
        self, uid: str, deployment: DeepSeekDeployment, known: AcceptedPlan | None, position: Position
    ) -> Formats | None:
        """Return the formats to ask the planner for; None for its own choice.

        Args:
            uid: of the object.
            deployment: the same, parsed.
            known: plan that runs.
            position: where the clock puts the object, formats aside.
        """
        if deployment.spec.memory_pressure.action is not PressureAction.QUANTIZE or known is None:
            return None
        kept = position_of(deployment.spec, known.plan)
        if kept.model != position.model or spec_fingerprint(deployment, kept) != known.fingerprint:
            return None  # another model or another spec: its own ladder begins at the top
        memory = self._memories.get(uid)
        if memory is None or memory.state.step is None or memory.rungs.hash != plan_hash(known.plan):
            return kept.formats
        if memory.state.step is Direction.DOWN:
            return memory.rungs.lower or kept.formats
        return memory.rungs.higher

    async def learn(
        self, uid: str, deployment: DeepSeekDeployment, accepted: AcceptedPlan | None, supply: Supply, now: float
    ) -> None:
        """Find the neighbours of the plan that runs, once per plan and supply.

        Args:
            uid: of the object.
            deployment: the same, parsed.
            accepted: what runs; None for nothing.
            supply: what the planner may use.
            now: seconds since 1970.
        """
        if accepted is None or deployment.spec.memory_pressure.action is not PressureAction.QUANTIZE:
            return
        memory, running = self._memories.setdefault(uid, _Memory(state=Pressure(began=now))), accepted.plan
        if memory.rungs.hash == plan_hash(running) and memory.supply == supply:
            return
        if memory.rungs.hash not in ("", plan_hash(running)):
            memory.state = stepped(memory.state, now)
        position = position_of(deployment.spec, running)
        ladder = await self._ladder(deployment, replace(position, formats=None), running, supply)
        memory.supply, memory.rungs = supply, _neighbours(ladder, position.formats, running)
        if memory.state.step is Direction.DOWN and memory.rungs.lower is None:
            self._wake(uid)  # the step that was due is gone

    async def _ladder(
        self, deployment: DeepSeekDeployment, position: Position, running: Plan, supply: Supply
    ) -> list[Plan]:
        """Return the plans of the ladder, mildest first: what the spec asks for, and what makes the cache larger."""
        asked = plan_request(deployment, position)
        top = running
        if position_of(deployment.spec, running).formats is not None:
            answer = await self._planning.answer(asked, supply)
            if isinstance(answer, Infeasible):
                return [running]
            top = answer
        here = Formats.of(running)
        found = [top]
        for step in stronger_formats(asked, top):
            formats = replace(here, kv_cache=step.kv_cache, quantization=step.quantization)
            answer = await self._planning.answer(plan_request(deployment, replace(position, formats=formats)), supply)
            if not isinstance(answer, Infeasible) and answer.kv_cache_tokens > found[-1].kv_cache_tokens:
                found.append(answer)
        return found

    def look(
        self, uid: str, spec: MemoryPressureSpec, readings: Readings, *, blocked: str, rolling: bool, now: float
    ) -> None:
        """Take in one reading, and wake the object's loop when there is something to tell or to do.

        Args:
            uid: of the object.
            spec: ``spec.memoryPressure``.
            readings: of its replicas.
            blocked: why no replica can be added; empty when one can.
            rolling: whether its replicas are being replaced or started.
            now: seconds since 1970.
        """
        memory = self._memories.setdefault(uid, _Memory(state=Pressure(began=now)))
        before, rungs = memory.state, memory.rungs
        rule = PressureRule(
            kv_cache_fraction=spec.kv_cache_percent / 100,
            for_seconds=spec.for_seconds,
            quantizes=spec.action is PressureAction.QUANTIZE,
            cooldown_seconds=self._cooldown_seconds,
            relief_seconds=self._relief_seconds,
        )
        view = PressureView(
            readings=readings,
            blocked=blocked,
            rolling=rolling,
            has_lower=rungs.lower is not None,
            cache_ratio=rungs.cache_ratio,
        )
        memory.state = next_pressure(before, view, rule, now)
        if (memory.state.reason, memory.state.step) != (before.reason, before.step):
            self._wake(uid)

    def told(self, body: JsonObject, spec: MemoryPressureSpec, *, measured: bool) -> Observation | None:
        """Return the MemoryPressure condition; None where its owner asked for nothing and nothing is wrong.

        Args:
            body: the object.
            spec: ``spec.memoryPressure``.
            measured: whether metrics are configured at all.
        """
        if not measured:
            return None if spec == MemoryPressureSpec() else NOT_WATCHED
        memory = self._memories.get(body["metadata"]["uid"])
        if memory is None or not memory.state.seen:
            return _restored(body.get("status") or {})
        state = memory.state
        if spec == MemoryPressureSpec() and state.reason in (PressureReason.NONE, PressureReason.UNKNOWN):
            return None
        message = state.message or "the KV cache has room, or a replica can be added"
        return Observation(
            type=conditions.MEMORY_PRESSURE, holds=state.holds, reason=state.reason.value, message=message
        )

    def forget(self, uid: str) -> None:
        """Drop what is remembered of an object that is gone."""
        self._memories.pop(uid, None)


def _neighbours(ladder: list[Plan], formats: Formats | None, running: Plan) -> Rungs:
    """Return the neighbours of the plan that runs; one that is no part of the ladder any more goes back to its top."""
    names = [(each.quantization, each.kv_cache_dtype) for each in ladder]
    here = (running.quantization, running.kv_cache_dtype)
    at = names.index(here) if formats is not None and here in names else 0
    lower = Formats.of(ladder[at + 1]) if at + 1 < len(ladder) else None
    if formats is None:
        return Rungs(hash=plan_hash(running), lower=lower)
    above = ladder[at - 1] if at else ladder[0]
    return Rungs(
        hash=plan_hash(running),
        lower=lower if at else None,
        higher=Formats.of(above) if at > 1 else None,
        cache_ratio=running.kv_cache_tokens / max(1, above.kv_cache_tokens),
    )


def _restored(status: JsonObject) -> Observation | None:
    """Return the condition as last written, until the first reading after a start."""
    for each in status.get("conditions") or ():
        if each.get("type") == conditions.MEMORY_PRESSURE:
            holds = {"True": True, "False": False}.get(str(each.get("status")))
            return Observation(
                type=conditions.MEMORY_PRESSURE, holds=holds, reason=str(each["reason"]), message=str(each["message"])
            )
    return None
