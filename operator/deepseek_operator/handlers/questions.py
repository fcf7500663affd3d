"""What each object asks at this moment: its parsed spec, where on its ladder it runs, and until when."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from deepseek_operator.api.fingerprint import engine_variant, spec_fingerprint
from deepseek_operator.api.ladder import Position
from deepseek_operator.api.parse import parse
from deepseek_operator.api.to_request import plan_request
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.handlers.acceptance import AcceptedPlan
from deepseek_operator.handlers.memory_pressure import PressureWatch
from deepseek_operator.planner.request import PlanRequest
from deepseek_operator.scaling.schedules import Limits, limits_at

JsonObject = Mapping[str, Any]
Key = TypeVar("Key")
Value = TypeVar("Value")

REMEMBERED_QUESTIONS = 1024
"""Parsed specs kept, some 20 kB each: as many as roll out at about the same time."""


@dataclass(frozen=True, slots=True)
class Question:
    """A parsed spec and what it asks the planner.

    Args:
        fingerprint: of the part of the spec that the planner's answer depends on, at its position on the ladder.
        variant: of what may change the engine's memory beside the plan.
        limits: of replicas, by spec and open windows.
        position: where on its ladder the object asks.
    """

    deployment: DeepSeekDeployment
    request: PlanRequest
    fingerprint: str
    variant: str
    limits: Limits
    position: Position


class Questions:
    """Remembers what objects ask, because a rollout looks at one spec several times in a row.

    Args:
        wake: called with the UID of an object when a window of it opens or closes.
        pressure: knows the formats that are taken under memory pressure.
    """

    def __init__(self, wake: Callable[[str], None], pressure: PressureWatch) -> None:
        self._pressure = pressure
        self._wake = wake
        self._specs: OrderedDict[tuple[str, int], tuple[DeepSeekDeployment, str]] = OrderedDict()
        self._asked: OrderedDict[tuple[str, int, Position], tuple[PlanRequest, str]] = OrderedDict()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def ask(self, body: JsonObject, known: AcceptedPlan | None, now: datetime) -> Question:
        """Return what an object asks, and have it woken when its windows next open or close.

        Args:
            body: the object.
            known: plan that runs.
            now: an aware time.

        Raises:
            InvalidSpecError: the spec cannot be obeyed.
        """
        uid, generation = body["metadata"]["uid"], body["metadata"].get("generation") or 0
        self.forget(uid)
        spec = self._specs.get((uid, generation))
        if spec is None:
            deployment = parse(body)
            plan_request(deployment)  # refuses what no window may ask
            spec = _kept(self._specs, (uid, generation), (deployment, engine_variant(deployment)))
        deployment, variant = spec
        limits = limits_at(deployment.spec, now)
        if limits.until is not None:
            seconds = max(0.0, (limits.until - now).total_seconds())
            self._timers[uid] = asyncio.get_running_loop().call_later(seconds, self._wake, uid)
        position = Position(model=limits.model, window=limits.window)
        position = replace(position, formats=self._pressure.formats(uid, deployment, known, position))
        asked = self._asked.get((uid, generation, position))
        if asked is None:
            made = plan_request(deployment, position), spec_fingerprint(deployment, position)
            asked = _kept(self._asked, (uid, generation, position), made)
        return Question(deployment, *asked, variant, limits, position)

    def forget(self, uid: str) -> None:
        """Drop the timer of an object."""
        if (timer := self._timers.pop(uid, None)) is not None:
            timer.cancel()

    def close(self) -> None:
        """End all timers."""
        for uid in list(self._timers):
            self.forget(uid)


def _kept(memory: OrderedDict[Key, Value], key: Key, value: Value) -> Value:
    memory[key] = value
    if len(memory) > REMEMBERED_QUESTIONS:
        memory.popitem(last=False)
    return value
