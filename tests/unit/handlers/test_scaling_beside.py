"""Zero and memory pressure in the rounds of scaling: what is decided, remembered and told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from deepseek_operator.handlers.acceptance import Acceptance, AcceptedPlan
from deepseek_operator.handlers.memory_pressure import PressureWatch
from deepseek_operator.handlers.planning import Planning
from deepseek_operator.handlers.replica_choice import choose_replicas
from deepseek_operator.handlers.scaling_beside import why_no_more
from deepseek_operator.handlers.scaling_loop import ScalingLoop
from deepseek_operator.handlers.scaling_metrics import ScalingMetrics
from deepseek_operator.metrics import Metrics
from deepseek_operator.scaling.decide import Limit
from deepseek_operator.scaling.readings import MeasuredObject, Readings
from deepseek_operator.scaling.schedules import Limits
from deepseek_operator.scaling.signals import Signal
from model_factories import make_deployment, make_plan
from scaled_cluster import OPTIONS, START, ScaledCluster

ZERO = {"minReplicas": 0, "maxReplicas": 8, "scaleToZeroAfterSeconds": 300}
QUIET = Readings(
    **{
        name: Signal()
        for name in (
            *("tokens_per_second", "seconds_per_token", "starts_per_second", "arrivals_per_second"),
            *("running", "waiting", "cached_tokens"),
        )
    }
)


class Told:
    """A source that tells what a test says."""

    def __init__(self, readings: Readings) -> None:
        self.readings = readings

    async def read(self, objects: Sequence[MeasuredObject], now: float) -> Mapping[str, Readings]:
        return {each.uid: self.readings for each in objects}


class Driven:
    """Rounds over one object, whose status is written after each as its loop would."""

    def __init__(self, readings: Readings, *, replicas: int = 1, **spec: object) -> None:
        self.source, self.spec, self.replicas, self.now = Told(readings), spec, replicas, START
        self.cluster, self.status = ScaledCluster(), dict[str, Any]()
        self.start()
        self.shown(replicas)

    def start(self) -> None:
        planning = Planning(Metrics(CollectorRegistry()))
        self.pressure = PressureWatch(planning, lambda _: None)
        self.loop = ScalingLoop(
            self.cluster.observed,
            self.cluster.nodes,
            self.source,
            lambda _: None,
            ScalingMetrics(CollectorRegistry()),
            OPTIONS,
            lambda: self.now,
            pressure=self.pressure,
        )

    def shown(self, ready: int) -> None:
        self.uid = self.cluster.run(replicas=self.replicas, status=self.status, **self.spec)
        self.cluster.pods("r1", ready)

    def rounds(self, seconds: float) -> int:
        """Pass time; returns the replicas that are wanted then."""
        for _ in range(int(seconds / OPTIONS.interval_seconds)):
            self.now += OPTIONS.interval_seconds
            asyncio.run(self.loop.round(self.now))
        body = self.cluster.observed.deployments[self.uid]
        decided = self.loop.decided(body, body["status"]["fingerprint"])
        outcome = self.loop.outcome(body)
        assert outcome is not None
        if decided is not None:
            self.replicas = decided
            scaling = {"desiredReplicas": decided, "decisions": [dict(each) for each in outcome.decisions]}
            self.status = {"scaling": scaling}
            self.cluster.run(replicas=decided, status=self.status, **self.spec)
        return self.replicas

    def told(self) -> tuple[str, str]:
        outcome = self.loop.outcome(self.cluster.observed.deployments[self.uid])
        assert outcome is not None
        assert outcome.told is not None
        return outcome.told.reason, outcome.told.message


@pytest.mark.parametrize("sla", [{"ttftMilliseconds": 2000, "tpotMilliseconds": 60}, None], ids=["sla", "no sla"])
def test_to_zero_over_a_restart_and_back_when_the_gateway_tells(sla: object) -> None:
    spec = {"scaling": ZERO, **({"sla": sla} if sla else {})}
    driven = Driven(QUIET, **spec)
    assert [driven.rounds(300), driven.rounds(60)] == [1, 0]
    assert driven.told() == (
        "ScaledToZero",
        "1 to 0 replicas: no request for 300 s (scaleToZeroAfterSeconds: 300)",
    )
    driven.source.readings = Readings()
    driven.cluster.observed.drop_pod("chat", "r1-0")
    assert driven.rounds(3000) == 0
    driven.start()
    assert driven.rounds(3000) == 0
    driven.source.readings = Readings(queued_at_gateway=Signal(value=2))
    assert driven.rounds(30) == 1
    assert driven.told() == ("ScaledFromZero", "0 to 1 replica: 2 requests wait at the gateway")


def test_requests_keep_the_last_replica() -> None:
    driven = Driven(Readings(**{**vars(QUIET), "running": Signal(value=1)}), scaling=ZERO)
    assert driven.rounds(3000) == 1


def test_metrics_that_are_missing_keep_the_last_replica() -> None:
    driven = Driven(Readings(), scaling=ZERO)
    assert driven.rounds(3000) == 1


def test_several_replicas_go_to_zero_only_when_idle_for_long_enough() -> None:
    driven = Driven(QUIET, replicas=3, scaling=ZERO | {"scaleToZeroAfterSeconds": 7200})
    assert driven.rounds(7000) == 1
    assert driven.rounds(300) == 0


@pytest.mark.parametrize(
    ("limits", "status", "replicas"),
    [
        pytest.param(Limits(least=0, most=2), {"desiredReplicas": 0, "decisions": [{}]}, 0, id="asleep"),
        pytest.param(Limits(least=1, most=2), {"desiredReplicas": 0, "decisions": [{}]}, 1, id="a window does"),
        pytest.param(Limits(least=0, most=2), {"desiredReplicas": 0}, 1, id="one that never ran starts"),
        pytest.param(Limits(least=0, most=2), {}, 1, id="a new one starts"),
    ],
)
def test_what_sleeps_stays_asleep(limits: Limits, status: dict[str, Any], replicas: int) -> None:
    plan = make_plan()
    accepted = AcceptedPlan(plan=plan, fingerprint="new")
    decision = choose_replicas(
        {"status": {"scaling": status}},
        make_deployment(scaling=ZERO),
        Acceptance(accepted=accepted, current=True),
        AcceptedPlan(plan=plan, fingerprint="old"),
        limits,
        running=0,
        decided=None,
    )
    assert decision.replicas == replicas


def test_a_full_cache_is_told_where_no_replica_can_be_added() -> None:
    full = Readings(
        **{
            **vars(QUIET),
            "kv_cache_used_fraction": Signal(value=0.97),
            "waiting": Signal(value=4),
            "running": Signal(value=20),
        }
    )
    driven = Driven(full, scaling={"maxReplicas": 1})
    driven.rounds(240)
    body = driven.cluster.observed.deployments[driven.uid]
    told = driven.pressure.told(body, make_deployment().spec.memory_pressure, measured=True)
    assert told is not None
    assert (told.holds, told.reason, told.message) == (
        True,
        "KvCacheFull",
        "the KV cache is 97% full and 4 requests wait for 120 s, and no replica can be added: "
        "scaling.maxReplicas allows 1",
    )


def test_why_no_replica_can_be_added() -> None:
    driven = Driven(QUIET, scaling={"maxReplicas": 2})
    driven.rounds(30)
    scaled = driven.loop._memories[driven.uid].scaled
    room = Limit(replicas=1, name="the room on free GPUs")
    assert [
        why_no_more(scaled, (), current=2, waiting=1),
        why_no_more(scaled, (), current=2, waiting=0),
        why_no_more(scaled, (room,), current=1, waiting=0),
        why_no_more(scaled, (), current=1, waiting=0),
    ] == [
        "1 of 2 replicas wait for GPUs",
        "scaling.maxReplicas allows 2",
        "the room on free GPUs allows 1",
        "",
    ]
