"""Replicas follow the load that a real Prometheus measures, and stay when it measures nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cluster.deployments import condition, small, status, wait_condition, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import OperatorProcess, running_operator
from cluster.polling import eventually
from deepseek_operator.api.parse import parse
from deepseek_operator.api.plan_status import plan_from_status
from deepseek_operator.api.to_request import plan_request
from deepseek_operator.planner.replica import pace_of
from deepseek_operator.scaling.replica_capacity import Load as Demand
from deepseek_operator.scaling.replica_capacity import ReplicaCapacity
from deepseek_operator.scaling.simulated_object import capacity_of
from engine_pages import EnginePages, Load
from prometheus_server import SCRAPE_SECONDS, PrometheusServer, engine_pages, prometheus

__all__ = ["engine_pages", "prometheus"]

SLA = {"ttftMilliseconds": 2000, "tpotMilliseconds": 40}
SCALING = {"minReplicas": 1, "maxReplicas": 4}
OUTPUT_TOKENS, CONTEXT_TOKENS = 128.0, 576.0
HOLD_SECONDS = 45
NAME = "small"

pytestmark = [pytest.mark.usefixtures("resource_definition"), pytest.mark.timeout(300)]


class LoadedPods:
    """Gives the pods that serve their share of a load, with the latency that the plan's own laws make of it.

    Args:
        kubectl: for the test's namespace.
        pages: that Prometheus scrapes.
    """

    def __init__(self, kubectl: Kubectl, pages: EnginePages) -> None:
        self.slowest_seconds_per_token = 0.0
        self._kubectl, self._pages = kubectl, pages
        self._capacity: ReplicaCapacity | None = None
        self._requests_per_second = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        """Look at the plan that runs, and begin with a quarter of what one replica carries."""
        body = self._kubectl("get", "dsd", NAME, "-o", "json")
        plan = plan_from_status(body["status"]["plan"])
        assert plan is not None
        request = plan_request(parse(body))
        pace = pace_of(request, plan)
        assert pace is not None
        assert request.sla is not None
        self._capacity = capacity_of(plan, pace, request.sla)
        self.carry(0.25)
        self._thread.start()

    def carry(self, replicas: float) -> None:
        """Set the load to what so many replicas carry within the service level."""
        assert self._capacity is not None
        low, high = 0.0, 10_000.0
        while high - low > 0.01:
            middle = (low + high) / 2
            fits = self._capacity.carries(self._demand(middle), 1)
            low, high = (middle, high) if fits else (low, middle)
        self._requests_per_second = low * replicas

    def end(self) -> None:
        self._end.set()
        self._thread.join()

    def _demand(self, requests_per_second: float) -> Demand:
        assert self._capacity is not None
        return Demand(
            tokens_per_second=requests_per_second * OUTPUT_TOKENS,
            prompts_per_second=requests_per_second,
            prompt_work=requests_per_second * self._capacity.pace.prompt(512),
            context_tokens=CONTEXT_TOKENS,
        )

    def _follow(self) -> None:
        while not self._end.wait(0.3):
            self._share(self._serving())

    def _serving(self) -> list[str]:
        pods = self._kubectl("get", "pods", "-o", "json")["items"]
        return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"] and _ready(pod)]

    def _share(self, serving: list[str]) -> None:
        namespace = self._kubectl.namespace
        for _, name in self._pages.pods():
            if name not in serving:
                self._pages.remove(namespace, name)
        for name in serving:
            self._pages.put(namespace, name, self._load(self._requests_per_second / len(serving)))

    def _load(self, requests_per_second: float) -> Load:
        assert self._capacity is not None
        demand = self._demand(requests_per_second)
        busy = self._capacity.busy(demand, 1)
        batch = self._capacity.in_flight(demand.tokens_per_second, busy, CONTEXT_TOKENS)
        tpot = self._capacity.tpot(batch, busy, CONTEXT_TOKENS)
        self.slowest_seconds_per_token = max(self.slowest_seconds_per_token, tpot)
        return Load(
            requests_per_second=requests_per_second,
            prompt_tokens=512,
            output_tokens=OUTPUT_TOKENS,
            ttft_seconds=0.2,
            tpot_seconds=tpot,
            prefill_seconds=self._capacity.pace.prompt(512),
            running=batch,
            kv_cache_used_fraction=min(1.0, batch * CONTEXT_TOKENS / self._capacity.limits.kv_tokens),
        )


def _ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@pytest.fixture
def operator(kubectl: Kubectl, prometheus: PrometheusServer, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that asks Prometheus every second, with one object that serves."""
    with running_operator(kubectl, tmp_path, *options(prometheus)) as process:
        kubectl.apply(small(sla=SLA, scaling=SCALING))
        wait_ready(kubectl, NAME)
        yield process


def options(prometheus: PrometheusServer) -> list[str]:
    return [
        f"--prometheus-url={prometheus.url}",
        f"--scrape-seconds={SCRAPE_SECONDS:g}",
        "--rate-seconds=4",
        "--scaling-interval-seconds=1",
        f"--scaling-hold-seconds={HOLD_SECONDS}",
    ]


@pytest.fixture
def pods(kubectl: Kubectl, engine_pages: EnginePages, operator: OperatorProcess) -> Iterator[LoadedPods]:
    loaded = LoadedPods(kubectl, engine_pages)
    loaded.start()
    wait_condition(kubectl, NAME, "ScalingActive", "True", "Steady")
    yield loaded
    loaded.end()


def desired(kubectl: Kubectl) -> int:
    return int(status(kubectl, NAME)["scaling"]["desiredReplicas"])


def serving(kubectl: Kubectl) -> int:
    return int(status(kubectl, NAME)["readyReplicas"])


def changes(kubectl: Kubectl) -> list[tuple[int, int, str]]:
    decisions = status(kubectl, NAME)["scaling"].get("decisions", ())
    return [(each["fromReplicas"], each["toReplicas"], each["reason"]) for each in decisions]


def wait_rounds(operator: OperatorProcess, count: int) -> None:
    """Wait until the operator has decided so many times more."""
    name = "deepseek_operator_scaling_round_seconds_count"
    before = operator.metric(name)
    eventually(lambda: operator.metric(name), lambda rounds: rounds >= before + count, what=f"{count} rounds")


def test_replicas_rise_before_the_service_level_is_lost_and_fall_once(
    kubectl: Kubectl,
    operator: OperatorProcess,
    pods: LoadedPods,
    tmp_path: Path,
    prometheus: PrometheusServer,
) -> None:
    wait_condition(kubectl, NAME, "SLAMet", "True", "SlaKept")
    assert changes(kubectl) == []
    for step in range(9):
        pods.carry(0.25 + step * 0.2)
        wait_rounds(operator, 2)
    eventually(lambda: serving(kubectl), lambda count: count >= 2, what="more replicas serve")
    eventually(lambda: serving(kubectl) == desired(kubectl), what="all of them serve")
    most = desired(kubectl)
    assert {reason for _, _, reason in changes(kubectl)} <= {"DemandRises", "Limited"}
    assert pods.slowest_seconds_per_token * 1000 <= SLA["tpotMilliseconds"]
    assert condition(kubectl, NAME, "SLAMet")["status"] == "True"

    pods.carry(0.1)
    eventually(lambda: desired(kubectl), lambda count: count < most, within_seconds=150, what="fewer replicas")
    eventually(lambda: serving(kubectl), lambda count: count == 1, within_seconds=60, what="one replica serves")
    assert [reason for _, _, reason in changes(kubectl)].count("DemandFell") == 1
    assert pods.slowest_seconds_per_token * 1000 <= SLA["tpotMilliseconds"]
    told = {each["reason"] for each in kubectl("get", "events", "-o", "json")["items"]}
    assert {"DemandRises", "DemandFell"} <= told


def test_a_dead_prometheus_moves_nothing_is_told_and_recovers_by_itself(
    kubectl: Kubectl,
    operator: OperatorProcess,
    pods: LoadedPods,
    prometheus: PrometheusServer,
) -> None:
    prometheus.kill()
    told = wait_condition(kubectl, NAME, "ScalingActive", "False", "MetricsUnreachable")
    assert "does not answer" in told["message"]
    assert told["message"].endswith("1 replica stays")
    pods.carry(3.0)
    wait_rounds(operator, 5)
    assert (desired(kubectl), changes(kubectl)) == (1, [])

    prometheus.start()

    eventually(lambda: desired(kubectl), lambda count: count >= 2, within_seconds=60, what="more replicas")
    assert condition(kubectl, NAME, "ScalingActive")["status"] == "True"


def test_a_renamed_metric_is_named_and_moves_nothing(
    kubectl: Kubectl,
    operator: OperatorProcess,
    pods: LoadedPods,
    engine_pages: EnginePages,
) -> None:
    engine_pages.rename("vllm:generation_tokens", "vllm:made_tokens")
    told = wait_condition(kubectl, NAME, "ScalingActive", "False", "MetricsAbsent")
    assert "vllm:generation_tokens" in told["message"]
    assert (desired(kubectl), changes(kubectl)) == (1, [])
    engine_pages.rename("vllm:generation_tokens", "vllm:generation_tokens")
    eventually(lambda: condition(kubectl, NAME, "ScalingActive")["status"], lambda found: found == "True")


def test_a_restart_keeps_the_number_that_was_decided(
    kubectl: Kubectl,
    operator: OperatorProcess,
    pods: LoadedPods,
    prometheus: PrometheusServer,
    tmp_path: Path,
) -> None:
    pods.carry(2.0)
    eventually(lambda: serving(kubectl), lambda count: count >= 2, what="more replicas serve")
    eventually(lambda: serving(kubectl) == desired(kubectl), what="all of them serve")
    before = changes(kubectl)
    prometheus.kill()
    operator.kill()

    with running_operator(kubectl, tmp_path, *options(prometheus)):
        wait_condition(kubectl, NAME, "ScalingActive", "False", "MetricsUnreachable")
        assert (serving(kubectl), changes(kubectl)) == (desired(kubectl), before)
