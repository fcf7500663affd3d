"""The same files applied in every way that pipelines use, again and again: nobody changes anything any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from render_install import INSTALL, rendered

from cluster.deployments import status, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually

SAMPLES = INSTALL.parent / "samples"
DEPLOYMENTS = ("r1-distill-qwen-7b", "deepseek-67b")
WAYS = ((), ("--server-side", "--force-conflicts"))
"""Options of `kubectl apply` and `kubectl diff`."""

Applied = Callable[..., object]


def versions(kubectl: Kubectl, *selection: str) -> dict[tuple[str, str], tuple[int | None, str]]:
    """Return generation and resource version of objects, by kind and name."""
    found = kubectl("get", *selection, "-o", "json")
    items = found["items"] if found["kind"] == "List" else [found]
    return {
        (each["kind"], each["metadata"]["name"]): (
            each["metadata"].get("generation"),
            each["metadata"]["resourceVersion"],
        )
        for each in items
    }


@pytest.fixture
def what_is_installed(cluster_kubectl: Kubectl, resource_definition: None, tmp_path: Path) -> Iterator[Path]:
    """One file with all objects that the chart renders, but the operator itself, which would do its work."""
    texts = [text for name, group in rendered({}).items() if name != "deployment.yaml" for text in group]
    file = tmp_path / "installed.yaml"
    file.write_text("---\n".join([(INSTALL / "namespace.yaml").read_text(), *texts]))
    yield file
    for name in ("admission.yaml", "rbac.yaml", "user-roles.yaml", "namespace.yaml"):
        cluster_kubectl("delete", "--wait=false", "--filename", str(INSTALL / name))


@pytest.fixture
def everything_but_the_operator(tmp_path: Path) -> Path:
    """The Kustomize base without its Deployment."""
    folder = tmp_path / "base"
    folder.mkdir()
    listed = yaml.safe_load((INSTALL / "kustomization.yaml").read_text())
    listed["resources"].remove("deployment.yaml")
    for name in listed["resources"]:
        (folder / name).write_text((INSTALL / name).read_text())
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(listed))
    return folder


def test_installing_twice_in_every_way_changes_nothing(
    cluster_kubectl: Kubectl, what_is_installed: Path, everything_but_the_operator: Path
) -> None:
    """By the Kustomize base and by the rendered chart: one state, whoever comes."""
    sources = {
        "kustomize": ("--kustomize", str(everything_but_the_operator)),
        "chart": ("--filename", str(what_is_installed)),
    }
    generations = []
    for way in WAYS:
        for source in sources.values():
            cluster_kubectl("apply", *way, *source)
            once = versions(cluster_kubectl, "--filename", str(what_is_installed))
            cluster_kubectl("apply", *way, *source)
            assert versions(cluster_kubectl, "--filename", str(what_is_installed)) == once
            assert cluster_kubectl("diff", *way, *source) == ""
            generations.append({key: generation for key, (generation, _) in once.items()})
    assert generations == [generations[0]] * 4


def test_what_can_be_switched_on_is_accepted_as_it_is(cluster_kubectl: Kubectl, namespace: str) -> None:
    """Unknown and repeated fields are errors here, not warnings."""
    values = {
        "replicas": 2,
        "networkPolicy": {"install": True, "fromNamespaces": ["monitoring"]},
        "monitoring": {"dashboards": True},
        "watchNamespaces": [namespace],
    }
    objects = [yaml.safe_load(text) for group in rendered(values).values() for text in group]
    for each in objects:
        each["metadata"] |= {"namespace": namespace} if "namespace" in each["metadata"] else {}
    answer = cluster_kubectl(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"),
        *("--warnings-as-errors", "--filename=-"),
        stdin={"apiVersion": "v1", "kind": "List", "items": objects},
    )
    for kind in ("poddisruptionbudget.policy", "networkpolicy.networking.k8s.io", "deployment.apps"):
        assert f"{kind}/deepseek-operator serverside-applied" in answer


def test_deployments_applied_in_every_way_stay_as_they_are_while_the_operator_works(
    kubectl: Kubectl, resource_definition: None, tmp_path: Path
) -> None:
    files = [word for name in DEPLOYMENTS for word in ("--filename", str(SAMPLES / f"{name}.yaml"))]
    for way in WAYS:
        kubectl("apply", *way, *files)
        assert {status(kubectl, name)["observedGeneration"] for name in DEPLOYMENTS} == {-1}
        with running_operator(kubectl, tmp_path):
            wait_ready(kubectl, *DEPLOYMENTS)
            for _ in range(2):
                kubectl("apply", *way, *files)
                assert kubectl("diff", *way, *files) == ""
        assert {generation for generation, _ in versions(kubectl, "dsd").values()} == {1}
        assert {status(kubectl, name)["observedGeneration"] for name in DEPLOYMENTS} == {1}
        kubectl("delete", *files)
        eventually(lambda: kubectl("get", "dsd", "-o", "json")["items"], lambda found: found == [])


def test_what_an_autoscaler_set_survives_the_next_sync(
    kubectl: Kubectl, resource_definition: None, tmp_path: Path
) -> None:
    """The file says nothing of replicas, so in no way of applying it takes them back."""
    deployment = next(yaml.safe_load_all((SAMPLES / "external-scaling.yaml").read_text()))
    file = tmp_path / "deployment.yaml"
    file.write_text(yaml.safe_dump(deployment))
    name = deployment["metadata"]["name"]
    kubectl("apply", "--filename", str(file))
    with running_operator(kubectl, tmp_path):
        wait_ready(kubectl, name)
        for number, way in enumerate(WAYS, start=2):
            kubectl("scale", "dsd", name, f"--replicas={number}")
            kubectl("apply", *way, "--filename", str(file))
            assert kubectl("diff", *way, "--filename", str(file)) == ""
            assert kubectl("get", "dsd", name, "-o", "json")["spec"]["replicas"] == number
            eventually(lambda: status(kubectl, name).get("readyReplicas"), lambda found, wanted=number: found == wanted)
