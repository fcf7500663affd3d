"""CapacityPlan on the real control plane: answered, answered again when the cluster changes, refused in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.deployments import sample, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually
from deepseek_operator.api.v1alpha1 import API_VERSION

SAMPLE = Path(__file__).parents[2] / "manifests" / "samples" / "capacity" / "two-more-nodes.yaml"


def question(name: str, **spec: object) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "CapacityPlan", "metadata": {"name": name}, "spec": spec}


def names(answer: dict[str, Any]) -> set[str]:
    return {row["name"] for row in answer["unplaced"]}


@pytest.fixture
def questions(cluster_kubectl: Kubectl, resource_definition: None) -> Iterator[Kubectl]:
    yield cluster_kubectl
    cluster_kubectl("delete", "capacityplans", "--all")


def condition(kubectl: Kubectl, name: str, kind: str) -> dict[str, Any]:
    """Return a condition of a CapacityPlan once it is there for the newest generation."""

    def told() -> dict[str, Any] | None:
        found = kubectl("get", "capacityplan", name, "-o", "json")
        for each in (found.get("status") or {}).get("conditions", ()):
            if each["type"] == kind and each["observedGeneration"] == found["metadata"]["generation"]:
                return dict(each)
        return None

    return eventually(told, what=f"{name} says whether it is {kind}")


def test_a_question_is_answered_and_answered_anew_when_it_changes(
    kubectl: Kubectl, questions: Kubectl, tmp_path: Path
) -> None:
    with running_operator(kubectl, tmp_path, everywhere=True):
        kubectl.apply(sample("deepseek-67b"))
        wait_ready(kubectl, "deepseek-67b")
        questions.apply(question("as-it-is"))
        condition(questions, "as-it-is", "Fits")
        before = questions("get", "capacityplan", "as-it-is", "-o", "json")["status"]
        assert "deepseek-67b" not in names(before)  # objects of namespaces that are going away may lack room
        products = {row["gpu"]: row for row in before["gpus"]}
        assert products["h100-sxm5-80gb"]["used"] >= 4

        asked = [{"namespace": kubectl.namespace, "name": "deepseek-67b", "replicas": 900}]
        questions.apply(question("as-it-is", replicas=asked))
        fits = condition(questions, "as-it-is", "Fits")
        assert (fits["status"], fits["reason"]) == ("False", "NotEverythingFits")
        after = questions("get", "capacityplan", "as-it-is", "-o", "json")["status"]
        assert "deepseek-67b" in names(after)
        assert re.search(r" of 9\d\d replicas fit now", after["summary"])


def test_a_question_without_answer_says_why_and_stalls(kubectl: Kubectl, questions: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path, everywhere=True):
        questions.apply(question("wrong", addNodes=[{"instance": "p5.48xlarg", "count": 1}]))
        stalled = condition(questions, "wrong", "Stalled")
        assert (stalled["status"], stalled["reason"]) == ("True", "InvalidQuestion")
        assert "did you mean" in stalled["message"]


def test_the_sample_is_accepted(questions: Kubectl) -> None:
    questions("create", "--dry-run=server", "--validate=strict", f"--filename={SAMPLE}")
    assert yaml.safe_load(SAMPLE.read_text())["kind"] == "CapacityPlan"
