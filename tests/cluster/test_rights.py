"""The operator's rights proved by use: nothing of what it is granted stays unused, and nothing that it does is refused.

One operator with its own service account does everything that needs a right, on a control plane of its own; the API
server's audit log says what it asked for. What it may do is what `kubectl auth can-i --list` shows.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.claimed_gpus import device, device_class, resource_slice
from cluster.deployments import sample, small, status, wait_established, wait_ready
from cluster.fake_engine import RECORDED, fake_engine, move_to
from cluster.kubectl import Kubectl
from cluster.operator_process import OperatorProcess, running_operator
from cluster.polling import eventually
from cluster.rights import NAMESPACE, Right, own, requests_of, used
from deepseek_operator.sandbox import Binaries, FakeNode, SandboxState, alike, down, up

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "manifests" / "install"
GOLDEN = ROOT / "tests" / "golden" / "manifests"
CLAIMS = {"example.com/pool": "claims"}
NODES = (
    *alike(2, FakeNode("h100", "h100-sxm5-80gb", cpu_cores=192, memory_gib=2048)),
    *alike(2, FakeNode("a100", "a100-sxm4-80gb", cpu_cores=96, memory_gib=1152)),
    FakeNode("claims", labels={"nvidia.com/gpu.present": "true", **CLAIMS}),
)
CHILDREN = (
    *("configmaps", "services", "persistentvolumeclaims", "deployments", "jobs", "networkpolicies"),
    *("poddisruptionbudgets", "podmonitors", "resourceclaimtemplates"),
)
NOT_AUDITED = Right("deepseekdeployments.deepseek-operator.io/finalizers", "update")
"""Asked for by the admission of owner references, inside the API server; `test_missing_rights.py` shows its need."""


def definition(plural: str, kind: str, group: str) -> dict[str, Any]:
    """Return a definition of somebody else's kind that takes anything; only the rights to it are of interest."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"plural": plural, "kind": kind},
            "scope": "Namespaced",
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}},
            ],
        },
    }


POD_MONITORS = definition("podmonitors", "PodMonitor", "monitoring.coreos.com")
LEADER_WORKER_SETS = definition("leaderworkersets", "LeaderWorkerSet", "leaderworkerset.x-k8s.io")
VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "shared"},
    "spec": {"capacity": {"storage": "1Ti"}, "accessModes": ["ReadWriteMany"], "hostPath": {"path": "/srv"}},
}


def install(kubectl: Kubectl) -> None:
    """Apply the Kustomize base without the operator's own pod, and what GPUs by claims need."""
    kubectl("apply", "--server-side", "--filename", str(INSTALL / "namespace.yaml"))
    for name in yaml.safe_load((INSTALL / "kustomization.yaml").read_text())["resources"]:
        if name not in {"deployment.yaml", "namespace.yaml"}:
            kubectl("apply", "--server-side", "--filename", str(INSTALL / name))
    devices = [device(f"gpu-{index}", "NVIDIA L40S", "46068Mi") for index in range(2)]
    kubectl.apply(POD_MONITORS, VOLUME, device_class("gpu.nvidia.com", "gpu"), resource_slice("claims", *devices))
    wait_established(kubectl)


@pytest.fixture(scope="module")
def plane(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxState]:
    """A control plane with everything installed but the operator's pod."""
    directory = tmp_path_factory.mktemp("rights")
    try:
        state = up(directory, NODES, binaries=binaries, ends_with_caller=True)
        install(Kubectl(state.kubectl, state.kubeconfig))
        yield state
    finally:
        down(directory)


@pytest.fixture
def admin(plane: SandboxState) -> Kubectl:
    return Kubectl(plane.kubectl, plane.kubeconfig)


@pytest.fixture
def account(admin: Kubectl, tmp_path: Path) -> Kubectl:
    """kubectl with a token of the operator's service account and nothing else."""
    token = admin.within(NAMESPACE)("create", "token", "deepseek-operator").strip()
    config = yaml.safe_load(admin.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return Kubectl(admin.program, path, NAMESPACE)


def models(admin: Kubectl, name: str) -> Kubectl:
    """Return kubectl in a fresh namespace for models."""
    within = admin.within(name)
    within("create", "namespace", name)
    within("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    return within


def on_one_node() -> dict[str, Any]:
    """Return an object that makes a child of every kind that a model on one node can have."""
    return small(
        "single",
        model={
            "name": "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
            "cache": {"sizeBytes": 100 * 2**30},
        },
        hardware={"gpus": ["a100-sxm4-80gb"]},
        scaling={"owner": "External", "maxReplicas": 2},
        networkPolicy={},
    )


def on_two_nodes() -> dict[str, Any]:
    made = sample("deepseek-r1")
    made["spec"]["apply"] = "Auto"
    del made["spec"]["model"]["cache"], made["spec"]["priority"]
    made["spec"]["hardware"] = {"gpus": ["h100-sxm5-80gb"]}
    return made


def by_claim() -> dict[str, Any]:
    return small("claimed", hardware={"nodeSelector": CLAIMS, "gpus": ["l40s"]})


def lose_a_worker(kubectl: Kubectl) -> None:
    """Delete one pod of the group; the operator deletes the other one."""
    pods = kubectl("get", "pods", "-l", "deepseek-operator.io/deployment=deepseek-r1", "-o", "json")["items"]
    [leader] = [each for each in pods if each["metadata"]["labels"]["deepseek-operator.io/role"] == "leader"]
    [worker] = [each for each in pods if each["metadata"]["labels"]["deepseek-operator.io/role"] == "worker"]
    kubectl("delete", "pod", worker["metadata"]["name"], "--grace-period=1", "--wait=false")
    name, uid = leader["metadata"]["name"], leader["metadata"]["uid"]
    eventually(
        lambda: kubectl("get", "pod", name, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"),
        lambda found: found not in {"", uid},
        within_seconds=60,
        what="the leader is new",
    )


def scale_up(kubectl: Kubectl) -> None:
    """Ask for a second replica, and with it for a disruption budget."""
    kubectl("scale", "dsd", "single", "--replicas=2")
    eventually(lambda: status(kubectl, "single").get("readyReplicas"), lambda found: found == 2)


def scale_down(kubectl: Kubectl) -> None:
    """Let one of two replicas go while the other has requests."""
    selector = status(kubectl, "single")["selector"]
    names = [pod["metadata"]["name"] for pod in kubectl("get", "pods", "-l", selector, "-o", "json")["items"]]
    with contextlib.ExitStack() as engines:
        for number, name in enumerate(names):
            running = f'vllm:num_requests_running{{engine="0"}} {number}.0\n'
            page = "\n".join(line for line in RECORDED.splitlines() if "num_requests_running{" not in line)
            move_to(kubectl, name, engines.enter_context(fake_engine(f"{page}\n{running}")).address)
        kubectl("scale", "dsd", "single", "--replicas=1")
        eventually(lambda: status(kubectl, "single").get("replicas"), lambda found: found == 1)


def take_away(kubectl: Kubectl, *kinds: str) -> None:
    """Take the owner and a label from every child, as somebody's script might; they are taken back."""
    away = '{"metadata":{"ownerReferences":null,"labels":{"app.kubernetes.io/name":"other"}}}'
    for each in made(kubectl, *kinds):
        kubectl("patch", *each, "--type=merge", f"--patch={away}")
    eventually(
        lambda: [each for each in made(kubectl, *kinds) if not owned(kubectl, *each)],
        lambda found: not found,
        what="every child has its owner again",
    )


def made(kubectl: Kubectl, *kinds: str) -> list[tuple[str, str]]:
    """Return kind and name of all children of some kinds."""
    items = kubectl("get", ",".join(kinds), "-l", "app.kubernetes.io/managed-by=deepseek-operator", "-o", "json")
    return [(each["kind"].lower(), each["metadata"]["name"]) for each in items["items"]]


def owned(kubectl: Kubectl, kind: str, name: str) -> bool:
    return "ownerReferences" in kubectl("get", kind, name, "-o", "json")["metadata"]


def superfluous(kubectl: Kubectl, *kinds: str) -> None:
    """Make a child of each kind that nobody wants, and wait until the operator has deleted it."""
    owner = kubectl("get", "dsd", "single", "-o", "json")
    reference = {key: owner[key] for key in ("apiVersion", "kind")}
    reference |= {"name": "single", "uid": owner["metadata"]["uid"], "controller": True}
    strays = []
    for kind in kinds:
        stray = next(each for each in golden() if each["kind"] == kind)
        labels = {**stray["metadata"]["labels"], "deepseek-operator.io/deployment": "single"}
        stray["metadata"] = {"name": f"stray-{kind.lower()}", "labels": labels, "ownerReferences": [reference]}
        strays.append(stray)
    kubectl("create", "--filename=-", stdin={"apiVersion": "v1", "kind": "List", "items": strays})
    names = [f"{each['kind'].lower()}/{each['metadata']['name']}" for each in strays]
    kubectl("wait", "--for=delete", "--timeout=60s", *names)


def golden() -> Iterator[dict[str, Any]]:
    for file in sorted(GOLDEN.glob("*.yaml")):
        yield from yaml.safe_load_all(file.read_text())


def test_every_right_is_used_and_nothing_is_refused(
    plane: SandboxState, admin: Kubectl, account: Kubectl, tmp_path: Path
) -> None:
    kubectl = models(admin, "models")
    with running_operator(account, tmp_path, everywhere=True, engines=True) as operator:
        kubectl.apply(on_one_node(), on_two_nodes(), by_claim())
        admin.apply({**sample("capacity/two-more-nodes"), "spec": {}})
        wait_ready(kubectl, "single", "deepseek-r1", "claimed")
        lose_a_worker(kubectl)
        scale_up(kubectl)
        take_away(kubectl, *CHILDREN, "statefulsets")
        scale_down(kubectl)
        superfluous(
            kubectl,
            *("ConfigMap", "Service", "PersistentVolumeClaim", "Deployment", "StatefulSet", "Job", "NetworkPolicy"),
            *("PodDisruptionBudget", "PodMonitor", "ResourceClaimTemplate"),
        )
        kubectl("delete", "dsd", "deepseek-r1")
        assert_told(admin, operator)
    admin.apply(LEADER_WORKER_SETS)
    admin("wait", "--for=condition=Established", f"crd/{LEADER_WORKER_SETS['metadata']['name']}")
    with running_operator(account, tmp_path, everywhere=True):
        kubectl.apply({**on_two_nodes(), "metadata": {"name": "group"}})
        eventually(lambda: made(kubectl, "leaderworkersets"), what="the group", within_seconds=60)
        take_away(kubectl, "leaderworkersets")
        superfluous(kubectl, "LeaderWorkerSet")

    asked = requests_of(plane.directory / "audit.log")
    assert [each for each in asked if each.code == 403] == []
    held = own(kubectl) | own(admin.within(NAMESPACE))
    assert (sorted(held - used(asked)), sorted(used(asked) - held)) == ([NOT_AUDITED], [])


def assert_told(admin: Kubectl, operator: OperatorProcess) -> None:
    """The question about the cluster is answered; nothing was refused, which the operator counts too."""
    eventually(lambda: json.dumps(admin("get", "capacityplans", "-o", "json")), lambda found: '"Fits"' in found)
    assert 'status="403"' not in operator.page("/metrics")
