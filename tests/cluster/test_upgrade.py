"""A newer operator whose builders make other pod templates restarts nothing that its owner did not change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import deepseek_operator
from cluster.deployments import small, status, versions, wait_condition, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually
from cluster.settling import PASSES, children_of, settle

pytestmark = pytest.mark.usefixtures("resource_definition")

BUILDER = Path("deepseek_operator/resources/engine_pod.py")
OLD_LINE = '{"name": "VLLM_NO_USAGE_STATS", "value": "1"},'
NEW_VARIABLE = {"name": "NEW_DEFAULT", "value": "1"}


@pytest.fixture(scope="module")
def newer_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package whose builder gives each pod one more variable."""
    folder = tmp_path_factory.mktemp("newer")
    shutil.copytree(Path(deepseek_operator.__file__).parent, folder / "deepseek_operator")
    builder = folder / BUILDER
    text = builder.read_text()
    assert OLD_LINE in text
    builder.write_text(text.replace(OLD_LINE, f"{OLD_LINE} {NEW_VARIABLE},"))
    return folder


def environments(kubectl: Kubectl, name: str) -> list[bool]:
    """Return for each pod of a deployment whether it has the newer version's variable."""
    pods = kubectl("get", "pods", "-l", f"deepseek-operator.io/deployment={name}", "-o", "json")["items"]
    return [NEW_VARIABLE in pod["spec"]["containers"][0]["env"] for pod in pods]


def test_an_upgrade_changes_no_pod_and_a_change_of_the_spec_takes_the_new_template(
    kubectl: Kubectl, newer_version: Path, tmp_path: Path
) -> None:
    held = {"rollout": {"canary": {"promotion": "Manual"}}}
    with running_operator(kubectl, tmp_path) as operator:
        kubectl.apply(small("one", scaling={"minReplicas": 2, "maxReplicas": 2}), small("two"), small("tried", **held))
        wait_ready(kubectl, "one", "two", "tried")
        tried = small("tried", **held)
        tried["spec"]["workload"]["maxContextTokens"] = 8192
        kubectl.apply(tried)
        wait_condition(kubectl, "tried", "Ready", "True", "CanaryHeld")
        settle(kubectl, operator)
        before = versions(kubectl)

    with running_operator(kubectl, tmp_path, package=newer_version) as operator:
        eventually(lambda: operator.metric(PASSES) >= 3, what="a pass over every object")
        settle(kubectl, operator)
        assert children_of(versions(kubectl)) == children_of(before)

        changed = small("two")
        changed["spec"]["workload"]["maxContextTokens"] = 8192
        kubectl.apply(changed)

        eventually(lambda: environments(kubectl, "two"), lambda found: found == [True], what="the new template")
        wait_ready(kubectl, "two")
        assert status(kubectl, "two")["plan"]["maxModelLen"] == 8192
        assert (environments(kubectl, "one"), environments(kubectl, "tried")) == ([False, False], [False, False])

        promoted = small("tried")  # the canary is given up, so the change reaches everybody with the tried template
        promoted["spec"]["workload"]["maxContextTokens"] = 8192
        kubectl.apply(promoted)
        eventually(lambda: environments(kubectl, "tried"), lambda found: len(found) == 1, within_seconds=90)
        wait_ready(kubectl, "tried")
