"""From the first definitions to today's, by `helm upgrade`: stored objects stay, valid, writable and worked on."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.deployments import sample, small, status, wait_established, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually
from deepseek_operator.api.conditions import ORDER, Observation, set_conditions
from deepseek_operator.api.plan_status import plan_status
from model_factories import make_plan
from spec_table import ACCEPTED, changed

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "deepseek-operator"
FIRST = Path(__file__).parent / "data" / "first_schema"
RELEASE = "deepseek-operator"

Object = dict[str, Any]
Helm = Callable[..., str]


@pytest.fixture
def helm(cluster_kubectl: Kubectl, namespace: str) -> Helm:
    """The real helm, for releases in the test's namespace."""

    def run(*arguments: str) -> str:
        command = [str(Path(sys.executable).with_name("helm")), *arguments, "--namespace", namespace]
        environment = {**os.environ, "KUBECONFIG": str(cluster_kubectl.kubeconfig)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def first_chart(tmp_path: Path) -> Path:
    """The chart with the first definitions in place of today's."""
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    for file in FIRST.glob("*.yaml"):
        shutil.copy(file, chart / "files" / "crds" / file.name)
    return chart


@pytest.fixture
def without_definitions(cluster_kubectl: Kubectl, resource_definition: None) -> Iterator[None]:
    """No definitions before; afterwards those of the repository, for other tests."""
    cluster_kubectl("delete", "--filename", str(ROOT / "crds"), "--timeout=60s")
    yield
    cluster_kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(ROOT / "crds"))
    wait_established(cluster_kubectl)


def named(name: str, manifest: Object) -> Object:
    made = copy.deepcopy(manifest)
    made["metadata"] = {"name": name}
    return made


def specs() -> dict[str, Object]:
    """Return every right spec of the table and some samples, by a name for the object."""
    table = {f"case-{number}": changed(changes) for number, changes in enumerate(ACCEPTED.values())}
    samples = {name: sample(name) for name in ("deepseek-67b", "deepseek-r1", "deepseek-v2-lite", "r1-distill-qwen-7b")}
    return {name: named(name, manifest) for name, manifest in {**table, **samples}.items()}


def stored_by_name(kubectl: Kubectl) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in kubectl("get", "dsd", "-o", "json")["items"]}


def is_part_of(less: object, more: object) -> bool:
    """Return whether everything of one value is in another; defaults of new fields may have come."""
    if isinstance(less, dict) and isinstance(more, dict):
        return all(key in more and is_part_of(value, more[key]) for key, value in less.items())
    if isinstance(less, list) and isinstance(more, list):
        return len(less) == len(more) and all(map(is_part_of, less, more))
    return less == more


def assert_served(kubectl: Kubectl, folder: Path) -> None:
    """Assert that the definitions of a folder are served, word by word, and that nothing waits to be migrated."""
    for file in folder.glob("*.yaml"):
        written = yaml.safe_load(file.read_text())
        served = kubectl("get", "crd", written["metadata"]["name"], "-o", "json")
        assert served["spec"]["versions"][0]["schema"] == written["spec"]["versions"][0]["schema"]
        assert served["status"]["storedVersions"] == ["v1alpha1"]


def store_under_the_first_definition(kubectl: Kubectl) -> dict[str, Object]:
    """Store all specs, with a status as operators write it, and return them as they are stored."""
    items = list(specs().values())
    # Fields that came after the first definition are dropped by it.
    kubectl("create", "--validate=ignore", "--filename=-", stdin={"apiVersion": "v1", "kind": "List", "items": items})
    now = "2026-01-01T00:00:00Z"
    seen = [Observation(type=kind, holds=True, reason="Recorded", message="recorded") for kind in ORDER]
    recorded = {"plan": plan_status(make_plan()), "conditions": set_conditions([], seen, now=now, generation=1)}
    for name in stored_by_name(kubectl):
        kubectl(
            "patch",
            "dsd",
            name,
            "--subresource=status",
            "--type=merge",
            "--patch",
            yaml.safe_dump({"status": recorded}),
        )
    stored = stored_by_name(kubectl)
    assert stored.keys() == specs().keys()
    return stored


@pytest.mark.usefixtures("without_definitions")
def test_what_the_first_definition_stored_lives_on_under_todays(
    kubectl: Kubectl, cluster_kubectl: Kubectl, helm: Helm, first_chart: Path, tmp_path: Path
) -> None:
    settings = ["--set", "admission.install=false,priorityClasses.install=false,rbac.aggregateToDefaultRoles=false"]
    helm("install", RELEASE, str(first_chart), *settings)
    wait_established(cluster_kubectl)
    before = store_under_the_first_definition(kubectl)
    question = yaml.safe_load((ROOT / "manifests" / "samples" / "capacity" / "two-more-nodes.yaml").read_text())
    del question["spec"]["suggest"]  # came later
    cluster_kubectl("create", "--validate=strict", "--filename=-", stdin=question)

    helm("upgrade", RELEASE, str(CHART), *settings)

    assert_served(cluster_kubectl, ROOT / "crds")
    after = stored_by_name(kubectl)
    assert after.keys() == before.keys()
    for name, old in before.items():
        assert is_part_of(old, after[name]), name

    # As new objects too, without the mercy that the API server has with values that do not change.
    again = [named(f"{name}-again", {**each, "status": {}}) for name, each in after.items()]
    kubectl(
        *("create", "--dry-run=server", "--validate=strict", "--filename=-"),
        stdin={"apiVersion": "v1", "kind": "List", "items": again},
    )
    kubectl("annotate", "dsd", "--all", "example.com/owner=me")
    kubectl(
        "replace",
        "--filename=-",
        stdin={"apiVersion": "v1", "kind": "List", "items": list(stored_by_name(kubectl).values())},
    )

    plain = "r1-distill-qwen-7b"
    kubectl("delete", "dsd", *(after.keys() - {plain, "deepseek-67b"}))
    with running_operator(kubectl, tmp_path):
        wait_ready(kubectl, plain)
        kubectl.apply(small("new-after-the-upgrade"))
        wait_ready(kubectl, "new-after-the-upgrade")
        eventually(lambda: status(kubectl, "deepseek-67b").get("summary"), what="the other one is worked on")
        kubectl("patch", "dsd", plain, "--type=merge", "--patch", '{"spec": {"workload": {"outputTokens": 100}}}')
        eventually(lambda: status(kubectl, plain)["observedGeneration"], lambda seen: seen == 2)
    (kept,) = cluster_kubectl("get", "dscap", "-o", "json")["items"]
    assert is_part_of(question["spec"], kept["spec"])
    helm("rollback", RELEASE, "1")
    assert_served(cluster_kubectl, FIRST)
    assert stored_by_name(kubectl).keys() == {plain, "deepseek-67b", "new-after-the-upgrade"}
    helm("uninstall", RELEASE)
    eventually(
        lambda: cluster_kubectl("get", "crds", "-o", "name"),
        lambda names: "deepseek-operator.io" not in names,
        what="helm uninstall removes the definitions",
    )
