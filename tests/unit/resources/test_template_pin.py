"""A new operator version restarts nothing: the pod template is kept until its owner changes something."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.resources.desired import desired
from deepseek_operator.resources.names import ANNOTATION_TEMPLATE_HASH, Manifest
from deepseek_operator.resources.template_pin import TEMPLATE_KEY, template_hash
from model_factories import UID, make_deployment, make_plan


def parts(manifests: list[Manifest]) -> tuple[dict[str, str], str, Manifest]:
    """Return the ConfigMap's data, the workload's template hash and its template."""
    workload = manifests[-1]
    return (
        manifests[0]["data"],
        workload["metadata"]["annotations"][ANNOTATION_TEMPLATE_HASH],
        workload["spec"]["template"],
    )


def built_by_an_older_version() -> tuple[dict[str, str], str, Manifest]:
    """Return what an operator left behind whose builder wrote another environment and request."""
    data, _, template = parts(desired(make_deployment(), make_plan(), uid=UID, replicas=1, plan_hash="1f3a"))
    old = json.loads(json.dumps(template))
    old["spec"]["containers"][0]["env"].append({"name": "OLD_DEFAULT", "value": "1"})
    old["spec"]["containers"][0]["resources"]["requests"]["memory"] = "20Gi"
    return data | {TEMPLATE_KEY: json.dumps(old)}, template_hash(old), old


def template_after(
    deployment: DeepSeekDeployment, data: dict[str, str], workload_hash: str, plan_hash: str = "1f3a"
) -> Manifest:
    return parts(
        desired(
            deployment,
            make_plan(),
            uid=UID,
            replicas=1,
            plan_hash=plan_hash,
            kept=data,
            workload_template_hash=workload_hash,
        )
    )[2]


def test_an_upgrade_of_the_operator_applies_the_old_template_again() -> None:
    data, workload_hash, old = built_by_an_older_version()
    assert template_after(make_deployment(), data, workload_hash) == old


def test_a_kept_template_is_kept_by_the_next_pass_too() -> None:
    data, workload_hash, old = built_by_an_older_version()
    again = desired(
        make_deployment(),
        make_plan(),
        uid=UID,
        replicas=1,
        plan_hash="1f3a",
        kept=data,
        workload_template_hash=workload_hash,
    )
    next_data, next_hash, _ = parts(again)
    assert template_after(make_deployment(), next_data, next_hash) == old


@pytest.mark.parametrize(
    ("spec", "restarts"),
    [
        pytest.param({"scaling": {"minReplicas": 2, "maxReplicas": 4}}, False, id="scaling limits"),
        pytest.param({"rollout": {"maxSurge": 1}}, False, id="rollout limits"),
        pytest.param({"hardware": {"maxGpusTotal": 16}}, False, id="a budget"),
        pytest.param({"priority": "Standard"}, False, id="the default written out"),
        pytest.param({"engine": {"extraArgs": ["--seed=1"]}}, True, id="an engine argument"),
        pytest.param({"hardware": {"nodeSelector": {"zone": "b"}}}, True, id="a node selector"),
        pytest.param({"priority": "High"}, True, id="a priority"),
        pytest.param({"model": {"name": "deepseek-ai/deepseek-llm-67b-base"}}, True, id="the model"),
    ],
)
def test_only_a_change_that_pods_see_builds_a_new_template(spec: dict[str, Any], restarts: bool) -> None:
    data, workload_hash, old = built_by_an_older_version()
    assert (template_after(make_deployment(**spec), data, workload_hash) != old) is restarts


def test_a_new_plan_builds_a_new_template() -> None:
    data, workload_hash, old = built_by_an_older_version()
    assert template_after(make_deployment(), data, workload_hash, plan_hash="beef") != old


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda data, _: (data, "0" * 32), id="a ConfigMap that somebody edited"),
        pytest.param(lambda data, _: (data, ""), id="no workload to prove it"),
        pytest.param(lambda data, mark: (data | {TEMPLATE_KEY: "{"}, mark), id="text that is no JSON"),
        pytest.param(lambda data, mark: (data | {TEMPLATE_KEY: "[]"}, mark), id="JSON that is no template"),
        pytest.param(lambda _, mark: ({}, mark), id="no ConfigMap"),
    ],
)
def test_a_template_that_is_not_proved_is_built_anew(
    forge: Callable[[dict[str, str], str], tuple[dict[str, str], str]],
) -> None:
    data, workload_hash, old = built_by_an_older_version()
    assert template_after(make_deployment(), *forge(data, workload_hash)) != old
