"""The real API server's judgement of specs: the same as the command line's, in the same words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.kubectl import Kubectl, KubectlError
from deepseek_operator.api.conditions import ORDER, Observation, set_conditions
from deepseek_operator.api.plan_status import infeasible_status, plan_status, summary_status
from deepseek_operator.planner.result import Infeasible, InfeasibleReason
from model_factories import make_plan
from spec_table import ACCEPTED, BROKEN_RULES, OUT_OF_RANGE, Changes, changed

pytestmark = pytest.mark.usefixtures("resource_definition")

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))
EXTERNAL = {"scaling": {"owner": "External", "maxReplicas": 3}}


def try_to_create(kubectl: Kubectl, manifest: Mapping[str, Any]) -> None:
    """Ask the API server, with strict validation, and store nothing."""
    there = {**manifest, "metadata": {"name": manifest["metadata"]["name"]}}
    kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=there)


def test_the_definition_is_accepted_word_by_word(cluster_kubectl: Kubectl) -> None:
    file = ROOT / "crds" / "deepseekdeployments.deepseek-operator.io.yaml"
    cluster_kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", f"--filename={file}")
    written = yaml.safe_load(file.read_text())["spec"]["versions"][0]["schema"]
    stored = cluster_kubectl("get", "crd", "deepseekdeployments.deepseek-operator.io", "-o", "json")
    assert stored["spec"]["versions"][0]["schema"] == written


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.stem for sample in SAMPLES])
def test_samples_are_accepted(kubectl: Kubectl, sample: Path) -> None:
    kubectl("create", "--dry-run=server", "--validate=strict", f"--filename={sample}")


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_a_right_spec_is_accepted(kubectl: Kubectl, changes: Changes) -> None:
    try_to_create(kubectl, changed(changes))


@pytest.mark.parametrize(("changes", "field", "sentence"), BROKEN_RULES.values(), ids=BROKEN_RULES)
def test_a_broken_rule_is_told_in_the_sentence_of_the_command_line(
    kubectl: Kubectl, changes: Changes, field: str, sentence: str
) -> None:
    with pytest.raises(KubectlError) as error:
        try_to_create(kubectl, changed(changes))
    assert f"{field}: Invalid value" in str(error.value)
    assert sentence in str(error.value)


@pytest.mark.parametrize(("changes", "field"), [case[:2] for case in OUT_OF_RANGE.values()], ids=OUT_OF_RANGE)
def test_a_value_out_of_range_is_told_with_its_field(kubectl: Kubectl, changes: Changes, field: str) -> None:
    with pytest.raises(KubectlError) as error:
        try_to_create(kubectl, changed(changes))
    assert field in str(error.value)


def test_a_typo_is_refused_by_kubectl_and_dropped_for_clients_that_do_not_ask(kubectl: Kubectl) -> None:
    wrong = changed({"hardware": {"maxGpuTotal": 4}})
    with pytest.raises(KubectlError, match=r'unknown field "spec.hardware.maxGpuTotal"'):
        try_to_create(kubectl, wrong)
    lax = {**wrong, "metadata": {"name": "lax"}}
    stored = kubectl("create", "--dry-run=server", "--validate=ignore", "-o", "json", "--filename=-", stdin=lax)
    assert stored["spec"]["hardware"] == {"spot": "Never"}


def test_an_empty_field_is_left_out_by_the_api_server_so_only_the_command_line_can_refuse_it(kubectl: Kubectl) -> None:
    empty = {**changed({"hardware.maxGpusTotal": None}), "metadata": {"name": "empty"}}
    stored = kubectl("create", "--dry-run=server", "--validate=strict", "-o", "json", "--filename=-", stdin=empty)
    assert stored["spec"]["hardware"] == {"spot": "Never"}


def scale_path(kubectl: Kubectl, name: str) -> str:
    return f"/apis/deepseek-operator.io/v1alpha1/namespaces/{kubectl.namespace}/deepseekdeployments/{name}/scale"


def test_the_operators_own_replicas_cannot_be_scaled_from_outside(kubectl: Kubectl) -> None:
    kubectl.apply(within(kubectl, changed({})))
    with pytest.raises(KubectlError, match="the operator owns the number of replicas"):
        kubectl("scale", "dsd/small", "--replicas=2")
    with pytest.raises(KubectlError, match=r'the spec replicas field "\.spec\.replicas" does not exist'):
        kubectl("get", "--raw", scale_path(kubectl, "small"))


def within(kubectl: Kubectl, manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest | {"metadata": {"name": manifest["metadata"]["name"], "namespace": kubectl.namespace}}


def test_an_external_scaler_owns_replicas_from_its_first_number_on(kubectl: Kubectl) -> None:
    manifest = within(kubectl, changed(EXTERNAL))
    kubectl.apply(manifest)
    kubectl("scale", "dsd/small", "--replicas=2")
    assert json.loads(kubectl("get", "--raw", scale_path(kubectl, "small")))["spec"] == {"replicas": 2}

    kubectl.apply(manifest)
    kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=manifest)
    assert kubectl("get", "dsd", "small", "-o", "json")["spec"]["replicas"] == 2

    with pytest.raises(KubectlError, match=r"replicas must be at most scaling\.maxReplicas"):
        kubectl("scale", "dsd/small", "--replicas=4")


def test_the_operator_takes_scaling_back_when_replicas_goes_in_the_same_edit(kubectl: Kubectl) -> None:
    kubectl.apply(within(kubectl, changed(EXTERNAL | {"replicas": 2})))
    back: dict[str, Any] = {"spec": {"scaling": {"owner": "Operator"}}}
    with pytest.raises(KubectlError, match="remove replicas"):
        kubectl("patch", "dsd", "small", "--type=merge", "--patch", json.dumps(back))
    back["spec"]["replicas"] = None
    kubectl("patch", "dsd", "small", "--type=merge", "--patch", json.dumps(back))
    assert "replicas" not in kubectl("get", "dsd", "small", "-o", "json")["spec"]


def full_status() -> dict[str, Any]:
    plan = make_plan()
    refused = Infeasible(
        reason=InfeasibleReason.SLA_UNREACHABLE, message="too slow", nearest="more", alternatives=plan.alternatives
    )
    observations = [Observation(type=kind, holds=True, reason="Because", message="because") for kind in ORDER]
    decision = {"time": "2026-06-01T00:00:00Z", "fromReplicas": 1, "toReplicas": 2, "reason": "DemandRises"}
    decision["message"] = "1 to 2 replicas: 900 tokens/s now"
    return {
        "observedGeneration": 1,
        "conditions": set_conditions([], observations, "2026-06-01T00:00:00Z", 1),
        "plan": plan_status(plan),
        "proposedPlan": plan_status(make_plan(gpu="h100-sxm5-80gb")),
        "infeasible": infeasible_status(refused),
        "fingerprint": "3a7972f2cd04ec39",
        "observed": {
            "planHash": "57fe079f",
            "variant": "",
            "pod": "small-0",
            "image": "vllm/vllm-openai:v0.32.0",
            "engineRelease": "0.32.0",
            "kvCacheTokens": 97,
            "kvCacheBlocks": 1,
            "blockSize": 16,
            "sizedByHand": False,
            "plannedKvCacheTokens": 100,
            "differencePercent": -3,
            "bandPercent": 13,
        },
        "replicas": 1,
        "readyReplicas": 1,
        "selector": "deepseek-operator.io/deployment=small",
        "endpoint": "http://small.default.svc:8000/v1",
        "scaling": {"desiredReplicas": 1, "decisions": [decision]},
        "summary": summary_status(plan, ready=1, wanted=1),
    }


def test_the_whole_status_is_kept_and_shown(kubectl: Kubectl) -> None:
    kubectl.apply(within(kubectl, changed({})))
    patch = json.dumps({"status": full_status()})
    kubectl("patch", "dsd", "small", "--subresource=status", "--type=merge", "--patch", patch)

    stored = kubectl("get", "dsd", "small", "-o", "json")["status"]
    assert stored == full_status()

    names, values = (line.split() for line in kubectl("get", "dsd", "small", "-o", "wide").splitlines())
    assert names == ["NAME", "MODEL", "GPUS", "PARALLEL", "READY", "SLA", "REASON", "AGE", "COST/H", "ENDPOINT"]
    shown = " ".join(values)
    assert "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B 4 x a100-sxm4-80gb TP4 1/1 True Because" in shown
    assert shown.endswith("7.16 http://small.default.svc:8000/v1")
