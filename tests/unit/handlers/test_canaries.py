"""Which changes are tried on part of the traffic: those that one Service can carry beside what runs."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.handlers.acceptance import AcceptedPlan
from deepseek_operator.handlers.canaries import Tracks, change_on_trial
from deepseek_operator.handlers.observed import Child
from deepseek_operator.resources.desired import desired, inputs_of
from model_factories import UID, make_deployment, make_plan

TRITON = {"type": "Triton", "image": "registry.example/triton:1"}


def on_trial(**engine: object) -> DeepSeekDeployment:
    return make_deployment(rollout={"canary": {"trafficPercent": 10}}, engine=engine)


def observed(manifest: dict[str, Any]) -> Child:
    """The child that the watch would show of a manifest."""
    annotations = manifest["metadata"].get("annotations", {})
    return Child(
        kind=manifest["kind"],
        namespace="chat",
        name=manifest["metadata"]["name"],
        uid="1",
        owner_uid=UID,
        version=1,
        ownership="",
        generation=1,
        replicas=1,
        template_hash=annotations.get("deepseek-operator.io/template-hash", ""),
        status={},
        data=manifest.get("data", {}),
    )


@pytest.mark.parametrize(
    ("runs", "asked", "tried"),
    [
        pytest.param({}, {"extraArgs": ["--seed=7"]}, True, id="other arguments"),
        pytest.param(TRITON, {**TRITON, "extraArgs": ["--seed=7"]}, True, id="other arguments inside Triton"),
        pytest.param({}, {}, False, id="nothing new"),
        pytest.param({}, {"tlsSecretRef": {"name": "tls"}}, False, id="TLS"),
        pytest.param({}, TRITON, False, id="from vLLM to Triton"),
        pytest.param(TRITON, {}, False, id="from Triton to vLLM"),
    ],
)
def test_changes_on_trial(runs: dict[str, Any], asked: dict[str, Any], tried: bool) -> None:
    plan = make_plan()
    known = AcceptedPlan(plan=plan, fingerprint="")
    made = desired(on_trial(**runs), plan, uid=UID, replicas=1, plan_hash=plan_hash(plan))
    children = {manifest["kind"]: observed(manifest) for manifest in made}
    tracks = Tracks(workload=children["Deployment"], canary=None, record=children["ConfigMap"])
    wanted = on_trial(**asked)
    revision = inputs_of(wanted, plan, plan_hash(plan)) if tried else ""
    assert change_on_trial(wanted, plan, known, tracks, None) == revision
