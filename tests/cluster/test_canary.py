"""A change gets a part of the traffic first, is judged by what its requests take, and is promoted or rolled back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.deployments import condition, small, status, wait_condition, wait_ready
from cluster.fake_engine import fake_engine, move_to
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually

pytestmark = pytest.mark.usefixtures("resource_definition")

Pod = dict[str, Any]


def latency_page(seconds: float, requests: int = 1000) -> str:
    """Return a page on which all requests took so long, to the first token and for each further one."""
    lines = []
    for metric in ("vllm:time_to_first_token_seconds", "vllm:request_time_per_output_token_seconds"):
        lines.append(f"# TYPE {metric} histogram")
        for bound in ("0.01", "0.05", "0.1", "1.0", "2.5", "10.0", "+Inf"):
            count = requests if float(bound) >= seconds else 0
            lines.append(f'{metric}_bucket{{engine="0",le="{bound}"}} {count}.0')
    return "\n".join(lines) + "\n"


def tried(context: int = 4096, **canary: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    """Return a deployment of two replicas whose changes are tried first."""
    made = small(
        sla={"ttftMilliseconds": 1000, "tpotMilliseconds": 100},
        scaling={"minReplicas": 2, "maxReplicas": 2},
        rollout={"canary": canary},
    )
    made["spec"]["workload"]["maxContextTokens"] = context
    return made


def tracks(kubectl: Kubectl) -> tuple[list[Pod], list[Pod]]:
    """Return the pods that run what was there before, and those of the change on trial."""
    pods = kubectl("get", "pods", "-o", "json")["items"]
    on_trial = [pod for pod in pods if pod["metadata"]["labels"].get("deepseek-operator.io/track") == "canary"]
    return [pod for pod in pods if pod not in on_trial], on_trial


def names(pods: list[Pod]) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods}


def on_trial(kubectl: Kubectl, reason: str = "CanaryObserving") -> tuple[list[Pod], list[Pod]]:
    """Wait until a change is watched, and return the pods of both tracks."""
    wait_condition(kubectl, "small", "RollingOut", "True", reason)
    return eventually(lambda: tracks(kubectl), lambda found: len(found[1]) > 0, what="pods of the change")


def begin_earlier(kubectl: Kubectl) -> None:
    """Let the time of a trial be over, written as the operator itself writes it."""
    eventually(lambda: status(kubectl, "small")["canary"].get("since"), what="the trial has begun")
    found = kubectl("get", "dsd", "small", "-o", "json")
    found["status"]["canary"]["since"] = "2026-01-01T00:00:00Z"
    body = {
        **{key: found[key] for key in ("apiVersion", "kind", "status")},
        "metadata": {key: found["metadata"][key] for key in ("name", "namespace")},
    }
    apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=deepseek-operator", "--subresource=status")
    kubectl(*apply, "--filename=-", stdin=body)


def test_a_change_that_misses_the_service_level_is_rolled_back_and_not_tried_again(
    kubectl: Kubectl, tmp_path: Path
) -> None:
    with (
        running_operator(kubectl, tmp_path, engines=True),
        fake_engine(latency_page(0.05)) as good,
        fake_engine(latency_page(2.0)) as slow,
    ):
        kubectl.apply(tried())
        wait_ready(kubectl, "small")
        plan = status(kubectl, "small")["plan"]["hash"]
        before, _ = tracks(kubectl)

        kubectl.apply(tried(context=8192))
        stable, canary = on_trial(kubectl)
        assert (names(stable), len(canary)) == (names(before), 1)
        assert "--max-model-len=8192" in canary[0]["spec"]["containers"][0]["args"]
        endpoints = kubectl("get", "service", "-o", "json")["items"]
        assert {each["metadata"]["name"] for each in endpoints} == {"small", "small-canary"}
        assert (status(kubectl, "small")["plan"]["hash"], status(kubectl, "small")["proposedPlan"]["hash"] == plan) == (
            plan,
            False,
        )

        for pod in stable:
            move_to(kubectl, pod["metadata"]["name"], good.address)
        move_to(kubectl, canary[0]["metadata"]["name"], slow.address)

        told = wait_condition(kubectl, "small", "Ready", "False", "CanaryRolledBack")
        assert told["message"] == (
            "the change was rolled back: TTFT was above 1000 ms in 1000 of its 1000 requests, where 5 % may be and "
            "0 % are of the replicas beside it; it is not tried again until the spec changes"
        )
        eventually(lambda: tracks(kubectl)[1], lambda found: not found, what="the canary is gone")
        assert names(tracks(kubectl)[0]) == names(before)
        assert condition(kubectl, "small", "Stalled")["reason"] == "CanaryRolledBack"
        assert {each["metadata"]["name"] for each in kubectl("get", "deployments", "-o", "json")["items"]} == {"small"}

        kubectl("annotate", "dsd", "small", "example.com/woken=1")
        kubectl.apply(tried(context=6144))
        on_trial(kubectl, "CanaryObserving")
        assert names(tracks(kubectl)[0]) == names(before)


def test_a_change_that_keeps_the_service_level_reaches_all_replicas(kubectl: Kubectl, tmp_path: Path) -> None:
    with fake_engine(latency_page(0.05)) as good:
        with running_operator(kubectl, tmp_path, engines=True) as operator:
            kubectl.apply(tried())
            wait_ready(kubectl, "small")
            kubectl.apply(tried(context=8192))
            stable, canary = on_trial(kubectl)
            operator.kill()
        with running_operator(kubectl, tmp_path, engines=True):
            for pod in (*stable, *canary):
                move_to(kubectl, pod["metadata"]["name"], good.address)
            begin_earlier(kubectl)

            def everywhere() -> bool:
                pods, trial = tracks(kubectl)
                new = [pod for pod in pods if "--max-model-len=8192" in pod["spec"]["containers"][0]["args"]]
                return len(new) == len(pods) == 2 and not trial

            eventually(everywhere, what="the change reaches everybody", within_seconds=90)
            wait_ready(kubectl, "small")
            found = status(kubectl, "small")
            assert ("canary" in found, found["plan"]["maxModelLen"]) == (False, 8192)
            assert names(canary).isdisjoint(names(tracks(kubectl)[0]))


def test_with_manual_promotion_both_run_until_somebody_decides(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(tried(promotion="Manual"))
        wait_ready(kubectl, "small")
        kubectl.apply(tried(context=8192, promotion="Manual", trafficPercent=50))
        stable, canary = on_trial(kubectl, "CanaryHeld")
        assert (len(stable), len(canary)) == (2, 2)
        wait_condition(kubectl, "small", "Ready", "True", "CanaryHeld")

        kubectl.apply(tried())  # taken back

        eventually(lambda: tracks(kubectl)[1], lambda found: not found, what="the canary is gone")
        wait_ready(kubectl, "small")
        assert names(tracks(kubectl)[0]) == names(stable)
        assert "canary" not in status(kubectl, "small")


def test_a_change_that_cannot_start_is_rolled_back(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(tried())
        wait_ready(kubectl, "small")
        before, _ = tracks(kubectl)
        kubectl.apply(tried(context=8192))
        _, canary = on_trial(kubectl)

        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
        container = {"name": "engine", "image": "i", "imageID": "", "ready": False, "restartCount": 3, "state": waiting}
        patch = json.dumps({"status": {"containerStatuses": [container]}})
        [pod] = names(canary)
        kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", f"--patch={patch}")

        told = wait_condition(kubectl, "small", "Ready", "False", "CanaryRolledBack")
        assert f"its replicas do not serve: pod {pod} waits, CrashLoopBackOff" in told["message"]
        eventually(lambda: tracks(kubectl)[1], lambda found: not found, what="the canary is gone")
        assert names(tracks(kubectl)[0]) == names(before)
