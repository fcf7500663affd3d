"""Whatever happens to the children or the operator, the state converges and nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.deployments import small, status, uids, versions, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually
from cluster.settling import PASSES, children_of, one_more_pass, settle, writes, writes_of_children

pytestmark = pytest.mark.usefixtures("resource_definition")


def test_a_pass_that_finds_nothing_to_do_writes_nothing(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path) as operator:
        kubectl.apply(small())
        wait_ready(kubectl, "small")
        settle(kubectl, operator)
        before, calls = versions(kubectl), writes(operator)

        one_more_pass(kubectl, operator)

        assert children_of(versions(kubectl)) == children_of(before)
        assert writes(operator) == calls
        assert undone(kubectl) == []


def test_a_restarted_operator_changes_nothing(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path) as operator:
        kubectl.apply(small("one"), small("two"))
        wait_ready(kubectl, "one", "two")
        settle(kubectl, operator)
        before = versions(kubectl)
        operator.kill()
    with running_operator(kubectl, tmp_path) as operator:
        eventually(lambda: operator.metric(PASSES) >= 2, what="a pass over both objects")
        assert writes_of_children(operator) == []
        settle(kubectl, operator)
        assert children_of(versions(kubectl)) == children_of(before)


def test_a_deleted_pod_comes_back_and_its_neighbours_stay(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small("one"), small("two"))
        wait_ready(kubectl, "one", "two")
        before = uids(kubectl)
        [pod] = kubectl("get", "pods", "-l", "deepseek-operator.io/deployment=one", "-o", "json")["items"]

        kubectl("delete", "pod", pod["metadata"]["name"])
        wait_ready(kubectl, "one", "two")

        after = eventually(lambda: uids(kubectl), lambda found: len(found) == len(before), what="the pod is replaced")
        gone = ("Pod", pod["metadata"]["name"])
        assert {key: uid for key, uid in after.items() if key in before} == {
            key: uid for key, uid in before.items() if key != gone
        }


EDITS: dict[str, tuple[str, str, str, str]] = {
    "the image of the workload": (
        "deployment",
        '[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "example.com/other:1"}]',
        "{.spec.template.spec.containers[0].image}",
        "example.com/other:1",
    ),
    "the replicas of the workload": (
        "deployment",
        '[{"op": "replace", "path": "/spec/replicas", "value": 0}]',
        "{.spec.replicas}",
        "0",
    ),
    "more replicas of the workload": (
        "deployment",
        '[{"op": "replace", "path": "/spec/replicas", "value": 2}]',
        "{.spec.replicas}",
        "2",
    ),
    "the port of the Service": (
        "service",
        '[{"op": "replace", "path": "/spec/ports/0/port", "value": 81}]',
        "{.spec.ports[0].port}",
        "81",
    ),
    "a label of the Service": (
        "service",
        '[{"op": "replace", "path": "/metadata/labels/app.kubernetes.io~1part-of", "value": "other"}]',
        "{.metadata.labels.app\\.kubernetes\\.io/part-of}",
        "other",
    ),
    "the kept plan": (
        "configmap",
        '[{"op": "replace", "path": "/data/hash", "value": "0000"}]',
        "{.data.hash}",
        "0000",
    ),
}


@pytest.mark.parametrize("edit", EDITS, ids=list(EDITS))
def test_an_edit_by_hand_is_undone(kubectl: Kubectl, tmp_path: Path, edit: str) -> None:
    kind, patch, path, wrong = EDITS[edit]
    name = "small-plan" if kind == "configmap" else "small"
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small(scaling={"maxReplicas": 3}))
        wait_ready(kubectl, "small")
        right = kubectl("get", kind, name, "-o", f"jsonpath={path}")
        assert right != wrong

        kubectl("patch", kind, name, "--type=json", "--patch", patch)

        eventually(lambda: kubectl("get", kind, name, "-o", f"jsonpath={path}"), lambda found: found == right)
        wait_ready(kubectl, "small")
        (told,) = eventually(lambda: undone(kubectl), bool, what="the event")
        assert told.lower().startswith(f"{kind} {name} was changed or deleted by another")


def undone(kubectl: Kubectl) -> list[str]:
    """Return what the events say of edits that were undone."""
    items = kubectl("get", "events", "--field-selector=reason=EditUndone", "-o", "json")["items"]
    return [each["message"] for each in items]


@pytest.mark.parametrize("edit", EDITS, ids=list(EDITS))
def test_an_edit_while_no_operator_runs_is_undone_by_the_next(kubectl: Kubectl, tmp_path: Path, edit: str) -> None:
    kind, patch, path, _ = EDITS[edit]
    name = "small-plan" if kind == "configmap" else "small"
    with running_operator(kubectl, tmp_path) as operator:
        kubectl.apply(small(scaling={"maxReplicas": 3}))
        wait_ready(kubectl, "small")
        settle(kubectl, operator)
        right = kubectl("get", kind, name, "-o", f"jsonpath={path}")
        operator.kill()
    kubectl("patch", kind, name, "--type=json", "--patch", patch)
    with running_operator(kubectl, tmp_path):
        eventually(lambda: kubectl("get", kind, name, "-o", f"jsonpath={path}"), lambda found: found == right)
        wait_ready(kubectl, "small")


@pytest.mark.parametrize("kind", ["deployment", "service", "configmap"])
def test_a_deleted_child_is_made_again(kubectl: Kubectl, tmp_path: Path, kind: str) -> None:
    name = "small-plan" if kind == "configmap" else "small"
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small())
        wait_ready(kubectl, "small")
        before = uids(kubectl)
        plan = status(kubectl, "small")["plan"]

        kubectl("delete", kind, name)

        after = eventually(
            lambda: uids(kubectl, "configmaps,services,deployments"), lambda found: len(found) == 3, what="all children"
        )
        eventually(lambda: uids(kubectl, f"{kind}s"), lambda found: before.items().isdisjoint(found.items()) and found)
        wait_ready(kubectl, "small")
        others = {key for key in after if key[0].lower() != kind}
        assert {key: after[key] for key in others} == {key: before[key] for key in others}
        assert status(kubectl, "small")["plan"] == plan


def test_a_spec_that_needs_no_budget_any_more_loses_it(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small(scaling={"minReplicas": 2, "maxReplicas": 2}))
        wait_ready(kubectl, "small")
        assert ("PodDisruptionBudget", "small") in uids(kubectl)

        kubectl.apply(small(scaling={"minReplicas": 1, "maxReplicas": 1}))

        eventually(lambda: ("PodDisruptionBudget", "small") not in uids(kubectl), what="the budget is pruned")


def has_child(kind: str) -> Callable[[Kubectl], bool]:
    return lambda kubectl: any(found == kind for found, _ in uids(kubectl))


STAGES: dict[str, Callable[[Kubectl], bool]] = {
    "before anything is written": lambda kubectl: True,
    "with only the kept plan": has_child("ConfigMap"),
    "with the Service": has_child("Service"),
    "with the workload": has_child("Deployment"),
    "with the pod": has_child("Pod"),
    "after the first status": lambda kubectl: bool(status(kubectl, "small")),
}


@pytest.mark.parametrize("stage", STAGES, ids=list(STAGES))
def test_an_operator_killed_in_a_rollout_is_carried_on_by_the_next(
    kubectl: Kubectl, tmp_path: Path, stage: str
) -> None:
    with running_operator(kubectl, tmp_path) as operator:
        kubectl.apply(small())
        eventually(lambda: STAGES[stage](kubectl), what=stage)
        operator.kill()
    there = uids(kubectl)
    with running_operator(kubectl, tmp_path):
        wait_ready(kubectl, "small")
        after = uids(kubectl)
    assert {key: after.get(key) for key in there} == there
    assert {kind for kind, _ in after} == {"ConfigMap", "Service", "Deployment", "Pod"}


def test_a_lost_status_is_restored_from_the_kept_plan_without_a_restart(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small())
        wait_ready(kubectl, "small")
        plan, before = status(kubectl, "small")["plan"], uids(kubectl)
    kubectl("patch", "dsd", "small", "--subresource=status", "--type=merge", "--patch", '{"status": null}')
    assert "plan" not in status(kubectl, "small")
    with running_operator(kubectl, tmp_path):
        wait_ready(kubectl, "small")
        assert status(kubectl, "small")["plan"] == plan
        assert uids(kubectl) == before
