"""With scaling.owner External somebody else sets the replicas, through the scale subresource."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.deployments import condition, small, status, wait_ready
from cluster.kubectl import Kubectl, KubectlError
from cluster.operator_process import running_operator
from cluster.polling import eventually

pytestmark = pytest.mark.usefixtures("resource_definition")


def pods(kubectl: Kubectl) -> int:
    return len(kubectl("get", "pods", "-o", "json")["items"])


def test_an_external_scaler_is_seeded_and_then_followed(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small(scaling={"owner": "External", "maxReplicas": 3}))
        wait_ready(kubectl, "small")
        seeded = eventually(
            lambda: kubectl("get", "dsd", "small", "-o", "json")["spec"].get("replicas"), what="the scale is readable"
        )
        assert seeded == 1

        kubectl("scale", "dsd", "small", "--replicas=2")

        eventually(lambda: status(kubectl, "small").get("readyReplicas"), lambda found: found == 2)
        assert pods(kubectl) == 2
        assert condition(kubectl, "small", "ScalingActive")["reason"] == "ExternalOwner"
        assert kubectl("get", "--raw", scale_path(kubectl)).count('"replicas":2') == 2

        kubectl.apply(small(scaling={"owner": "External", "maxReplicas": 3}))
        wait_ready(kubectl, "small")
        assert pods(kubectl) == 2


def scale_path(kubectl: Kubectl) -> str:
    group = "/apis/deepseek-operator.io/v1alpha1"
    return f"{group}/namespaces/{kubectl.namespace}/deepseekdeployments/small/scale"


def test_switching_to_an_external_scaler_drains_nothing(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small(scaling={"minReplicas": 2, "maxReplicas": 3}))
        wait_ready(kubectl, "small")
        before = {pod["metadata"]["uid"] for pod in kubectl("get", "pods", "-o", "json")["items"]}

        kubectl.apply(small(scaling={"owner": "External", "minReplicas": 2, "maxReplicas": 3}))

        eventually(
            lambda: kubectl("get", "dsd", "small", "-o", "json")["spec"].get("replicas"), lambda found: found == 2
        )
        wait_ready(kubectl, "small")
        assert {pod["metadata"]["uid"] for pod in kubectl("get", "pods", "-o", "json")["items"]} == before


def test_scaling_by_hand_is_refused_while_the_operator_owns_it(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.apply(small())
    with pytest.raises(KubectlError, match="the operator owns the number of replicas"):
        kubectl("scale", "dsd", "small", "--replicas=2")
