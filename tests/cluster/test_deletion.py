"""Deleting needs no operator: owner references remove everything, and no finalizer waits for anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.deployments import small, uids, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually

pytestmark = pytest.mark.usefixtures("resource_definition")


@pytest.mark.parametrize("operator_runs", [True, False], ids=["with the operator up", "while the operator is down"])
def test_deleting_the_object_removes_all_children(kubectl: Kubectl, tmp_path: Path, operator_runs: bool) -> None:
    with running_operator(kubectl, tmp_path) as operator:
        kubectl.apply(small("gone"), small("stays"))
        wait_ready(kubectl, "gone", "stays")
        if not operator_runs:
            operator.kill()
        stays = {key: uid for key, uid in uids(kubectl).items() if "stays" in key[1]}

        kubectl("delete", "dsd", "gone", "--timeout=10s")

        eventually(
            lambda: uids(kubectl), lambda found: found == stays, what="only the other object's children are left"
        )


def test_deleting_the_namespace_while_the_operator_is_down_removes_everything(
    kubectl: Kubectl, cluster_kubectl: Kubectl, tmp_path: Path
) -> None:
    doomed = kubectl.within(f"{kubectl.namespace}-doomed")
    cluster_kubectl("create", "namespace", doomed.namespace)
    doomed("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    with running_operator(doomed, tmp_path) as operator:
        doomed.apply(small())
        wait_ready(doomed, "small")
        operator.kill()

    cluster_kubectl("delete", "namespace", doomed.namespace, "--timeout=60s")

    left = cluster_kubectl("get", "namespaces", "-o", "name")
    assert f"namespace/{doomed.namespace}" not in left.split()


def test_an_object_recreated_under_its_name_gets_its_own_children(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small())
        wait_ready(kubectl, "small")
        before = uids(kubectl)

        kubectl("delete", "dsd", "small", "--timeout=10s")
        kubectl.apply(small())

        wait_ready(kubectl, "small")
        owner = kubectl("get", "dsd", "small", "-o", "json")["metadata"]["uid"]
        after = eventually(lambda: uids(kubectl), lambda found: len(found) == len(before), what="all children")
        assert set(before.values()).isdisjoint(after.values())
        children = kubectl("get", "deployments,services,configmaps", "-l", "app.kubernetes.io/managed-by", "-o", "json")
        owners = {reference["uid"] for each in children["items"] for reference in each["metadata"]["ownerReferences"]}
        assert owners == {owner}
