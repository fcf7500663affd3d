"""A wrong object gets one clear sentence and disturbs nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.deployments import condition, small, wait_condition, wait_ready
from cluster.kubectl import Kubectl, KubectlError
from cluster.operator_process import running_operator
from cluster.polling import eventually

pytestmark = pytest.mark.usefixtures("resource_definition")


def with_field(path: str, value: object) -> dict[str, Any]:
    """Return a good deployment with one field changed; None removes it."""
    made = small("wrong")
    *parents, last = path.split(".")
    target = made["spec"]
    for parent in parents:
        target = target.setdefault(parent, {})
    if value is None:
        target.pop(last, None)
    else:
        target[last] = value
    return made


REJECTED = {
    "no input tokens": (with_field("workload.inputTokens", 0), "spec.workload.inputTokens"),
    "both concurrency and rate": (with_field("workload.requestsPerMinute", 60), "requestsPerMinute"),
    "neither concurrency nor rate": (with_field("workload.concurrency", None), "concurrency"),
    "an SLA of 0 ms": (with_field("sla", {"ttftMilliseconds": 0, "tpotMilliseconds": 50}), "spec.sla.ttftMilliseconds"),
    "replicas while the operator owns scaling": (with_field("replicas", 2), "replicas"),
    "a negative limit of GPUs": (with_field("hardware.maxGpusTotal", -1), "spec.hardware.maxGpusTotal"),
    "money as a float": (with_field("hardware.maxCostPerHourUsd", 1.5), "spec.hardware.maxCostPerHourUsd"),
    "an unknown priority": (with_field("priority", "Urgent"), "spec.priority"),
    "more tokens than the context": (with_field("workload.maxContextTokens", 100), "maxContextTokens"),
}


@pytest.mark.parametrize("case", REJECTED, ids=list(REJECTED))
def test_the_api_server_rejects(kubectl: Kubectl, case: str) -> None:
    manifest, field = REJECTED[case]
    with pytest.raises(KubectlError) as error:
        kubectl.apply(manifest)
    assert field in str(error.value)


REFUSED = {
    "an unknown model without config": (
        with_field("model.name", "deepseek-ai/DeepSeek-R9"),
        "InvalidSpec",
        ["spec.model.name", "DeepSeek-R9", "did you mean"],
    ),
    "TP 3 for 28 heads": (with_field("parallelism.tensor", 3), "SplitIllegal", ["TP 3", "28"]),
    "an unknown GPU": (with_field("hardware.gpus", ["h100"]), "InvalidSpec", ["spec.hardware.gpus", "h100-sxm5-80gb"]),
    "a context longer than the model's": (
        with_field("workload.maxContextTokens", 1_000_000),
        "ContextTooLong",
        ["1,000,000 tokens", "131,072 tokens"],
    ),
    "an argument that contradicts the plan": (
        with_field("engine.extraArgs", ["--tensor-parallel-size=8"]),
        "InvalidSpec",
        ["spec.engine.extraArgs", "--tensor-parallel-size"],
    ),
    "a config with a missing field": (
        with_field("model", {"name": "me/mine", "config": {"architectures": ["LlamaForCausalLM"], "hidden_size": 64}}),
        "InvalidSpec",
        ["spec.model.config"],
    ),
    "an architecture that is not covered": (
        with_field("model", {"name": "me/mine", "config": {"architectures": ["MambaForCausalLM"]}}),
        "InvalidSpec",
        ["MambaForCausalLM"],
    ),
}


@pytest.mark.parametrize("case", REFUSED, ids=list(REFUSED))
def test_the_operator_refuses_in_one_sentence_and_serves_the_others(
    kubectl: Kubectl, tmp_path: Path, case: str
) -> None:
    manifest, reason, words = REFUSED[case]
    with running_operator(kubectl, tmp_path) as operator:
        kubectl.apply(manifest, small("good"))

        found = eventually(lambda: condition(kubectl, "wrong", "Planned"), what="the object is judged")

        assert (found["status"], found["reason"]) == ("False", reason), found["message"]
        assert [word for word in words if word not in found["message"]] == [], found["message"]
        assert "\n" not in found["message"]
        assert condition(kubectl, "wrong", "Ready")["status"] == "False"
        assert condition(kubectl, "wrong", "Stalled")["reason"] == reason
        wait_ready(kubectl, "good")
        assert operator.metric('deepseek_operator_reconciles_total{result="bug"}') == 0


def test_a_bad_edit_leaves_what_runs_alone(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small())
        wait_ready(kubectl, "small")
        [before] = kubectl("get", "pods", "-o", "json")["items"]

        kubectl.apply(small(parallelism={"tensor": 3}))
        eventually(lambda: condition(kubectl, "small", "Planned").get("reason") == "SplitIllegal")

        [after] = kubectl("get", "pods", "-o", "json")["items"]
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert condition(kubectl, "small", "Ready")["reason"] == "SplitIllegal"

        kubectl.apply(small())
        wait_ready(kubectl, "small")
        [again] = kubectl("get", "pods", "-o", "json")["items"]
        assert again["metadata"]["uid"] == before["metadata"]["uid"]


def test_an_image_that_cannot_be_pulled_is_named(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small(engine={"image": "registry.invalid/engine:1"}))

        found = eventually(
            lambda: condition(kubectl, "small", "Stalled"), lambda seen: seen.get("reason") == "ImagePullBackOff"
        )

        assert "registry.invalid/engine:1" in found["message"]
        assert condition(kubectl, "small", "Ready")["status"] == "False"


def test_missing_gpus_are_said_with_numbers_and_the_pods_wait(kubectl: Kubectl, tmp_path: Path) -> None:
    quarter = {"hardware": {"gpus": ["l40s"]}, "parallelism": {"tensor": 4}}
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small("first", **quarter, scaling={"minReplicas": 3, "maxReplicas": 3}))
        wait_ready(kubectl, "first")

        kubectl.apply(small(**quarter, scaling={"minReplicas": 2, "maxReplicas": 2}))

        found = wait_condition(kubectl, "small", "CapacityAvailable", "False", "InsufficientFreeGpus")
        assert "l40s" in found["message"]
        assert "room for 1" in found["message"]
        wait_condition(kubectl, "small", "Ready", "False", "WaitingForGpus")


def test_replicas_that_the_nodes_never_hold_are_refused_with_numbers(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(
            small(hardware={"gpus": ["l40s"]}, parallelism={"tensor": 4}, scaling={"minReplicas": 9, "maxReplicas": 9})
        )

        found = wait_condition(kubectl, "small", "Planned", "False", "TooFewNodes")
        assert "hold 4 replicas and scaling.minReplicas asks for 9" in found["message"]
