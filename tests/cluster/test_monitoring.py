"""PodMonitors with the Prometheus Operator's real definition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster.deployments import small, status, uids, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually

DEFINITION = Path(__file__).parent / "data" / "podmonitors.yaml"
GOLDEN = Path(__file__).parents[1] / "golden" / "manifests"
NAME = "podmonitors.monitoring.coreos.com"
SECONDS_TO_RECOVER = 300
SECONDS_TO_FIND = 60
"""The operator looks for new APIs every 30 seconds."""


@pytest.fixture
def no_definition(cluster_kubectl: Kubectl) -> Iterator[None]:
    """The cluster without the definition, before and after."""
    yield
    cluster_kubectl("delete", "crd", NAME, "--ignore-not-found")


def install(kubectl: Kubectl) -> None:
    kubectl("apply", "--server-side", "--filename", str(DEFINITION))
    kubectl("wait", "--for=jsonpath={.status.acceptedNames.kind}=PodMonitor", f"crd/{NAME}")
    kubectl("wait", "--for=condition=Established", f"crd/{NAME}")


@pytest.mark.usefixtures("no_definition")
def test_golden_pod_monitors_are_accepted(kubectl: Kubectl) -> None:
    install(kubectl)
    seen = 0
    for file in sorted(GOLDEN.glob("monitored*.yaml")):
        for manifest in yaml.safe_load_all(file.read_text()):
            if manifest["kind"] == "PodMonitor":
                manifest["metadata"].pop("namespace")
                kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=manifest)
                seen += 1
    assert seen == 3


@pytest.mark.timeout(2 * SECONDS_TO_RECOVER)
@pytest.mark.usefixtures("no_definition", "resource_definition")
def test_a_definition_that_is_installed_later_restarts_nothing(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(small())
        wait_ready(kubectl, "small")
        before = uids(kubectl)
        install(kubectl)
        (monitor,) = eventually(
            lambda: kubectl("get", "podmonitors", "-o", "json")["items"],
            within_seconds=SECONDS_TO_FIND,
            what="the PodMonitor",
        )
        assert monitor["spec"]["selector"]["matchLabels"]["deepseek-operator.io/deployment"] == "small"
        assert monitor["metadata"]["ownerReferences"][0]["kind"] == "DeepSeekDeployment"
        kubectl("delete", "podmonitor", "small")
        eventually(lambda: kubectl("get", "podmonitors", "-o", "json")["items"], what="it is made again")
        assert uids(kubectl) == before
        kubectl("delete", "crd", NAME)
        kubectl.apply(small(rollout={"maxSurge": 1}))
        eventually(
            lambda: status(kubectl, "small")["observedGeneration"],
            lambda generation: generation == 2,
            within_seconds=SECONDS_TO_FIND,
            what="the object is worked on without the definition",
        )
        # A try that failed on the missing definition is tried again after a back-off.
        kubectl("wait", "--for=condition=Ready", f"--timeout={SECONDS_TO_RECOVER}s", "dsd/small")
        assert uids(kubectl) == before
