"""Autoscalers of other projects own the replicas: a real HPA through the scale subresource, and KEDA's definition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.deployments import condition, small, status, wait_ready
from cluster.external_metrics import ExternalMetrics, external_metrics
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually
from cluster.test_external_scaling import scale_path
from deepseek_operator.resources.horizontal_pod_autoscaler import METRIC, build_horizontal_pod_autoscaler
from deepseek_operator.resources.names import Owner
from deepseek_operator.sandbox import SandboxState

pytestmark = pytest.mark.usefixtures("resource_definition")

DATA = Path(__file__).parent / "data"
GOLDEN = Path(__file__).parents[1] / "golden" / "autoscalers"
EXTERNAL = {"owner": "External", "minReplicas": 1, "maxReplicas": 3}
LIMITS = {"minReplicas": 2, "maxReplicas": 3}
SYNC_SECONDS = 15
"""Of the HPA controller, by default."""


@pytest.fixture
def metrics(kubectl: Kubectl, sandbox: SandboxState) -> Iterator[ExternalMetrics]:
    with external_metrics(kubectl, sandbox) as found:
        yield found


def autoscaler(kubectl: Kubectl) -> dict[str, Any]:
    """Return the generated HPA, made to act at once when the load falls."""
    owner = Owner(name="small", namespace=kubectl.namespace)
    made = build_horizontal_pod_autoscaler(owner, target=10, least=1, most=3)
    made["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] = 0
    made["spec"]["behavior"]["scaleDown"]["policies"] = [{"type": "Pods", "value": 4, "periodSeconds": SYNC_SECONDS}]
    return made


def asked_replicas(kubectl: Kubectl) -> int | None:
    replicas: int | None = kubectl("get", "dsd", "small", "-o", "json")["spec"].get("replicas")
    return replicas


def pods(kubectl: Kubectl) -> set[str]:
    found = kubectl("get", "pods", "-o", "json")["items"]
    return {pod["metadata"]["uid"] for pod in found if not pod["metadata"].get("deletionTimestamp")}


def wait_replicas(kubectl: Kubectl, replicas: int) -> None:
    eventually(lambda: asked_replicas(kubectl), lambda found: found == replicas, within_seconds=4 * SYNC_SECONDS)
    eventually(lambda: status(kubectl, "small").get("readyReplicas"), lambda found: found == replicas)
    eventually(lambda: len(pods(kubectl)), lambda found: found == replicas)


def test_a_real_hpa_raises_and_lowers_the_replicas(kubectl: Kubectl, metrics: ExternalMetrics, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small(scaling=EXTERNAL))
        wait_ready(kubectl, "small")
        kubectl("apply", "--server-side", "--validate=strict", "--filename=-", stdin=autoscaler(kubectl))

        metrics.value = 25
        wait_replicas(kubectl, 3)
        path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{kubectl.namespace}/{METRIC}"
        assert set(metrics.asked) == {(path, "service=small")}

        kubectl.apply(small(scaling=EXTERNAL))
        kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=small(scaling=EXTERNAL))
        assert asked_replicas(kubectl) == 3

        metrics.value = None
        before, asked = pods(kubectl), len(metrics.asked)
        eventually(lambda: len(metrics.asked) >= asked + 2, within_seconds=4 * SYNC_SECONDS)
        assert (asked_replicas(kubectl), pods(kubectl)) == (3, before)

        metrics.value = 12
        wait_replicas(kubectl, 2)
        assert pods(kubectl) < before
        assert condition(kubectl, "small", "ScalingActive")["reason"] == "ExternalOwner"


def test_switching_owners_to_and_fro_stops_nothing(kubectl: Kubectl, metrics: ExternalMetrics, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small(scaling=LIMITS))
        wait_ready(kubectl, "small")
        first = pods(kubectl)
        kubectl.apply(small(scaling={"owner": "External", **LIMITS}))
        wait_replicas(kubectl, 2)
        assert pods(kubectl) == first

        metrics.value = 30
        kubectl.apply(autoscaler(kubectl))
        wait_replicas(kubectl, 3)
        second = pods(kubectl)
        assert first < second

        back = {"spec": {"scaling": {"owner": "Operator", **LIMITS}, "replicas": None}}
        kubectl("patch", "dsd", "small", "--type=merge", "--patch-file=/dev/stdin", stdin=back)
        eventually(
            lambda: condition(kubectl, "small", "ScalingActive")["reason"], lambda found: found != "ExternalOwner"
        )
        metrics.value = 1
        hpa_gives_up(kubectl)
        wait_ready(kubectl, "small")
        assert (asked_replicas(kubectl), pods(kubectl)) == (None, second)

        kubectl("delete", "hpa", "small")
        kubectl.apply(small(scaling={"owner": "External", **LIMITS}))
        wait_replicas(kubectl, 3)
        assert pods(kubectl) == second
        assert kubectl("get", "--raw", scale_path(kubectl)).count('"replicas":3') == 2


def hpa_gives_up(kubectl: Kubectl) -> None:
    """Wait until the HPA says that it cannot read the scale of an object that the operator scales."""

    def able() -> list[str]:
        conditions = kubectl("get", "hpa", "small", "-o", "json")["status"].get("conditions") or []
        return [each["reason"] for each in conditions if each["type"] == "AbleToScale"]

    eventually(able, lambda found: found == ["FailedGetScale"], within_seconds=4 * SYNC_SECONDS)


@pytest.fixture
def scaled_objects(cluster_kubectl: Kubectl) -> Iterator[None]:
    """KEDA's kind, served without KEDA."""
    file = f"--filename={DATA / 'keda_scaledobjects.yaml'}"
    cluster_kubectl("apply", "--server-side", file)
    cluster_kubectl("wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "--timeout=30s")
    try:
        yield
    finally:
        cluster_kubectl("delete", file)


@pytest.mark.parametrize("name", ["hpa", "keda"])
def test_what_render_makes_is_accepted_word_by_word(kubectl: Kubectl, scaled_objects: None, name: str) -> None:
    (made,) = yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text())
    made["metadata"]["namespace"] = kubectl.namespace
    stored = eventually(lambda: applied(kubectl, made), what="the kind is served")
    assert {key: stored["spec"][key] for key in made["spec"]} == made["spec"]


def applied(kubectl: Kubectl, manifest: dict[str, Any]) -> dict[str, Any]:
    command = ("apply", "--server-side", "--validate=strict", "--filename=-", "-o", "json")
    stored: dict[str, Any] = kubectl(*command, stdin=manifest)
    return stored
