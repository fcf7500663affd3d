"""Every manifest is what the API server's own types say it is, and nothing a builder writes is lost on the way."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.resources.desired import desired
from deepseek_operator.resources.names import Manifest
from model_factories import UID, make_deployment, make_plan

TYPES = {
    "ConfigMap": client.V1ConfigMap,
    "Deployment": client.V1Deployment,
    "Job": client.V1Job,
    "PersistentVolumeClaim": client.V1PersistentVolumeClaim,
    "PodDisruptionBudget": client.V1PodDisruptionBudget,
    "Service": client.V1Service,
}

FULL_SPEC: dict[str, Any] = {
    "model": {
        "name": "deepseek-ai/deepseek-llm-67b-chat",
        "revision": "79648bef7658bb824e4630740f6e1484c1b0620b",
        "servedName": "chat",
        "storage": {"huggingFace": {"tokenSecretRef": {"name": "hub", "key": "token"}}},
        "cache": {"sizeBytes": 200 * 2**30, "storageClassName": "shared"},
    },
    "hardware": {
        "nodeSelector": {"zone": "b", "pool": "gpu"},
        "tolerations": [{"key": "team", "value": "chat", "effect": "NoSchedule"}],
    },
    "engine": {
        "image": "registry.example/vllm:1",
        "extraArgs": ["--seed=7", "--enable-prefix-caching"],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "apiKeySecretRef": {"name": "keys", "key": "api"},
        "tlsSecretRef": {"name": "cert"},
    },
    "priority": "High",
    "queueName": "gpu-queue",
    "rollout": {"maxSurge": 1, "maxUnavailable": 0},
}

STORAGES = {
    "claim": {"persistentVolumeClaim": {"claimName": "weights", "path": "llm/67b"}},
    "image": {"image": {"reference": "registry.example/weights:1"}},
    "node": {"hostPath": {"path": "/data/67b"}},
}


def manifests_of(replicas: int | None = 2, **spec: object) -> list[Manifest]:
    return desired(make_deployment(**spec), make_plan(), uid=UID, replicas=replicas, plan_hash="1f3a5c7e")


def of_kind(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = (manifest for manifest in manifests if manifest["kind"] == kind)
    return found


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="the 67B sample"),
        pytest.param(FULL_SPEC, id="a spec that uses every field that pods see"),
        *(
            pytest.param(
                {"model": {"name": "deepseek-ai/deepseek-llm-67b-chat", "storage": storage}},
                id=f"weights that already lie on a {kind} volume",
            )
            for kind, storage in STORAGES.items()
        ),
    ],
)
def test_manifests_survive_the_clients_types_unchanged(spec: dict[str, Any]) -> None:
    for manifest in manifests_of(**spec):
        parsed = TYPES[manifest["kind"]].model_validate(manifest)
        assert parsed.model_dump(mode="json", by_alias=True, exclude_none=True) == manifest


def test_manifests_come_in_the_order_to_apply_them() -> None:
    kinds = [manifest["kind"] for manifest in manifests_of(**FULL_SPEC)]
    assert kinds == [
        *("ConfigMap", "PersistentVolumeClaim", "Service", "ConfigMap", "Job", "PodDisruptionBudget", "Deployment")
    ]


def test_every_manifest_is_owned_and_labelled() -> None:
    for manifest in manifests_of(**FULL_SPEC):
        (reference,) = manifest["metadata"]["ownerReferences"]
        assert (reference["uid"], reference["controller"]) == (UID, True)
        assert manifest["metadata"]["labels"]["deepseek-operator.io/deployment"] == "deepseek-67b"
        assert manifest["metadata"]["namespace"] == "chat"


def test_a_rendered_manifest_has_no_owner_because_the_object_does_not_exist_yet() -> None:
    rendered = desired(make_deployment(), make_plan(), uid="", replicas=1, plan_hash="1f3a5c7e")
    assert [manifest["metadata"].get("ownerReferences") for manifest in rendered] == [None, None, None]


@pytest.mark.parametrize(
    ("replicas", "budget", "count"),
    [
        pytest.param(0, False, 0, id="scaled to zero: nothing to keep"),
        pytest.param(1, False, 1, id="a single replica never blocks a drain"),
        pytest.param(2, True, 2, id="two replicas are drained one at a time"),
        pytest.param(None, True, None, id="another owner of replicas may go above one"),
    ],
)
def test_replicas_and_their_budget(replicas: int | None, budget: bool, count: int | None) -> None:
    manifests = manifests_of(replicas)
    assert ("PodDisruptionBudget" in [manifest["kind"] for manifest in manifests]) is budget
    assert of_kind(manifests, "Deployment")["spec"].get("replicas") == count


def test_services_and_workloads_select_the_pods_that_are_made() -> None:
    manifests = manifests_of(**FULL_SPEC)
    workload = of_kind(manifests, "Deployment")["spec"]
    pod_labels = workload["template"]["metadata"]["labels"].items()
    assert workload["selector"]["matchLabels"].items() <= pod_labels
    assert of_kind(manifests, "Service")["spec"]["selector"].items() <= pod_labels
    assert of_kind(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= pod_labels


def test_the_selector_is_the_same_for_every_plan_and_spec() -> None:
    plans = [make_plan(), make_plan(gpu="h100-sxm5-80gb", parallelism=Parallelism(tensor=8), gpus_per_replica=8)]
    selectors = [
        of_kind(desired(deployment, plan, uid=UID, replicas=1, plan_hash=str(index)), "Deployment")["spec"]["selector"]
        for index, (deployment, plan) in enumerate(
            zip([make_deployment(), make_deployment(**FULL_SPEC)], plans, strict=True)
        )
    ]
    assert selectors[0] == selectors[1]


def test_service_and_probes_speak_tls_when_the_engine_does() -> None:
    manifests = manifests_of(**FULL_SPEC)
    container = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    (port,) = of_kind(manifests, "Service")["spec"]["ports"]
    assert (port["port"], port["targetPort"], container["ports"][0]["name"]) == (443, "https", "https")
    schemes = {container[probe]["httpGet"]["scheme"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert schemes == {"HTTPS"}


def test_the_queue_is_named_on_the_workload_alone() -> None:
    workload = of_kind(manifests_of(**FULL_SPEC), "Deployment")
    assert workload["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpu-queue"
    assert "kueue.x-k8s.io/queue-name" not in workload["spec"]["template"]["metadata"]["labels"]


def test_while_nothing_is_rolled_out_no_replica_is_added_unless_asked_to() -> None:
    strategies = [
        of_kind(manifests_of(**spec), "Deployment")["spec"]["strategy"]["rollingUpdate"] for spec in ({}, FULL_SPEC)
    ]
    assert strategies == [{"maxSurge": 0, "maxUnavailable": 1}, {"maxSurge": 1, "maxUnavailable": 0}]
