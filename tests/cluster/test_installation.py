"""What is installed and what is made with it, against the real API server: accepted, allowed, and restricted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.deployments import CHILD_KINDS, MANAGED, small, uids, wait_established, wait_ready
from cluster.kubectl import Kubectl, KubectlError
from cluster.operator_process import running_operator
from cluster.polling import eventually
from deepseek_operator.resources.desired import desired
from deepseek_operator.resources.names import FIELD_MANAGER, Manifest, selector_text
from model_factories import make_deployment, make_plan

INSTALL = Path(__file__).parents[2] / "manifests" / "install"
NAMESPACE = "deepseek-operator"
SERVICE_ACCOUNT = f"--as=system:serviceaccount:{NAMESPACE}:deepseek-operator"


@pytest.fixture(scope="module")
def installed(cluster_kubectl: Kubectl) -> Iterator[Kubectl]:
    """Everything of the Kustomize base but the operator's own pod."""
    cluster_kubectl("apply", "--server-side", "--filename", str(INSTALL / "namespace.yaml"))
    names = yaml.safe_load((INSTALL / "kustomization.yaml").read_text())["resources"]
    for name in names:
        if name != "deployment.yaml":
            cluster_kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(INSTALL / name))
    yield cluster_kubectl
    for name in ("admission.yaml", "rbac.yaml", "user-roles.yaml", "namespace.yaml"):
        cluster_kubectl("delete", "--wait=false", "--filename", str(INSTALL / name))


def test_the_kustomize_base_is_accepted_as_it_is(installed: Kubectl) -> None:
    """Unknown and repeated fields are errors here, not warnings."""
    answer = installed(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"),
        *("--warnings-as-errors", "--kustomize", str(INSTALL)),
    )
    assert "deployment.apps/deepseek-operator serverside-applied" in answer


def manifests_in(namespace: str, **spec: Any) -> list[Manifest]:  # noqa: ANN401 - fields of the spec
    deployment = make_deployment("deepseek-67b", namespace, **spec)
    return desired(deployment, make_plan(), uid="", replicas=2, plan_hash="1f3a5c7e")


def apply_as_the_operator(kubectl: Kubectl, manifests: list[Manifest]) -> None:
    kubectl(
        *("apply", "--server-side", f"--field-manager={FIELD_MANAGER}", "--validate=strict", "--filename=-"),
        SERVICE_ACCOUNT,
        stdin={"apiVersion": "v1", "kind": "List", "items": manifests},
    )


def test_a_models_pods_start_in_a_restricted_namespace(installed: Kubectl, namespace: str) -> None:
    installed("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    kubectl = installed.within(namespace)
    spec = {
        "model": {"name": "deepseek-ai/deepseek-llm-67b-chat", "cache": {"sizeBytes": 200 * 2**30}},
        "engine": {"tlsSecretRef": {"name": "cert"}, "apiKeySecretRef": {"name": "keys", "key": "api"}},
    }
    apply_as_the_operator(kubectl, manifests_in(namespace, **spec))
    pods = eventually(
        lambda: kubectl("get", "pods", "--selector", selector_text("deepseek-67b"), "-ojson")["items"],
        what="the ReplicaSet controller creates pods",
    )
    assert {pod["spec"]["priority"] for pod in pods} == {10_000}


def what_we_wrote(item: Manifest) -> tuple[Any, ...]:
    """Generation and record of our own fields; the version too where no controller writes a status beside us."""
    ours = [each for each in item["metadata"]["managedFields"] if each["manager"] == FIELD_MANAGER]
    version = item["metadata"]["resourceVersion"] if item["kind"] in {"ConfigMap", "Service"} else ""
    return item["metadata"].get("generation"), ours, version


def test_applying_again_changes_nothing(installed: Kubectl, namespace: str) -> None:
    kubectl = installed.within(namespace)
    seen = []
    for _ in range(2):
        apply_as_the_operator(kubectl, manifests_in(namespace))
        items = kubectl("get", CHILD_KINDS, "-l", MANAGED, "-ojson", "--show-managed-fields")["items"]
        seen.append({(each["kind"], each["metadata"]["name"]): what_we_wrote(each) for each in items})
    assert len(seen[0]) == len(manifests_in(namespace))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(("get", "secrets"), id="read secrets"),
        pytest.param(("create", "pods"), id="create pods"),
        pytest.param(("patch", "pods"), id="change what pods run"),
        pytest.param(("patch", "nodes"), id="change nodes"),
        pytest.param(("patch", "deepseekdeployments"), id="change a spec"),
        pytest.param(("create", "clusterroles"), id="give rights"),
    ],
)
def test_the_operator_may_not(installed: Kubectl, asked: tuple[str, str]) -> None:
    with pytest.raises(KubectlError):
        installed("auth", "can-i", *asked, SERVICE_ACCOUNT, "--all-namespaces", "--quiet")


@pytest.fixture
def own_rights(installed: Kubectl, namespace: str, tmp_path: Path) -> Kubectl:
    """kubectl for a namespace with the operator's own service account, and a kubeconfig that says so."""
    token = installed.within(NAMESPACE)("create", "token", "deepseek-operator").strip()
    config = yaml.safe_load(installed.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return Kubectl(installed.program, path, namespace)


def wait_until_owners_are_followed(kubectl: Kubectl) -> None:
    """Wait until the garbage collector has learned of the kind; it looks for new kinds every 30 s."""
    kubectl.apply(small("first"))
    wait_ready(kubectl, "first")
    kubectl("delete", "dsd/first")
    eventually(lambda: uids(kubectl), lambda found: found == {}, within_seconds=120, what="the first is collected")


def test_removing_what_was_installed_removes_every_model_while_the_operator_is_down(
    installed: Kubectl, own_rights: Kubectl, namespace: str, tmp_path: Path
) -> None:
    kubectl = installed.within(namespace)
    with running_operator(own_rights, tmp_path, f"--lease-namespace={NAMESPACE}", everywhere=True) as operator:
        wait_until_owners_are_followed(kubectl)
        kubectl.apply(small())
        wait_ready(kubectl, "small")
        operator.kill()

    installed("delete", "--filename", str(INSTALL / "crds.yaml"), "--timeout=60s")
    try:
        eventually(lambda: uids(kubectl), lambda found: found == {}, what="all children and pods are collected")
    finally:
        installed("apply", "--server-side", "--filename", str(INSTALL / "crds.yaml"))
        wait_established(installed)
