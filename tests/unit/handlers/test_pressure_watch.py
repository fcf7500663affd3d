"""Steps down and up the ladder of formats, planned by the real planner, also over a restart of the operator."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry

from deepseek_operator.api import conditions
from deepseek_operator.api.conditions import Observation
from deepseek_operator.api.fingerprint import plan_hash, spec_fingerprint
from deepseek_operator.api.ladder import AS_ASKED, Formats, Position
from deepseek_operator.api.to_request import plan_request
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.handlers.acceptance import AcceptedPlan
from deepseek_operator.handlers.memory_pressure import PressureWatch
from deepseek_operator.handlers.planning import Planning
from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.metrics import Metrics
from deepseek_operator.planner.request import Supply
from deepseek_operator.scaling.readings import Readings
from deepseek_operator.scaling.signals import Signal
from model_factories import UID, make_deployment
from planner_values import A100, planned, pool, supply

SUPPLY = supply(pool(A100, 2))
BODY: dict[str, Any] = {"metadata": {"uid": UID}}
PRESSURE = {"kvCachePercent": 90, "forSeconds": 60, "action": "Quantize"}
SLA = {"ttftMilliseconds": 5000, "tpotMilliseconds": 100}
COOLDOWN, RELIEF = 300.0, 600.0


def pressed(usage: float = 0.98, waiting: float = 5) -> Readings:
    return Readings(
        kv_cache_used_fraction=Signal(value=usage), waiting=Signal(value=waiting), preemptions_per_second=Signal()
    )


def deployment(**spec: object) -> DeepSeekDeployment:
    given = {"precision": {"quality": "NearLossless"}, "memoryPressure": PRESSURE, "sla": SLA}
    return make_deployment(**(given | spec))


class Object:
    """One object under a watch: plans as its loop does, and looks as the round of scaling does."""

    def __init__(self, given: DeepSeekDeployment, available: Supply = SUPPLY) -> None:
        self.given, self.supply, self.woken, self.now = given, available, 0, 0.0
        self.known = AcceptedPlan(
            plan=planned(plan_request(given), available), fingerprint=spec_fingerprint(given, AS_ASKED)
        )
        self.restart()
        self.reconcile()

    def restart(self) -> None:
        planning = Planning(Metrics(CollectorRegistry()))
        self.watch = PressureWatch(planning, self.wake, cooldown_seconds=COOLDOWN, relief_seconds=RELIEF)

    def wake(self, uid: str) -> None:
        self.woken += 1

    def reconcile(self) -> None:
        position = Position(formats=self.watch.formats(UID, self.given, self.known, AS_ASKED))
        fingerprint = spec_fingerprint(self.given, position)
        if fingerprint != self.known.fingerprint:
            self.known = AcceptedPlan(
                plan=planned(plan_request(self.given, position), self.supply), fingerprint=fingerprint
            )
        asyncio.run(self.watch.learn(UID, self.given, self.known, self.supply, self.now))

    def lives(self, seconds: float, readings: Readings, blocked: str = "scaling.maxReplicas allows 1") -> list[Formats]:
        """Pass time with equal readings, and return the formats that ran one after the other."""
        ran = [Formats.of(self.known.plan)]
        end = self.now + seconds
        while self.now < end:
            self.now += 30
            woken = self.woken
            self.watch.look(
                UID, self.given.spec.memory_pressure, readings, blocked=blocked, rolling=False, now=self.now
            )
            if self.woken > woken:
                self.reconcile()
                ran += [Formats.of(self.known.plan)] if Formats.of(self.known.plan) != ran[-1] else []
        return ran


def words(formats: list[Formats]) -> list[tuple[str, KvCacheDtype]]:
    return [(each.quantization, each.kv_cache) for each in formats]


TOP = ("Native", KvCacheDtype.AUTO)
CACHE, WEIGHTS = ("Native", KvCacheDtype.FP8), ("FP8", KvCacheDtype.FP8)


def test_down_one_step_at_a_time_and_back_up_over_a_restart() -> None:
    one = Object(deployment())
    asked = plan_hash(one.known.plan)
    assert words(one.lives(COOLDOWN + 60, pressed())) == [TOP, CACHE]
    one.restart()
    one.reconcile()
    assert words(one.lives(COOLDOWN + 120, pressed())) == [CACHE, WEIGHTS]
    assert one.known.plan.gpus_per_replica == 4
    told = one.watch.told(BODY, one.given.spec.memory_pressure, measured=True)
    assert told is not None
    one.lives(COOLDOWN + 120, pressed())
    told = one.watch.told(BODY, one.given.spec.memory_pressure, measured=True)
    assert told is not None
    assert (told.type, told.holds, told.reason) == (conditions.MEMORY_PRESSURE, True, "NoFurtherFormat")
    one.restart()
    one.reconcile()
    assert words(one.lives(2 * RELIEF + 600, pressed(0.2, 0))) == [WEIGHTS, CACHE, TOP]
    assert plan_hash(one.known.plan) == asked


def test_no_step_up_that_the_milder_format_would_not_bear() -> None:
    one = Object(deployment())
    one.lives(COOLDOWN + 60, pressed())
    assert words(one.lives(4 * RELIEF, pressed(0.5, 0))) == [CACHE]


def test_an_alert_changes_no_plan() -> None:
    one = Object(deployment(memoryPressure=PRESSURE | {"action": "Alert"}))
    assert words(one.lives(4 * COOLDOWN, pressed())) == [TOP]
    assert one.watch.told(BODY, one.given.spec.memory_pressure, measured=True) == Observation(
        type=conditions.MEMORY_PRESSURE,
        holds=True,
        reason="KvCacheFull",
        message="the KV cache is 98% full and 5 requests wait for 60 s, and no replica can be added: "
        "scaling.maxReplicas allows 1",
    )


def test_a_replica_that_can_be_added_comes_first() -> None:
    assert words(Object(deployment()).lives(4 * COOLDOWN, pressed(), blocked="")) == [TOP]


def test_a_pinned_cache_stays_and_the_weights_are_next() -> None:
    pinned = {"precision": {"quality": "NearLossless", "kvCache": "BF16"}}
    ran = words(Object(deployment(**pinned)).lives(COOLDOWN + 60, pressed()))
    assert ran == [("Native", KvCacheDtype.BFLOAT16), ("FP8", KvCacheDtype.BFLOAT16)]


def test_another_spec_begins_at_the_top() -> None:
    one = Object(deployment())
    one.lives(COOLDOWN + 60, pressed())
    changed = deployment(sla={"ttftMilliseconds": 3000, "tpotMilliseconds": 60})
    assert one.watch.formats(UID, one.given, one.known, AS_ASKED) is not None
    assert one.watch.formats(UID, changed, one.known, AS_ASKED) is None


def test_a_window_with_another_model_begins_at_the_top() -> None:
    one = Object(deployment())
    one.lives(COOLDOWN + 60, pressed())
    assert one.watch.formats(UID, one.given, one.known, Position(model="deepseek-ai/deepseek-llm-7b-chat")) is None


def test_before_the_first_reading_the_condition_stays_as_written() -> None:
    written = {"type": "MemoryPressure", "status": "True", "reason": "KvCacheFull", "message": "the cache is full"}
    body = BODY | {"status": {"conditions": [written]}}
    watch = PressureWatch(Planning(Metrics(CollectorRegistry())), lambda _: None)
    given = deployment().spec.memory_pressure
    told = Observation(type="MemoryPressure", holds=True, reason="KvCacheFull", message="the cache is full")
    assert [watch.told(each, given, measured=True) for each in (body, BODY)] == [told, None]


def test_without_metrics_only_who_asked_is_told() -> None:
    watch = PressureWatch(Planning(Metrics(CollectorRegistry())), lambda _: None)
    told = watch.told(BODY, deployment().spec.memory_pressure, measured=False)
    assert told is not None
    assert (told.holds, told.reason) == (None, "NotMeasured")
    assert watch.told(BODY, make_deployment().spec.memory_pressure, measured=False) is None
