from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.kubectl import Kubectl, KubectlError
from cluster.polling import eventually
from deepseek_operator.errors import SandboxError
from deepseek_operator.sandbox import (
    DEFAULT_NODES,
    KUBERNETES_VERSION,
    Binaries,
    FakeNode,
    SandboxState,
    down,
    status,
    up,
)


def pod(name: str, product: str = "", gpus: int = 0, image: str = "example/model-server:1") -> dict:
    requirement = {"key": "nvidia.com/gpu.product", "operator": "In", "values": [product]}
    terms = [{"matchExpressions": [requirement]}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
            }
            if product
            else {},
            "containers": [
                {
                    "name": "server",
                    "image": image,
                    "resources": {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {},
                }
            ],
        },
    }


def config_map(name: str, owner_references: list[dict] | None = None) -> dict:
    metadata = {"name": name, "ownerReferences": owner_references or []}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def test_the_api_server_has_the_pinned_version(cluster_kubectl: Kubectl):
    assert cluster_kubectl("version", "-o", "json")["serverVersion"]["gitVersion"] == KUBERNETES_VERSION


def test_kubectl_has_the_pinned_version(cluster_kubectl: Kubectl):
    assert cluster_kubectl("version", "-o", "json")["clientVersion"]["gitVersion"] == KUBERNETES_VERSION


def test_fake_nodes_are_ready_and_offer_their_gpus(cluster_kubectl: Kubectl):
    nodes = {node["metadata"]["name"]: node for node in cluster_kubectl("get", "nodes", "-o", "json")["items"]}
    assert set(nodes) == {node.name for node in DEFAULT_NODES}
    for node in nodes.values():
        ready = [one["status"] for one in node["status"]["conditions"] if one["type"] == "Ready"]
        assert ready == ["True"]
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
        assert node["spec"].get("taints", []) == []


def test_nodes_keep_their_leases(cluster_kubectl: Kubectl):
    leases = cluster_kubectl("get", "leases", "--namespace=kube-node-lease", "-o", "json")["items"]
    assert {lease["metadata"]["name"] for lease in leases} >= {node.name for node in DEFAULT_NODES}


def test_a_pod_lands_on_the_product_it_asks_for_and_becomes_ready(kubectl: Kubectl):
    kubectl.apply(pod("wants-l40s", "NVIDIA-L40S", gpus=2))
    kubectl("wait", "--for=condition=Ready", "pod/wants-l40s", "--timeout=30s")
    assert kubectl("get", "pod", "wants-l40s", "-o", "json")["spec"]["nodeName"].startswith("l40s-")


def test_a_pod_that_asks_for_more_gpus_than_a_node_has_stays_pending(kubectl: Kubectl):
    kubectl.apply(pod("too-big", "NVIDIA-L40S", gpus=9))
    kubectl("wait", "--for=condition=PodScheduled=false", "pod/too-big", "--timeout=30s")
    assert kubectl("get", "pod", "too-big", "-o", "json")["status"]["phase"] == "Pending"


def test_a_pod_whose_image_does_not_exist_waits_with_the_reason_of_a_real_node(kubectl: Kubectl):
    kubectl.apply(pod("typo", image="registry.invalid/model-server:1"))
    reason = "{.status.containerStatuses[0].state.waiting.reason}"
    kubectl("wait", f"--for=jsonpath={reason}=ImagePullBackOff", "pod/typo", "--timeout=30s")


def test_a_deleted_pod_goes_at_once_and_frees_its_gpus(kubectl: Kubectl):
    kubectl.apply(*(pod(f"first-{number}", "NVIDIA-L40S", gpus=8) for number in range(2)))
    kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=30s")
    kubectl("delete", "pod", "--all", "--timeout=20s")
    kubectl.apply(pod("second", "NVIDIA-L40S", gpus=8))
    kubectl("wait", "--for=condition=Ready", "pod/second", "--timeout=30s")


def test_what_an_object_owns_is_deleted_with_it(kubectl: Kubectl):
    kubectl.apply(config_map("owner"))
    uid = kubectl("get", "configmap", "owner", "-o", "json")["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    kubectl.apply(config_map("owned", [reference]))
    kubectl("delete", "configmap", "owner")
    kubectl("wait", "--for=delete", "configmap/owned", "--timeout=30s")


def test_a_service_account_may_do_only_what_its_role_says(kubectl: Kubectl, namespace: str):
    kubectl("create", "serviceaccount", "reader")
    kubectl("create", "role", "reads-pods", "--verb=list", "--resource=pods")
    kubectl("create", "rolebinding", "reader", "--role=reads-pods", f"--serviceaccount={namespace}:reader")
    token = kubectl("create", "token", "reader").strip()
    as_reader = f"--token={token}"
    eventually(lambda: kubectl("auth", "can-i", "list", "pods", as_reader).strip(), lambda said: said == "yes")
    assert kubectl("get", "pods", as_reader, "-o", "json")["items"] == []
    with pytest.raises(KubectlError, match="Forbidden"):
        kubectl("get", "secrets", as_reader)


def test_the_kubeconfig_is_for_its_owner_only(sandbox: SandboxState):
    assert sandbox.kubeconfig.stat().st_mode & 0o077 == 0
    assert sandbox.directory.stat().st_mode & 0o077 == 0


def test_down_removes_its_own_processes_and_directory_and_nothing_else(
    sandbox: SandboxState, binaries: Binaries, tmp_path: Path
):
    beside = tmp_path / "beside"
    beside.write_text("mine")
    directory = tmp_path / "second"
    second = up(directory, [FakeNode("cpu-only")], binaries=binaries, ends_with_caller=True)
    try:
        assert Kubectl(second.kubectl, second.kubeconfig)("get", "nodes", "-o", "name") == "node/cpu-only\n"
        with pytest.raises(SandboxError, match="already runs"):
            up(directory, [], binaries=binaries)
    finally:
        ended = down(directory)
    assert ended
    assert not directory.exists()
    assert beside.read_text() == "mine"
    assert not any(Path(f"/proc/{process.pid}").exists() for process in second.processes)
    here = status(sandbox.directory)
    assert here is not None
    assert here.healthy
    assert not down(directory)


def test_a_component_that_cannot_start_is_named_and_everything_else_is_taken_down(binaries: Binaries, tmp_path: Path):
    broken = tmp_path / "broken-scheduler"
    broken.write_text("#!/bin/sh\necho 'unknown flag: --config' >&2\nexit 1\n")
    broken.chmod(0o755)
    directory = tmp_path / "sandbox"
    with pytest.raises(SandboxError) as raised:
        up(directory, [], binaries=Binaries({**binaries.paths, "kube-scheduler": broken}))
    assert str(raised.value) == "kube-scheduler ended while starting: unknown flag: --config"
    assert not directory.exists()
    assert str(directory) not in json.dumps(_working_directories())


def _working_directories() -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append(str((process / "cwd").readlink()))
        except OSError:  # ended meanwhile, or another user's
            continue
    return found
