"""The rounds of scaling over what the watches show: what is decided, told and remembered, and who is woken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from deepseek_operator.handlers.scaling_loop import ScalingLoop
from deepseek_operator.handlers.scaling_metrics import ScalingMetrics
from deepseek_operator.handlers.scaling_options import ScalingOptions
from model_factories import make_plan
from scaled_cluster import OPTIONS, START, UNREACHABLE, Engines, ScaledCluster

INTERVAL = OPTIONS.interval_seconds


class Driven:
    """A loop whose rounds a test drives."""

    def __init__(self, cluster: ScaledCluster, engines: Engines | None, options: ScalingOptions = OPTIONS) -> None:
        self.cluster, self.woken, self.registry = cluster, list[str](), CollectorRegistry()
        self.now = START
        self.loop = ScalingLoop(
            cluster.observed,
            cluster.nodes,
            engines,
            self.woken.append,
            ScalingMetrics(self.registry),
            options,
            lambda: self.now,
        )

    def rounds(self, count: int = 1) -> list[str]:
        """Drive so many rounds; returns who was woken."""
        self.woken.clear()
        for _ in range(count):
            self.now += INTERVAL
            asyncio.run(self.loop.round(self.now))
        return list(self.woken)

    def body(self, uid: str) -> Mapping[str, Any]:
        return self.cluster.observed.deployments[uid]

    def told(self, uid: str) -> tuple[bool | None, str]:
        outcome = self.loop.outcome(self.body(uid))
        assert outcome is not None
        return (outcome.told.active, outcome.told.reason) if outcome.told else (None, "")

    def changes(self, uid: str) -> list[tuple[int, int, str]]:
        outcome = self.loop.outcome(self.body(uid))
        assert outcome is not None
        return [(each["fromReplicas"], each["toReplicas"], each["reason"]) for each in outcome.decisions]

    def decided(self, uid: str) -> int | None:
        body = self.body(uid)
        return self.loop.decided(body, body["status"]["fingerprint"])

    def metric(self, metric: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"deepseek_operator_{metric}", labels)


def running(tokens_per_second: float, replicas: int = 1, nodes: int = 4, **spec: object) -> tuple[Driven, str, Engines]:
    cluster, engines = ScaledCluster(nodes), Engines({"r1": tokens_per_second})
    uid = cluster.run(replicas=replicas, **spec)
    cluster.pods("r1", replicas)
    return Driven(cluster, engines), uid, engines


def test_a_load_that_rises_and_falls_moves_replicas_up_at_once_and_down_once():
    driven, uid, engines = running(300.0)
    assert driven.rounds(4) == [uid]
    assert (driven.told(uid), driven.decided(uid)) == ((True, "Steady"), None)
    engines.tokens_per_second["r1"] = 3000.0
    assert driven.rounds() == [uid]
    assert driven.changes(uid) == [(1, 3, "DemandRises")]
    driven.cluster.pods("r1", 3)
    engines.tokens_per_second["r1"] = 100.0
    driven.rounds(60)
    assert driven.changes(uid) == [(3, 1, "DemandFell"), (1, 3, "DemandRises")]
    assert driven.decided(uid) == 1
    assert driven.metric("scaling_decisions_total", reason="DemandFell") == 1.0


def test_a_steady_load_wakes_nobody_again():
    driven, uid, _ = running(300.0)
    assert driven.rounds(40) == [uid]


def test_without_metrics_nothing_is_ever_decided():
    cluster = ScaledCluster()
    uid = cluster.run()
    driven = Driven(cluster, None)
    assert driven.rounds(3) == []
    assert (driven.loop.outcome(driven.body(uid)), driven.decided(uid)) == (None, None)


def test_lost_metrics_move_nothing_are_told_once_and_recover_by_themselves():
    driven, uid, engines = running(300.0)
    driven.rounds(3)
    engines.tokens_per_second["r1"], engines.problem = 3000.0, UNREACHABLE
    assert driven.rounds() == [uid]
    assert (driven.told(uid), driven.changes(uid)) == ((False, "MetricsUnreachable"), [])
    assert driven.metric("scaling_signal_problems", reason="MetricsUnreachable") == 1.0
    assert set(driven.rounds(60)) == {uid}  # the service level is not known any more
    assert driven.changes(uid) == []
    engines.problem = None
    driven.rounds(3)
    assert driven.told(uid)[0]
    assert driven.metric("scaling_signal_problems", reason="MetricsUnreachable") == 0.0


def test_a_long_time_without_metrics_does_not_count_as_a_time_of_less_load():
    driven, uid, engines = running(1500.0, replicas=3)
    driven.rounds(3)
    engines.problem = UNREACHABLE
    driven.rounds(100)
    engines.problem, engines.tokens_per_second["r1"] = None, 10.0
    driven.rounds(int(OPTIONS.hold_seconds / INTERVAL) - 2)
    assert driven.changes(uid) == []
    driven.rounds(4)
    assert driven.changes(uid) == [(3, 1, "DemandFell")]


def test_free_gpus_bound_what_is_asked_for_and_higher_priorities_come_first():
    cluster = ScaledCluster(nodes=3)
    engines = Engines({"low": 3000.0, "high": 3000.0})
    low, high = cluster.run("low", priority="Batch"), cluster.run("high", priority="Standard")
    cluster.pod("low", 0, node="a100-0")
    cluster.pod("high", 0, node="a100-0")
    driven = Driven(cluster, engines)
    driven.rounds()
    assert driven.changes(high) == [(1, 3, "DemandRises")]
    assert driven.changes(low) == [(1, 3, "DemandRises")]
    cluster.nodes.remove_node("a100-2")
    driven = Driven(cluster, engines)
    driven.rounds()
    assert driven.changes(high) == [(1, 3, "DemandRises")]
    assert driven.changes(low) == []
    outcome = driven.loop.outcome(driven.body(low))
    assert outcome is not None
    assert outcome.told is not None
    assert (outcome.told.reason, "higher priorities 8" in outcome.told.message) == ("Limited", True)


def test_with_node_autoscaling_more_is_asked_for_than_is_free():
    cluster, engines = ScaledCluster(nodes=1), Engines({"r1": 3000.0})
    uid = cluster.run()
    cluster.pods("r1", 1)
    driven = Driven(cluster, engines, replace(OPTIONS, node_autoscaling=True))
    driven.rounds()
    assert driven.changes(uid) == [(1, 3, "DemandRises")]


def test_replicas_whose_gpus_never_come_are_given_up_for_a_while():
    driven, uid, engines = running(300.0)
    driven.rounds()
    engines.tokens_per_second["r1"] = 3000.0
    driven.rounds()
    for number in (1, 2):
        driven.cluster.pod("r1", number, created=driven.now)
    driven.rounds(10)
    assert driven.changes(uid) == [(3, 1, "GpusNeverCame"), (1, 3, "DemandRises")]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"scaling": {"maxReplicas": 2}}, "scaling.maxReplicas allows 2"),
        ({"hardware": {"maxGpusTotal": 8}}, "hardware.maxGpusTotal 8 allows 2"),
        ({"hardware": {"maxCostPerHourUsd": "10.00"}}, "hardware.maxCostPerHourUsd 10.00 allows"),
    ],
)
def test_a_limit_of_the_owner_is_named(spec: dict[str, Any], words: str):
    driven, uid, _ = running(9000.0, **spec)
    driven.rounds(3)
    outcome = driven.loop.outcome(driven.body(uid))
    assert outcome is not None
    assert outcome.told is not None
    assert (outcome.told.reason, words in outcome.told.message) == ("Limited", True)


def test_a_quota_of_the_namespace_is_named_and_stops_nothing_that_runs():
    driven, uid, _ = running(3000.0)
    used = {"hard": {"requests.nvidia.com/gpu": "9"}, "used": {"requests.nvidia.com/gpu": "4"}}
    quota = {"metadata": {"namespace": "chat", "name": "team"}, "status": used}
    driven.cluster.nodes.quotas.put(quota)
    driven.rounds()
    outcome = driven.loop.outcome(driven.body(uid))
    assert outcome is not None
    assert outcome.decisions[0]["message"].endswith("and ResourceQuota team allows 2")
    driven.cluster.nodes.quotas.put({**quota, "status": {**used, "used": {"requests.nvidia.com/gpu": "20"}}})
    driven.rounds(2)
    assert driven.changes(uid) == [(1, 2, "Limited")]
    driven.cluster.nodes.quotas.drop("chat", "team")
    driven.cluster.pods("r1", 2)
    driven.rounds()
    assert driven.changes(uid)[0][0] == 2


def test_start_up_times_are_learned_from_the_pods():
    driven, uid, engines = running(300.0)
    driven.rounds()
    driven.cluster.pod("r1", 1, node="a100-1", took=240.0)
    engines.tokens_per_second["r1"] = 3000.0
    driven.rounds()
    outcome = driven.loop.outcome(driven.body(uid))
    assert outcome is not None
    assert "expected in 240 s" in outcome.decisions[0]["message"]


def test_a_restart_keeps_the_number_what_was_told_and_the_changes():
    driven, uid, engines = running(300.0)
    engines.tokens_per_second["r1"] = 3000.0
    driven.rounds()
    outcome = driven.loop.outcome(driven.body(uid))
    assert outcome is not None
    assert outcome.told is not None
    conditions = [{"type": "ScalingActive", "status": "True", "reason": outcome.told.reason, "message": "m"}]
    scaling = {"desiredReplicas": 3, "decisions": [dict(each) for each in outcome.decisions]}
    driven.cluster.run(replicas=3, status={"scaling": scaling, "conditions": conditions})
    driven.cluster.pods("r1", 3)
    engines.tokens_per_second["r1"] = 10.0
    again = Driven(driven.cluster, engines)
    assert (again.decided(uid), again.told(uid)) == (3, (True, "DemandRises"))
    again.rounds(int(OPTIONS.hold_seconds / INTERVAL) - 1)
    assert (again.decided(uid), again.changes(uid)) == (3, [(1, 3, "DemandRises")])


@pytest.mark.parametrize(("reason", "expected"), [("Steady", 2), ("Limited", 3)])
def test_a_restart_orders_no_more_for_a_load_that_was_decided_on(reason: str, expected: int):
    told = {"type": "ScalingActive", "status": "True", "reason": reason, "message": "m"}
    driven, uid, _ = running(3000.0, replicas=2, status={"conditions": [told], "scaling": {"desiredReplicas": 2}})
    driven.rounds(4)
    assert (driven.decided(uid) or 2) == expected


def test_a_number_for_another_plan_counts_no_more():
    driven, uid, _ = running(3000.0)
    driven.rounds()
    assert driven.decided(uid) == 3
    driven.cluster.run(replicas=2, plan=make_plan(max_num_seqs=128))
    assert driven.decided(uid) is None
    driven.rounds()
    assert [each[:2] for each in driven.changes(uid)][-1:] == [(1, 3)]


def test_without_a_service_level_replicas_stay_and_the_reason_is_told():
    driven, uid, _ = running(9000.0, sla=None)
    assert driven.rounds(3) == [uid]
    assert (driven.told(uid), driven.changes(uid)) == ((False, "NoSla"), [])


def test_an_external_owner_is_measured_and_not_decided_on():
    driven, uid, engines = running(9000.0, scaling={"owner": "External", "maxReplicas": 8})
    driven.rounds(3)
    assert driven.changes(uid) == []
    assert [each.uid for each in engines.asked[-1]] == [uid]
    assert driven.metric("sla_met", namespace="chat", name="r1") == 1.0


def test_back_from_an_external_owner_the_number_that_it_asked_for_last_counts():
    decisions = [{"fromReplicas": 1, "toReplicas": 2, "reason": "DemandRises", "message": "m"}]
    cluster, external = ScaledCluster(), {"owner": "External", "maxReplicas": 8}
    scaling = {"desiredReplicas": 2, "decisions": decisions}
    uid = cluster.run(replicas=2, status={"scaling": scaling}, scaling=external)
    cluster.pods("r1", 2)
    driven = Driven(cluster, Engines({"r1": 300.0}))
    driven.rounds()
    cluster.run(replicas=3, status={"scaling": {**scaling, "desiredReplicas": 3}})
    assert driven.decided(uid) == 3


def test_an_object_that_cannot_be_decided_on_stops_no_other():
    cluster = ScaledCluster()
    broken, fine = cluster.run("broken"), cluster.run("fine")
    cluster.pod("broken", 0, node="a100-0")
    cluster.pod("fine", 0, node="a100-0")
    cluster.pod("broken", 1, node="a100-1", created="yesterday")
    driven = Driven(cluster, Engines({"fine": 3000.0, "broken": 3000.0}))
    driven.rounds()
    assert driven.changes(fine) == [(1, 3, "DemandRises")]
    assert driven.changes(broken) == []


def test_what_is_no_number_moves_nothing():
    driven, uid, _ = running(float("nan"))
    driven.rounds(3)
    assert (driven.told(uid), driven.changes(uid)) == ((False, "SignalsMissing"), [])


def test_an_object_that_is_gone_is_forgotten_with_its_metrics():
    driven, uid, _ = running(300.0)
    driven.rounds()
    assert driven.metric("desired_replicas", namespace="chat", name="r1") == 1.0
    driven.loop.forget(uid)
    assert _shown(driven.registry) == []


def _shown(registry: CollectorRegistry) -> Iterable[str]:
    return [
        sample.name for family in registry.collect() for sample in family.samples if sample.labels.get("name") == "r1"
    ]


def test_a_verdict_is_kept_over_a_restart_also_when_nothing_is_known():
    cluster = ScaledCluster()
    told = {"type": "SLAMet", "status": "Unknown", "reason": "NoRequests", "message": "none"}
    uid = cluster.run(status={"conditions": [told]})
    outcome = Driven(cluster, Engines({})).loop.outcome(cluster.observed.deployments[uid])
    assert outcome is not None
    assert outcome.attained is not None
    assert (outcome.attained.holds, outcome.attained.reason) == (None, "NoRequests")
