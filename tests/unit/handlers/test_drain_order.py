"""Which replica goes first: what is read of engines and pods, and when it matters at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.engine_metrics import requests_in_flight
from deepseek_operator.errors import EngineMetricsError
from deepseek_operator.handlers.drain_order import asked_replicas
from deepseek_operator.handlers.observed import Child
from deepseek_operator.handlers.pod_state import pod_state
from deepseek_operator.scaling.deletion_cost import ANNOTATION_DELETION_COST

PAGE = (Path(__file__).parents[2] / "engine" / "data" / "vllm_0.32_metrics.txt").read_text()


def child(kind: str) -> Child:
    return Child(
        kind=kind,
        namespace="chat",
        name="r1",
        uid="1",
        owner_uid="2",
        version=1,
        ownership="",
        generation=1,
        replicas=3,
        template_hash="",
        status={},
        data={},
    )


@pytest.mark.parametrize(
    ("workload", "manifest", "asked"),
    [
        pytest.param(None, {"replicas": 1}, None, id="nothing runs"),
        pytest.param(child("Deployment"), {"replicas": 1}, 1, id="a Deployment"),
        pytest.param(child("Deployment"), {}, None, id="another owner sets the number"),
        pytest.param(child("LeaderWorkerSet"), {"replicas": 1}, None, id="groups go by number"),
    ],
)
def test_only_a_deployment_chooses(workload: Child | None, manifest: dict[str, Any], asked: int | None) -> None:
    kind = workload.kind if workload else "Deployment"
    service: dict[str, Any] = {"kind": "Service", "metadata": {"name": "r1"}, "spec": {}}
    manifests = [service, {"kind": kind, "metadata": {"name": "r1"}, "spec": manifest}]
    assert asked_replicas(manifests, workload) == asked


def test_an_engine_tells_what_it_runs_and_what_waits() -> None:
    page = PAGE.replace("vllm:num_requests_running{", 'vllm:num_requests_running{other="1",')
    busy = "\n".join(
        line.rsplit(" ", 1)[0] + " 4.0" if line.startswith("vllm:num_requests_running{") else line
        for line in page.split("\n")
    )
    assert (requests_in_flight(PAGE), requests_in_flight(busy)) == (0.0, 4.0)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        pytest.param("", "does not hold vllm:num_requests_running", id="no page of vLLM"),
        pytest.param("vllm:num_requests_running 1.0", "does not hold vllm:num_requests_waiting", id="one is missing"),
        pytest.param("vllm:num_requests_running NaN", "vllm:num_requests_running is nan", id="no number"),
        pytest.param("vllm:num_requests_running -1.0", "vllm:num_requests_running is -1.0", id="below zero"),
        pytest.param("vllm:num_requests_running {{", "cannot be read", id="no sample"),
    ],
)
def test_a_page_without_the_count_is_no_empty_replica(page: str, words: str) -> None:
    with pytest.raises(EngineMetricsError, match=words):
        requests_in_flight(page)


@pytest.mark.parametrize(
    ("annotation", "cost"),
    [
        pytest.param({ANNOTATION_DELETION_COST: "7"}, 7, id="a cost"),
        pytest.param({}, 0, id="none"),
        pytest.param({ANNOTATION_DELETION_COST: "-1"}, -1, id="one that goes"),
        pytest.param({ANNOTATION_DELETION_COST: "9" * 5000}, 0, id="no cost that Kubernetes knows"),
    ],
)
def test_the_cost_of_a_pod_is_read_back(annotation: dict[str, str], cost: int) -> None:
    assert pod_state({"metadata": {"name": "a", "annotations": annotation}}).deletion_cost == cost
