"""Laws of everything that is made for one object, over the products of engine, storage, sharing, nodes and cluster."""

from __future__ import annotations

import json
import re
from typing import Any

import kubernetes.client
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.planner.gpu_share import ShareMechanism
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.desired import WORKLOADS, desired
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.resources.names import Manifest, selector_labels
from deepseek_operator.resources.runnable import is_runnable
from manifest_cases.groups import STAGES, WIDE
from manifest_cases.sharing import mig, part
from model_factories import UID, make_deployment, make_plan

ENGINES: list[dict[str, Any]] = [
    {},
    {"type": "VLLM", "apiKeySecretRef": {"name": "keys", "key": "api"}, "tlsSecretRef": {"name": "tls"}},
    {"speculative": {"method": "NGram", "tokens": 3}},
    {"kvOffload": {"hostMemoryBytes": 10_000_000_000}},
    {"type": "Triton", "image": "registry.example/tritonserver:vllm-0.32.0"},
    {"extraArgs": ["--seed=7"], "env": [{"name": "A", "value": "b"}]},
]
STORAGES: list[dict[str, Any]] = [
    {},
    {"storage": {"huggingFace": {"tokenSecretRef": {"name": "hub", "key": "token"}}}},
    {"cache": {"sizeBytes": 900_000_000_000}},
    {"cache": {"claimName": "hub-cache"}},
    {"storage": {"persistentVolumeClaim": {"claimName": "models", "path": "a/b"}}},
    {"storage": {"image": {"reference": "registry.example/models/a@sha256:00"}}},
    {"storage": {"hostPath": {"path": "/data/models/a"}}},
]
PLANS = [
    make_plan(),
    make_plan(gpus_per_replica=1, gpu="h200-sxm"),
    STAGES,
    WIDE,
    mig("h100-sxm5-80gb", "3g.40gb"),
    part("l40s", ShareMechanism.TIME_SLICING, 4),
    part("l40s", ShareMechanism.MPS, 2),
    part("l40s", ShareMechanism.HAMI, 2),
    part("l40s", ShareMechanism.KAI, 2, resource=""),
]
FEATURES = [
    ClusterFeatures(),
    ClusterFeatures(leader_worker_set=True),
    ClusterFeatures(leader_worker_set=True, kueue=True, volcano=True),
    ClusterFeatures(kai=True),
]

asked = st.fixed_dictionaries(
    {
        "engine": st.sampled_from(ENGINES),
        "storage": st.sampled_from(STORAGES),
        "plan": st.sampled_from(PLANS),
        "features": st.sampled_from(FEATURES),
        "queue": st.sampled_from(["", "gpus"]),
        "replicas": st.sampled_from([None, 0, 1, 3]),
        "sharing": st.sampled_from(["Auto", "Shared"]),
    }
)


def made(case: dict[str, Any]) -> tuple[str, list[Manifest]]:
    """Return why nothing can be run, or the manifests."""
    plan: Plan = case["plan"]
    deployment = make_deployment(
        "chat",
        model={"name": plan.model_name, **case["storage"]},
        engine=case["engine"],
        queueName=case["queue"],
        sharing=case["sharing"],
    )
    why_not = is_runnable(plan, deployment, case["features"])
    try:
        return why_not, desired(
            deployment,
            plan,
            uid=UID,
            replicas=case["replicas"],
            plan_hash="1f3a5c7e",
            features=case["features"],
        )
    except InvalidSpecError as error:
        return str(error), []


def templates(manifests: list[Manifest]) -> list[Manifest]:
    """Return every pod template of the workloads."""
    found: list[Manifest] = []
    for manifest in manifests:
        if manifest["kind"] == "LeaderWorkerSet":
            group = manifest["spec"]["leaderWorkerTemplate"]
            found += [group[key] for key in ("leaderTemplate", "workerTemplate") if key in group]
        elif manifest["kind"] in WORKLOADS:
            found.append(manifest["spec"]["template"])
    return found


@settings(deadline=None)
@given(case=asked)
def test_it_is_refused_in_one_sentence_or_made_whole(case: dict[str, Any]) -> None:
    refused, manifests = made(case)
    if refused:
        assert "\n" not in refused
        assert not [manifest for manifest in manifests if manifest["kind"] in WORKLOADS]
        return
    assert [manifest["kind"] for manifest in manifests].count("Service") >= 1
    assert any(manifest["kind"] in WORKLOADS for manifest in manifests) or case["replicas"] == 0
    keys = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(set(keys)) == len(keys)
    assert made(case) == (refused, manifests)


@settings(deadline=None)
@given(case=asked)
def test_the_client_library_knows_every_field(case: dict[str, Any]) -> None:
    for manifest in made(case)[1]:
        model = getattr(kubernetes.client, f"V1{manifest['kind']}", None)
        if model is not None:
            model.model_validate(manifest)


@settings(deadline=None)
@given(case=asked)
def test_pods_are_restricted_and_hold_no_secret(case: dict[str, Any]) -> None:
    _, manifests = made(case)
    for template in templates(manifests):
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"]["drop"] == ["ALL"]
            for variable in container.get("env", ()):
                if re.search("TOKEN$|API_KEY$|PASSWORD$", variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"]
    assert not [manifest for manifest in manifests if manifest["kind"] == "Secret"]


@settings(deadline=None)
@given(case=asked)
def test_one_pod_per_replica_answers_and_all_of_it_takes_the_planned_gpus(case: dict[str, Any]) -> None:
    refused, manifests = made(case)
    plan: Plan = case["plan"]
    found = templates(manifests)
    if refused or not found:
        return
    leaders = [each for each in found if selector_labels("chat").items() <= each["metadata"]["labels"].items()]
    assert leaders
    per_pod = plan.gpus_per_replica // plan.nodes_per_replica
    for template in found:
        limits = [container["resources"].get("limits", {}) for container in template["spec"]["containers"]]
        gpus = [
            int(amount) for limit in limits for name, amount in limit.items() if re.search(r"/(gpu|mig-\S+)$", name)
        ]
        if plan.share is None:
            assert sum(gpus) == per_pod
        elif plan.share.resource:
            assert sum(gpus) == 1


@settings(deadline=None)
@given(case=asked)
def test_what_else_the_cluster_offers_never_changes_a_replica_on_one_node(case: dict[str, Any]) -> None:
    if case["plan"].nodes_per_replica > 1 or case["plan"].share is not None:
        return
    refused, manifests = made(case)
    other = made(case | {"features": ClusterFeatures(leader_worker_set=True, kai=True, volcano=True)})
    if not refused and not other[0]:
        assert json.dumps(templates(manifests)) == json.dumps(templates(other[1]))
