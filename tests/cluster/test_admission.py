"""The chart's admission policy on the real API server: every limit is tried to be broken out of."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.kubectl import Kubectl, KubectlError
from cluster.polling import eventually
from spec_table import Changes, changed

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "deepseek-operator"
TEAM, OTHERS = "team-limited", "team-others"

VALUES = {
    "admission": {
        "limits": {"hostPath": True},
        "namespaces": {
            TEAM: {
                "priorities": ["Batch"],
                "priorityClasses": ["team-class"],
                "tolerations": ["team/gpu"],
                "gpus": ["l40s", "h100-sxm5-80gb"],
                "maxGpusTotal": 8,
                "maxCostPerHourUsd": "20.00",
                "hostPath": False,
            }
        },
    }
}

WITHIN: Changes = {
    "priority": "Batch",
    "hardware.gpus": ["l40s"],
    "hardware.maxGpusTotal": 8,
    "hardware.maxCostPerHourUsd": "20",
}
"""What the limited team may ask for."""


def rendered(folder: Path) -> list[dict[str, Any]]:
    """Return what the chart makes for admission, as Helm renders it."""
    values = folder / "values.yaml"
    values.write_text(yaml.safe_dump(VALUES))
    helm = str(Path(sys.executable).with_name("helm"))
    command = [helm, "template", "limits", str(CHART), "--values", str(values)]
    text = subprocess.run(
        [*command, "--show-only", "templates/admission.yaml"], check=True, capture_output=True, text=True
    ).stdout
    return [document for document in yaml.safe_load_all(text) if document]


@pytest.fixture(scope="module")
def limited(
    cluster_kubectl: Kubectl, resource_definition: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubectl]:
    """The policy at work, in two namespaces; taken away afterwards."""
    manifests = rendered(tmp_path_factory.mktemp("chart"))
    for name in (TEAM, OTHERS):
        cluster_kubectl("create", "namespace", name)
    cluster_kubectl.apply(*manifests)
    known_bad = changed({"hardware.gpus": ["b200-sxm-180gb"]})
    for namespace, bad in ((TEAM, known_bad), (OTHERS, changed({"priority": "Critical"}))):
        eventually(lambda: refusal(cluster_kubectl, namespace, bad), what="the policy is at work")  # noqa: B023 - called at once
    yield cluster_kubectl
    for manifest in manifests:
        cluster_kubectl("delete", "--filename=-", stdin=manifest)
    for name in (TEAM, OTHERS):
        cluster_kubectl("delete", "namespace", name, "--wait=false")


def refusal(kubectl: Kubectl, namespace: str, manifest: Mapping[str, Any]) -> str:
    """Return why the API server refuses an object; empty when it takes it."""
    there = {**manifest, "metadata": {"name": "tried"}}
    try:
        kubectl.within(namespace)("create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=there)
    except KubectlError as error:
        return str(error)
    return ""


def test_what_is_within_the_limits_is_taken(limited: Kubectl) -> None:
    assert refusal(limited, TEAM, changed(WITHIN)) == ""
    by_class = {path: value for path, value in WITHIN.items() if path != "priority"}
    assert refusal(limited, TEAM, changed(by_class | {"priorityClassName": "team-class"})) == ""
    assert refusal(limited, OTHERS, changed({})) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"priority": "Standard"}, "spec.priority Standard"),
        ({"priority": None}, "spec.priority Standard"),  # what an absent one stands for
        ({"priority": None, "priorityClassName": "system-node-critical"}, "system-node-critical is not allowed"),
        ({"engine.image": "evil.example/vllm/vllm-openai:v1"}, "evil.example"),
        ({"engine.image": "vllm/vllm-openai-evil:v1"}, "vllm-openai-evil"),
        (
            {"model.storage": {"image": {"reference": "evil.example/weights:1"}}},
            "evil.example/weights:1 is not allowed",
        ),
        ({"model.storage": {"hostPath": {"path": "/etc"}}}, "hostPath is not allowed"),
        ({"engine.extraArgs": ["--trust-remote-code"]}, "extraArgs holds a flag"),
        ({"engine.extraArgs": ["--trust_remote_code"]}, "extraArgs holds a flag"),
        ({"engine.extraArgs": ["--trust-remote-code=true"]}, "extraArgs holds a flag"),
        ({"engine.extraArgs": ["--Trust-Remote-Code"]}, "extraArgs holds a flag"),
        ({"engine.extraArgs": ["--trust-rem"]}, "extraArgs holds a flag"),
        ({"engine.extraArgs": ["--seed", "1", "--config", "/model/args.yaml"]}, "extraArgs holds a flag"),
        ({"engine.env": [{"name": "LD_PRELOAD", "value": "/model/x.so"}]}, "env holds a variable"),
        ({"engine.env": [{"name": "PYTHONPATH", "value": "/model"}]}, "env holds a variable"),
        ({"hardware.tolerations": [{"key": "other/gpu", "operator": "Exists"}]}, "only taints with these keys"),
        ({"hardware.tolerations": [{"operator": "Exists"}]}, "only taints with these keys"),
        ({"hardware.gpus": []}, "must name products of these"),
        ({"hardware.gpus": ["l40s", "b200-sxm-180gb"]}, "must name products of these"),
        ({"hardware.maxGpusTotal": 9}, "maxGpusTotal must be at most 8"),
        ({"hardware.maxGpusTotal": None}, "maxGpusTotal must be at most 8"),
        ({"hardware.maxCostPerHourUsd": "20.01"}, "maxCostPerHourUsd must be at most 20.00"),
        ({"hardware.maxCostPerHourUsd": None}, "maxCostPerHourUsd must be at most 20.00"),
    ],
)
def test_no_limit_can_be_broken_out_of(limited: Kubectl, changes: Changes, words: str) -> None:
    asked = {path: value for path, value in (WITHIN | changes).items() if value is not None}
    told = refusal(limited, TEAM, changed(asked))
    assert "is forbidden" in told, told
    assert words in told


REMEDY = "whoever manages the operator may change this with its chart's value"


@pytest.mark.parametrize(
    ("namespace", "changes", "sentence"),
    [
        (
            OTHERS,
            {"priority": "High"},
            "spec.priority High is not allowed in this namespace; allowed: Standard, Batch, None; "
            f"{REMEDY} admission.limits.priorities",
        ),
        (
            OTHERS,
            {"priorityClassName": "gold"},
            "spec.priorityClassName gold is not allowed in this namespace; allowed: none; "
            f"{REMEDY} admission.limits.priorityClasses",
        ),
        (
            TEAM,
            WITHIN | {"priority": "High"},
            "spec.priority High is not allowed in this namespace; allowed: Batch; "
            f"{REMEDY} admission.namespaces.{TEAM}.priorities",
        ),
        (
            OTHERS,
            {"hardware.tolerations": [{"key": "other/gpu", "operator": "Exists"}]},
            "spec.hardware.tolerations: only taints with these keys may be tolerated in this namespace: none; "
            f"{REMEDY} admission.limits.tolerations",
        ),
        (
            TEAM,
            WITHIN | {"model.storage": {"hostPath": {"path": "/etc"}}},
            f"spec.model.storage.hostPath is not allowed in this namespace; {REMEDY} "
            f"admission.namespaces.{TEAM}.hostPath",
        ),
    ],
)
def test_a_refusal_says_what_is_allowed_and_who_may_allow_more(
    limited: Kubectl, namespace: str, changes: Changes, sentence: str
) -> None:
    assert refusal(limited, namespace, changed(changes)).endswith(f"denied request: {sentence}")


def test_other_namespaces_have_the_limits_of_the_chart(limited: Kubectl) -> None:
    assert refusal(limited, OTHERS, changed({"model.storage": {"hostPath": {"path": "/models"}}})) == ""
    assert refusal(limited, OTHERS, changed({"engine.image": "vllm/vllm-openai:v0.32.0"})) == ""


@pytest.mark.parametrize("sample", sorted((ROOT / "manifests" / "samples").glob("*.yaml")), ids=lambda each: each.stem)
def test_every_sample_is_within_the_limits_of_the_chart(limited: Kubectl, sample: Path) -> None:
    model = next(each for each in yaml.safe_load_all(sample.read_text()) if each["kind"] == "DeepSeekDeployment")
    assert refusal(limited, OTHERS, model) == ""


def test_what_was_admitted_can_still_be_labelled_but_not_widened(limited: Kubectl) -> None:
    team = limited.within(TEAM)
    within = changed(WITHIN)
    team.apply({**within, "metadata": {"name": "admitted"}})
    team("label", "deepseekdeployment", "admitted", "cost-centre=7")
    with pytest.raises(KubectlError, match="maxGpusTotal must be at most 8"):
        team(
            *("patch", "deepseekdeployment", "admitted", "--type=merge"),
            "--patch",
            '{"spec": {"hardware": {"maxGpusTotal": 64}}}',
        )
    team("delete", "deepseekdeployment", "admitted")


def checked(kubectl: Kubectl) -> list[Any] | None:
    """Return the types of all policies' expressions, once the API server has looked at each."""
    found = kubectl("get", "validatingadmissionpolicies", "-o", "json")["items"]
    return [each["status"]["typeChecking"] for each in found] if all(each.get("status") for each in found) else None


def test_the_expressions_are_of_the_right_types(limited: Kubectl) -> None:
    assert eventually(lambda: checked(limited), what="the API server has checked the types") == [{}, {}]
