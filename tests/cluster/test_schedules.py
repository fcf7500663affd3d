"""Windows of the clock: at their boundaries replicas and model change, and somebody serves all the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cluster.deployments import condition, small, status, wait_condition, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually
from cluster.test_rollouts import reasons, watching

pytestmark = pytest.mark.usefixtures("resource_definition")

BIG, SMALL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
TIME_TO_START = timedelta(seconds=20)
"""For the asked model to be ready before the window opens; fake pods take a few seconds."""


def next_window() -> dict[str, Any]:
    """Return a window of one minute that opens at the next minute that leaves time to start."""
    opens = datetime.now(UTC) + TIME_TO_START + timedelta(minutes=1)
    start = f"{opens.minute} {opens.hour} * * *"
    return {"name": "soon", "start": start, "durationSeconds": 60, "minReplicas": 2, "maxReplicas": 2}


def running(kubectl: Kubectl, name: str) -> list[str]:
    """Return the models of all pods that are ready, sorted."""
    pods = kubectl("get", "pods", "-l", f"app.kubernetes.io/instance={name}", "-o", "json")["items"]
    ready = [
        pod
        for pod in pods
        if any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
    ]
    return sorted(pod["spec"]["containers"][0]["args"][0] for pod in ready)


@pytest.mark.timeout(360)
def test_a_window_changes_replicas_and_model_and_back_while_somebody_serves(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(
            small(
                "chat",
                scaling={"maxReplicas": 1, "schedules": [next_window()]},
                fallbacks=[{"model": SMALL, "when": "Schedule", "schedule": "soon"}],
            )
        )
        wait_ready(kubectl, "chat")
        assert running(kubectl, "chat") == [BIG]
        asked = status(kubectl, "chat")["plan"]["hash"]
        with watching(kubectl, tmp_path, "chat") as watched:
            eventually(lambda: running(kubectl, "chat"), lambda found: found == [SMALL] * 2, within_seconds=110)
            planned = wait_condition(kubectl, "chat", "Planned", "True", "SchedulePlanned")
            assert planned["message"].startswith(f"{SMALL} runs while the window soon is open")
            assert condition(kubectl, "chat", "ScalingActive")["message"].endswith(
                "the plan needs 2 replicas for the asked demand"
            )
            assert status(kubectl, "chat")["plan"]["modelName"] == SMALL
            [service] = kubectl("get", "services", "-o", "json")["items"]

            eventually(lambda: running(kubectl, "chat"), lambda found: found == [BIG], within_seconds=110)
            wait_condition(kubectl, "chat", "Planned", "True", "Planned")
            assert status(kubectl, "chat")["plan"]["hash"] == asked
            assert kubectl("get", "services", "-o", "json")["items"] == [service]
        assert min(watched.available()) == 1
    assert {"SchedulePlanned", "SurgeFirst"} <= reasons(kubectl)
