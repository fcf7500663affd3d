"""Weights before pods: downloads, claims, and what a pod waits for, against the real API server.

Real are the API server, its admission (Pod Security), the controllers of Jobs, Deployments and claims, and the
scheduler. Pods are KWOK's: those of a Job succeed without running anything, and a container that waits is written into
its pod's status here with the words of a kubelet. What the program of the Job does is tested in
``tests/unit/pod_scripts``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.deployments import condition, small, uids, wait_condition, wait_ready
from cluster.kubectl import Kubectl, KubectlError
from cluster.operator_process import OperatorProcess, running_operator
from cluster.polling import eventually

MODEL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "manifests").glob("*.yaml"))
NEVER_PULLED = "registry.invalid/engine:1"


@pytest.fixture
def operator(kubectl: Kubectl, tmp_path: Path, resource_definition: None) -> Iterator[OperatorProcess]:
    with running_operator(kubectl, tmp_path) as process:
        yield process


def cached(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of the spec
    return small(model={"name": MODEL, "cache": {"claimName": "hub"}}, **spec)


def with_claim(kubectl: Kubectl, gibibytes: int, name: str = "hub") -> list[dict[str, Any]]:
    """Return a claim and a volume that it gets without any provisioner."""
    size = {"storage": f"{gibibytes}Gi"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{kubectl.namespace}-{name}"},
        "spec": {
            "capacity": size,
            "accessModes": ["ReadWriteMany"],
            "claimRef": {"namespace": kubectl.namespace, "name": name},
            "nfs": {"server": "192.0.2.1", "path": "/models"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "resources": {"requests": size},
            "volumeName": f"{kubectl.namespace}-{name}",
        },
    }
    return [volume, claim]


def kinds(kubectl: Kubectl) -> set[str]:
    return {kind for kind, _ in uids(kubectl, "configmaps,services,deployments,jobs,pods")}


def test_a_model_is_downloaded_before_any_pod_asks_for_a_gpu(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(*with_claim(kubectl, 100), cached(engine={"image": NEVER_PULLED}))

    found = wait_condition(kubectl, "small", "WorkloadReady", "False", "ImagePullBackOff")
    assert f"the download of {MODEL} into PersistentVolumeClaim hub waits; pod small-download-" in found["message"]
    assert NEVER_PULLED in found["message"]
    assert kinds(kubectl) == {"ConfigMap", "Service", "Job", "Pod"}
    [pod] = kubectl("get", "pods", "-o", "json")["items"]
    assert "nvidia.com/gpu" not in str(pod["spec"]["containers"][0]["resources"])
    [before] = kubectl("get", "jobs", "-o", "json")["items"]

    kubectl.apply(cached())
    wait_ready(kubectl, "small")

    [job] = kubectl("get", "jobs", "-o", "json")["items"]
    [engine] = kubectl("get", "pods", "--field-selector=status.phase=Running", "-o", "json")["items"]
    container = engine["spec"]["containers"][0]
    assert job["metadata"]["name"] != before["metadata"]["name"]
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in container["env"]
    assert {"name": "shared-cache", "mountPath": "/models/cache", "readOnly": True} in container["volumeMounts"]


def test_a_running_model_serves_while_another_revision_is_downloaded(
    operator: OperatorProcess, kubectl: Kubectl
) -> None:
    kubectl.apply(*with_claim(kubectl, 100), cached())
    wait_ready(kubectl, "small")
    before = uids(kubectl, "deployments")

    changed = cached(engine={"image": NEVER_PULLED})
    changed["spec"]["model"]["revision"] = "v2"
    kubectl.apply(changed)

    found = wait_condition(kubectl, "small", "WorkloadReady", "False", "ImagePullBackOff")
    assert found["message"].endswith("; 1 replica of before keep serving")
    [deployment] = kubectl("get", "deployments", "-o", "json")["items"]
    assert uids(kubectl, "deployments") == before
    assert deployment["status"]["readyReplicas"] == 1
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] != NEVER_PULLED

    changed["spec"].pop("engine")
    kubectl.apply(changed)
    wait_ready(kubectl, "small")
    [deployment] = kubectl("get", "deployments", "-o", "json")["items"]
    assert "--revision=v2" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]


@pytest.mark.parametrize(
    ("gibibytes", "reason", "words"),
    [
        pytest.param(0, "ClaimNotFound", ["PersistentVolumeClaim hub does not exist"], id="no such claim"),
        pytest.param(10, "ClaimTooSmall", ["10,737,418,240 bytes", "15,231,"], id="a claim smaller than the model"),
    ],
)
def test_a_claim_that_cannot_do_is_one_condition_and_nothing_is_made(
    operator: OperatorProcess, kubectl: Kubectl, gibibytes: int, reason: str, words: list[str]
) -> None:
    kubectl.apply(*(with_claim(kubectl, gibibytes) if gibibytes else ()), cached())

    found = wait_condition(kubectl, "small", "WorkloadReady", "False", reason)
    assert [word for word in words if word not in found["message"]] == [], found["message"]
    assert condition(kubectl, "small", "Stalled")["reason"] == reason
    assert kinds(kubectl) == set()

    if not gibibytes:
        kubectl.apply(*with_claim(kubectl, 100))
        wait_ready(kubectl, "small")


def test_a_new_cache_smaller_than_the_model_is_one_condition_and_nothing_is_made(
    operator: OperatorProcess, kubectl: Kubectl
) -> None:
    kubectl.apply(small(model={"name": MODEL, "cache": {"sizeBytes": 10**9}}))

    found = wait_condition(kubectl, "small", "Planned", "False", "InvalidSpec")
    assert found["message"].startswith("spec.model.cache.sizeBytes: 1,000,000,000 bytes do not hold")
    assert kinds(kubectl) == set()


def test_two_objects_share_a_claim_and_each_proves_that_its_weights_are_there(
    operator: OperatorProcess, kubectl: Kubectl
) -> None:
    second = cached()
    second["metadata"]["name"] = "second"
    kubectl.apply(*with_claim(kubectl, 100), cached(), second)
    wait_ready(kubectl, "small", "second")
    jobs = kubectl("get", "jobs", "-o", "json")["items"]
    assert sorted(each["metadata"]["name"].rpartition("-download-")[0] for each in jobs) == ["second", "small"]

    kubectl("delete", "dsd/small")
    eventually(lambda: len(kubectl("get", "jobs", "-o", "json")["items"]), lambda left: left == 1, within_seconds=60)
    assert kubectl("get", "pvc/hub", "-o", "json")["status"]["phase"] == "Bound"
    wait_ready(kubectl, "second")


def test_network_policies_come_and_go_with_their_field_and_restart_nothing(
    operator: OperatorProcess, kubectl: Kubectl
) -> None:
    def policies() -> set[str]:
        return {each["metadata"]["name"] for each in kubectl("get", "networkpolicies", "-o", "json")["items"]}

    kubectl.apply(*with_claim(kubectl, 100), cached(networkPolicy={"fromNamespaces": ["gateway"]}))
    wait_ready(kubectl, "small")
    pods = uids(kubectl, "pods")
    assert policies() == {"small", "small-download"}

    kubectl.apply(cached())
    eventually(policies, lambda found: found == set(), what="both policies are gone")
    assert uids(kubectl, "pods") == pods


def write_waiting(kubectl: Kubectl, pod: str, reason: str, message: str, **more: Any) -> None:  # noqa: ANN401 - status
    """Write what a kubelet writes for a container that waits; KWOK leaves a pod alone that is Running."""
    container = {
        "name": "engine",
        "image": "x",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}},
        **more,
    }
    conditions = [{"type": kind, "status": "False"} for kind in ("Ready", "ContainersReady")]
    patch = yaml.safe_dump({"status": {"conditions": conditions, "containerStatuses": [container]}})
    kubectl("patch", "pod", pod, "--subresource=status", "--type=strategic", "--patch", patch)


@pytest.mark.parametrize(
    ("reason", "told", "more", "says"),
    [
        pytest.param(
            "CreateContainerConfigError",
            'secret "keys" not found',
            {},
            'CreateContainerConfigError: secret "keys" not found',
            id="a Secret that is missing",
        ),
        pytest.param(
            "CrashLoopBackOff",
            "back-off 5m0s restarting failed container=engine",
            {"restartCount": 3, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
            "CrashLoopBackOff: container engine was restarted 3 times, last after exit code 137, OOMKilled",
            id="an engine without enough host memory",
        ),
    ],
)
def test_what_a_container_waits_for_is_one_condition(
    operator: OperatorProcess, kubectl: Kubectl, reason: str, told: str, more: dict[str, Any], says: str
) -> None:
    kubectl.apply(small(engine={"apiKeySecretRef": {"name": "keys", "key": "api"}}))
    wait_ready(kubectl, "small")
    [pod] = kubectl("get", "pods", "-o", "name").split()

    write_waiting(kubectl, pod.removeprefix("pod/"), reason, told, **more)

    found = wait_condition(kubectl, "small", "WorkloadReady", "False", reason)
    assert found["message"] == f"0 of 1 replica ready; {pod.replace('/', ' ')} waits, {says}"
    assert condition(kubectl, "small", "Stalled")["reason"] == reason


def test_a_host_path_in_a_restricted_namespace_is_told_with_what_to_do(
    operator: OperatorProcess, kubectl: Kubectl
) -> None:
    kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    kubectl.apply(small(model={"name": MODEL, "storage": {"hostPath": {"path": "/models"}}}))

    found = wait_condition(kubectl, "small", "WorkloadReady", "False", "FailedCreate")
    assert 'violates PodSecurity "restricted:latest"' in found["message"]
    assert 'volume "model" uses restricted volume type "hostPath"' in found["message"]
    assert "ask an administrator to allow it in this namespace" in found["message"]


def pod_templates(value: object) -> list[dict[str, Any]]:
    """Return every pod template in manifests, at any depth."""
    if isinstance(value, list):
        return [found for each in value for found in pod_templates(each)]
    if not isinstance(value, dict):
        return []
    spec = value.get("spec")
    if isinstance(spec, dict) and "containers" in spec:
        return [value]
    return [found for each in value.values() for found in pod_templates(each)]


def needs_an_administrator(spec: dict[str, Any]) -> str:
    """Return what of a pod the restricted standard forbids; empty when nothing is."""
    added = [each["securityContext"]["capabilities"].get("add") for each in spec["containers"]]
    if any(added):
        return "unrestricted capabilities"
    return "hostPath" if any("hostPath" in volume for volume in spec["volumes"]) else ""


@pytest.mark.parametrize("file", GOLDEN, ids=[file.stem for file in GOLDEN])
def test_every_pod_is_admitted_where_restricted_pods_are_enforced(
    kubectl: Kubectl, resource_definition: None, file: Path
) -> None:
    """But those with a directory of the node or locked memory for RDMA, which an administrator must allow."""
    kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    eventually(lambda: kubectl("get", "serviceaccount/default", "-o", "name"), what="the namespace is ready")
    templates = pod_templates(list(yaml.safe_load_all(file.read_text())))
    assert templates
    for template in templates:
        spec = {key: value for key, value in template["spec"].items() if key != "priorityClassName"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": "pod"}, "spec": spec}
        create = ("create", "--dry-run=server", "--validate=strict", "--filename=-")
        if forbidden := needs_an_administrator(spec):
            with pytest.raises(KubectlError, match=forbidden):
                kubectl(*create, stdin=pod)
        else:
            assert "created" in kubectl(*create, stdin=pod)
