"""To zero and back, and one step down and up the ladder of formats, by what a real Prometheus measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.deployments import condition, small, status, wait_condition, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually
from cluster.test_rollouts import reasons, watching
from engine_pages import EnginePages, Load
from prometheus_server import SCRAPE_SECONDS, PrometheusServer, engine_pages, prometheus

__all__ = ["engine_pages", "prometheus"]

NAME, MODEL = "small", "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
IDLE, BUSY = Load(), Load(requests_per_second=0.5)
FULL = Load(requests_per_second=2, kv_cache_used_fraction=0.97, waiting=6)
CALM = Load(requests_per_second=0.5, kv_cache_used_fraction=0.1)

pytestmark = [pytest.mark.usefixtures("resource_definition"), pytest.mark.timeout(300)]


def options(prometheus: PrometheusServer) -> list[str]:
    return [
        f"--prometheus-url={prometheus.url}",
        f"--scrape-seconds={SCRAPE_SECONDS:g}",
        "--rate-seconds=4",
        "--scaling-interval-seconds=1",
        "--pressure-cooldown-seconds=5",
        "--pressure-relief-seconds=6",
    ]


class Pods:
    """The pods of the object, each with the same load on its page; looked at again and again while a test waits."""

    def __init__(self, kubectl: Kubectl, pages: EnginePages) -> None:
        self._kubectl, self._pages = kubectl, pages
        self.load = BUSY

    def arguments(self) -> list[list[str]]:
        """Return the engine's arguments of every pod, and give all of them their load."""
        pods = self._kubectl("get", "pods", "-o", "json")["items"]
        names = {pod["metadata"]["name"] for pod in pods}
        for namespace, name in self._pages.pods():
            if name not in names:
                self._pages.remove(namespace, name)
        for name in names:
            self._pages.put(self._kubectl.namespace, name, self.load)
        return [pod["spec"]["containers"][0]["args"] for pod in pods]

    def wait(self, count: int, argument: str = "", *, without: str = "") -> None:
        """Wait until so many pods are there, all of them with an argument or without one."""
        eventually(
            self.arguments,
            lambda found: (
                len(found) == count
                and all((not argument or argument in each) and without not in each for each in found)
            ),
            within_seconds=90,
            what=f"{count} pods with {argument or 'any arguments'}",
        )


def desired(kubectl: Kubectl) -> int:
    return int(status(kubectl, NAME)["scaling"]["desiredReplicas"])


def plan(kubectl: Kubectl) -> dict[str, Any]:
    found: dict[str, Any] = status(kubectl, NAME)["plan"]
    return found


def test_to_zero_after_idle_time_and_back_when_the_gateway_tells(
    kubectl: Kubectl, tmp_path: Path, prometheus: PrometheusServer, engine_pages: EnginePages
) -> None:
    pods = Pods(kubectl, engine_pages)
    with running_operator(kubectl, tmp_path, *options(prometheus)) as first:
        kubectl.apply(small(scaling={"minReplicas": 0, "maxReplicas": 2, "scaleToZeroAfterSeconds": 8}))
        wait_ready(kubectl, NAME)
        pods.wait(1)
        rounds = "deepseek_operator_scaling_round_seconds_count"
        before = first.metric(rounds)
        eventually(lambda: first.metric(rounds), lambda count: count > before + 12, what="rounds while requests run")
        assert desired(kubectl) == 1

        pods.load = IDLE
        pods.wait(0)
        ready = wait_condition(kubectl, NAME, "Ready", "True", "ScaledToZero")
        assert ready["message"] == "no replica is wanted"
        assert "no request for" in condition(kubectl, NAME, "ScalingActive")["message"]
        first.kill()
    with running_operator(kubectl, tmp_path, *options(prometheus)) as second:
        eventually(lambda: second.metric(rounds), lambda count: count > 3, what="rounds after a restart")
        assert (desired(kubectl), pods.arguments()) == (0, [])

        queue = f'inference_extension_flow_control_queue_size{{model_name="{MODEL}"}}'
        engine_pages.put_text(kubectl.namespace, "gateway", f"{queue} 3\n")
        pods.load = BUSY
        pods.wait(1)
        wait_condition(kubectl, NAME, "Ready", "True", "ReplicasReady")
        decisions = status(kubectl, NAME)["scaling"]["decisions"]
        assert [each["reason"] for each in decisions] == ["ScaledFromZero", "ScaledToZero"]
        assert decisions[0]["message"] == "0 to 1 replica: 3 requests wait at the gateway"
    assert {"ScaledToZero", "ScaledFromZero"} <= reasons(kubectl)


def test_memory_pressure_goes_one_step_down_over_a_restart_and_back_up(
    kubectl: Kubectl, tmp_path: Path, prometheus: PrometheusServer, engine_pages: EnginePages
) -> None:
    pods, fp8 = Pods(kubectl, engine_pages), "--kv-cache-dtype=fp8"
    pods.load = FULL
    asked = small(
        precision={"quality": "NearLossless"},
        memoryPressure={"kvCachePercent": 90, "forSeconds": 10, "action": "Quantize"},
    )
    with running_operator(kubectl, tmp_path, *options(prometheus)) as first:
        kubectl.apply(asked)
        wait_ready(kubectl, NAME)
        before = plan(kubectl)
        with watching(kubectl, tmp_path, NAME) as watched:
            pods.wait(1, fp8)
            planned = wait_condition(kubectl, NAME, "Planned", "True", "MemoryPressurePlanned")
            pods.load = CALM
            pods.arguments()
            assert "an FP8 KV cache" in planned["message"]
            pressed = plan(kubectl)
            assert pressed["kvCacheTokens"] > before["kvCacheTokens"]
            assert (pressed["gpu"], pressed["parallelism"]) == (before["gpu"], before["parallelism"])
            assert pressed["compromise"]["kind"] == "MemoryPressure"
            first.kill()
            with running_operator(kubectl, tmp_path, *options(prometheus)):
                pods.wait(1, without=fp8)
                wait_condition(kubectl, NAME, "Planned", "True", "Planned")
                wait_condition(kubectl, NAME, "MemoryPressure", "False", "NoPressure")
                assert plan(kubectl)["hash"] == before["hash"]
        assert min(watched.available()) == 1
    assert {"Quantizing", "MemoryPressurePlanned", "SurgeFirst"} <= reasons(kubectl)
