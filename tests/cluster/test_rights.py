"""The operator's rights proved by use: nothing that it is granted stays unused, and what is missing is told by name.

One operator with its own service account does everything that needs a right, on a control plane of its own; the API
server's audit log says what it asked for. What it may do is what `kubectl auth can-i --list` shows. Another
one works in namespaces in each of which it lacks a right.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.claimed_gpus import device, device_class, resource_slice
from cluster.deployments import sample, small, status, wait_condition, wait_established, wait_ready
from cluster.fake_engine import RECORDED, fake_engine, move_to
from cluster.kubectl import Kubectl
from cluster.operator_process import OperatorProcess, running_operator
from cluster.polling import eventually
from cluster.rights import LEADER_WORKER_SETS, NAMESPACE, POD_MONITORS, Right, own, requests_of, used
from deepseek_operator.sandbox import Binaries, FakeNode, SandboxState, alike, down, up

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "deepseek-operator"
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
"""Asked for by the admission of owner references, inside the API server; what happens without it is shown below."""


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


def with_token(admin: Kubectl, service_account: str, path: Path) -> Kubectl:
    """Return kubectl with a token of a service account of the operator's namespace and nothing else."""
    token = admin.within(NAMESPACE)("create", "token", service_account).strip()
    config = yaml.safe_load(admin.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path.write_text(yaml.safe_dump(config))
    return Kubectl(admin.program, path, NAMESPACE)


@contextlib.contextmanager
def namespaces(admin: Kubectl, *names: str) -> Iterator[list[Kubectl]]:
    """Make namespaces for models, and afterwards free their GPUs; the rest of them goes with the control plane."""
    found = [admin.within(name) for name in names]
    for each in found:
        each("create", "namespace", each.namespace)
    for each in found:
        each("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield found
    for each in found:
        each("delete", "namespace", each.namespace, "--wait=false")
    for each in found:
        each("delete", "pod", "--all", "--timeout=60s")


@pytest.fixture
def leader_worker_sets(admin: Kubectl) -> Iterator[None]:
    """The definition of LeaderWorkerSet is not installed, and not afterwards."""
    yield
    admin("delete", "crd", LEADER_WORKER_SETS["metadata"]["name"], "--ignore-not-found")


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
    del made["spec"]["model"]["cache"]
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


def do_everything_on_one_and_two_nodes(admin: Kubectl, account: Kubectl, kubectl: Kubectl, folder: Path) -> None:
    with running_operator(account, folder, everywhere=True, engines=True) as operator:
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


def do_everything_with_leader_worker_set(admin: Kubectl, account: Kubectl, kubectl: Kubectl, folder: Path) -> None:
    admin.apply(LEADER_WORKER_SETS)
    admin("wait", "--for=condition=Established", f"crd/{LEADER_WORKER_SETS['metadata']['name']}")
    with running_operator(account, folder, everywhere=True):
        kubectl.apply({**on_two_nodes(), "metadata": {"name": "group"}})
        eventually(lambda: made(kubectl, "leaderworkersets"), what="the group", within_seconds=60)
        take_away(kubectl, "leaderworkersets")
        superfluous(kubectl, "LeaderWorkerSet")


@pytest.mark.usefixtures("leader_worker_sets")
def test_every_right_is_used_and_nothing_is_refused(plane: SandboxState, admin: Kubectl, tmp_path: Path) -> None:
    account = with_token(admin, "deepseek-operator", tmp_path / "kubeconfig")
    with namespaces(admin, "models") as [kubectl]:
        kubectl("label", "namespace", "models", "pod-security.kubernetes.io/enforce=restricted")
        do_everything_on_one_and_two_nodes(admin, account, kubectl, tmp_path)
        do_everything_with_leader_worker_set(admin, account, kubectl, tmp_path)
        held = own(kubectl) | own(admin.within(NAMESPACE))

    asked = requests_of(plane.directory / "audit.log")
    assert [each for each in asked if each.code == 403] == []
    assert not [right for right in held if "secret" in right.resource]
    assert (sorted(held - used(asked)), sorted(used(asked) - held)) == ([NOT_AUDITED], [])


def assert_told(admin: Kubectl, operator: OperatorProcess) -> None:
    """The question about the cluster is answered; nothing was refused, which the operator counts too."""
    eventually(lambda: json.dumps(admin("get", "capacityplans", "-o", "json")), lambda found: '"Fits"' in found)
    assert 'status="403"' not in operator.page("/metrics")


LIMITED = "limited-deepseek-operator"
"""Name of everything of a second release, whose rights are changed here."""

WRITES = {"create", "update", "patch", "delete"}
FINALIZERS = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"


def release(*watched: str) -> list[dict[str, Any]]:
    """Return the second release's account and rights as the chart renders them, limited to namespaces."""
    command = [
        str(Path(sys.executable).with_name("helm")),
        "template",
        "limited",
        str(CHART),
        f"--namespace={NAMESPACE}",
    ]
    command += ["--set", f"watchNamespaces={{{','.join(watched)}}}"]
    for name in ("rbac", "serviceaccount", "leader-election"):
        command += ["--show-only", f"templates/{name}.yaml"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [each for each in yaml.safe_load_all(text) if each]


def without(role: dict[str, Any], resource: str, verbs: set[str]) -> dict[str, Any]:
    """Return a Role without some verbs on one resource."""
    rules = []
    for rule in role["rules"]:
        for each in rule["resources"]:
            kept = [verb for verb in rule["verbs"] if each != resource or verb not in verbs]
            rules += [{**rule, "resources": [each], "verbs": kept}] if kept else []
    return {**role, "rules": rules}


def lacking(resource: str) -> str:
    """Return the namespace in which a right on a resource is missing."""
    return f"without-{resource.replace('/', '-')}"


def bare(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of the spec
    return small("single", hardware={"gpus": ["a100-sxm4-80gb"]}, **spec)


MISSING = {
    "configmaps": bare(),
    "services": bare(),
    "deployments": bare(),
    "persistentvolumeclaims": on_one_node(),
    "jobs": on_one_node(),
    "networkpolicies": bare(networkPolicy={}),
    "poddisruptionbudgets": bare(scaling={"minReplicas": 2, "maxReplicas": 2}),
    "podmonitors": bare(),
    "resourceclaimtemplates": {**by_claim(), "metadata": {"name": "single"}},
    "statefulsets": {**on_two_nodes(), "metadata": {"name": "single"}},
    "deepseekdeployments/scale": bare(scaling={"owner": "External", "maxReplicas": 2}),
    "deepseekdeployments/finalizers": bare(),
}
"""A resource that may not be written, and an object for which it would have to be."""


@contextlib.contextmanager
def limited_operator(admin: Kubectl, folder: Path, *watched: str) -> Iterator[OperatorProcess]:
    """Run an operator for namespaces, with the second release's account."""
    account = with_token(admin, LIMITED, folder / "kubeconfig")
    arguments = [f"--namespace={name}" for name in watched]
    with running_operator(account, folder, *arguments, everywhere=True) as operator:
        yield operator
    admin("delete", "clusterrole,clusterrolebinding", LIMITED)


def test_a_missing_right_to_write_is_told_by_name_and_hurts_nobody_else(admin: Kubectl, tmp_path: Path) -> None:
    told_in_log = ("deepseekdeployments/status", "events")
    cases = {lacking(resource): resource for resource in (*MISSING, *told_in_log)}
    with namespaces(admin, *cases, "without-nothing") as spaces:
        objects = release(*cases, "without-nothing")
        for number, each in enumerate(objects):
            resource = cases.get(each["metadata"].get("namespace", ""))
            if each["kind"] == "Role" and resource:
                objects[number] = without(each, resource, WRITES)
        admin.apply(*objects)
        with limited_operator(admin, tmp_path, *cases, "without-nothing") as operator:
            for kubectl in spaces:
                kubectl.apply(MISSING.get(cases.get(kubectl.namespace, ""), bare()))
            wait_ready(spaces[-1], "single")
            wait_ready(admin.within(lacking("events")), "single")
            for resource in MISSING:
                kubectl = admin.within(lacking(resource))
                found = wait_condition(kubectl, "single", "WorkloadReady", "False", "ApplyFailed")
                assert refusal(resource) in found["message"]
            for resource in told_in_log:
                wait_told(operator, refusal(resource))
            assert 'resource="services",status="403",verb="PATCH"' in operator.page("/metrics")
            assert operator.process.poll() is None


def wait_told(operator: OperatorProcess, words: str) -> None:
    eventually(operator.text, lambda text: words in text, what=words)


def refusal(resource: str) -> str:
    """Return the API server's words for a missing right to write."""
    if resource.endswith("/finalizers"):
        return FINALIZERS
    verb = "create" if resource == "events" else "patch"
    return f'cannot {verb} resource "{resource}" in API group "'


def test_without_rights_to_read_the_operator_waits_and_names_them(
    plane: SandboxState, admin: Kubectl, tmp_path: Path
) -> None:
    with namespaces(admin, "blind") as [kubectl]:
        objects = release("blind")
        role = next(each for each in objects if each["kind"] == "Role" and each["metadata"]["namespace"] == "blind")
        admin.apply(*(each for each in objects if each is not role), {**role, "rules": []})
        read = {each for rule in role["rules"] if "list" in rule["verbs"] for each in rule["resources"]}
        with limited_operator(admin, tmp_path, "blind") as operator:
            for resource in read - {"deepseekdeployments"}:
                wait_told(operator, f'cannot list resource "{resource}" in API group "')
            assert operator.process.poll() is None
            assert operator.page("/healthz")

            admin.apply(role)
            kubectl.apply(bare())
            wait_ready(kubectl, "single")
            everywhere = own(admin.within("default"), f"system:serviceaccount:{NAMESPACE}:{LIMITED}")

    read_everywhere = {
        Right(kind, verb) for kind in ("nodes", "resourceslices.resource.k8s.io") for verb in ("list", "watch")
    }
    asked = requests_of(plane.directory / "audit.log", f"system:serviceaccount:{NAMESPACE}:{LIMITED}")
    assert everywhere == read_everywhere
    assert used(each for each in asked if not each.namespace and each.code != 403) == read_everywhere
