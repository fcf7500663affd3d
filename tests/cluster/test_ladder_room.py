"""A window changes the model also between groups and one node, and says first when there are no GPUs for both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.deployments import wait_condition, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually
from cluster.test_groups import r1
from cluster.test_rollouts import pool, whole_node
from cluster.test_schedules import next_window

__all__ = ["pool"]

pytestmark = pytest.mark.usefixtures("resource_definition")

SMALL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
R1, FULL = "deepseek-r1", "deepseek-67b"


def ready_models(kubectl: Kubectl, name: str) -> list[str]:
    """Return the model of every pod of an object that takes requests."""
    pods = kubectl("get", "pods", "-l", f"deepseek-operator.io/deployment={name}", "-o", "json")["items"]
    return sorted(
        pod["spec"]["containers"][0]["args"][0]
        for pod in pods
        if pod["metadata"]["labels"].get("deepseek-operator.io/role") != "worker"
        and any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
    )


def told(kubectl: Kubectl, name: str) -> set[str]:
    """Return the reasons of the events about an object."""
    items = kubectl("get", "events", "-o", "json")["items"]
    return {each["reason"] for each in items if each["involvedObject"]["name"] == name}


def by_night(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of the spec
    """Return fields of a spec by which the small model runs from the next minute on."""
    window = next_window() | {"minReplicas": 1, "maxReplicas": 1, "durationSeconds": 3600}
    return {
        "scaling": {"minReplicas": 1, "maxReplicas": 1, "schedules": [window]},
        "fallbacks": [{"model": SMALL, "when": "Schedule", "schedule": "soon"}],
        **spec,
    }


@pytest.mark.timeout(300)
def test_groups_over_two_nodes_serve_until_the_small_model_does(kubectl: Kubectl, tmp_path: Path) -> None:
    asked, served = r1(), list[list[str]]()
    asked["spec"] |= by_night()

    def look() -> list[str]:
        served.append(ready_models(kubectl, R1))
        return served[-1]

    with running_operator(kubectl, tmp_path):
        kubectl.apply(asked)
        wait_ready(kubectl, R1)
        eventually(look, lambda found: found == [SMALL], within_seconds=180, what="the small model alone")
        wait_condition(kubectl, R1, "Planned", "True", "SchedulePlanned")
    assert all(served)
    assert "BriefOutage" not in told(kubectl, R1)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("pool", [1], indirect=True)
def test_without_gpus_for_both_the_outage_is_told_first(kubectl: Kubectl, pool: str, tmp_path: Path) -> None:
    full = whole_node(pool, 1, **by_night(parallelism={"tensor": 4, "data": 1, "pipeline": 2}))
    with running_operator(kubectl, tmp_path):
        kubectl.apply(full)
        wait_ready(kubectl, FULL)
        eventually(lambda: ready_models(kubectl, FULL), lambda found: found == [SMALL], within_seconds=180)
        wait_condition(kubectl, FULL, "Ready", "True", "ReplicasReady")
        eventually(lambda: told(kubectl, FULL), lambda found: {"BriefOutage", "SchedulePlanned"} <= found)
