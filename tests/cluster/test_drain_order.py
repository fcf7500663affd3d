"""When replicas go, those with the fewest requests in flight go first; the real ReplicaSet controller chooses."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from cluster.deployments import small, wait_ready
from cluster.fake_engine import RECORDED, fake_engine, move_to
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually
from cluster.settling import settle, writes
from deepseek_operator.scaling.deletion_cost import ANNOTATION_DELETION_COST

pytestmark = pytest.mark.usefixtures("resource_definition")

IN_FLIGHT = (5, 0, 9, 2)


def page(in_flight: int) -> str:
    """Return the recorded page of an engine with so many requests in its batch."""
    lines = RECORDED.split("\n")
    running = "vllm:num_requests_running{"
    return "\n".join(f"{line.rsplit(' ', 1)[0]} {in_flight}.0" if line.startswith(running) else line for line in lines)


def costs(kubectl: Kubectl) -> dict[str, str | None]:
    """Return the cost of every pod that is not on its way out."""
    return {
        pod["metadata"]["name"]: pod["metadata"].get("annotations", {}).get(ANNOTATION_DELETION_COST)
        for pod in kubectl("get", "pods", "-o", "json")["items"]
        if not pod["metadata"].get("deletionTimestamp")
    }


def test_the_replicas_with_least_to_do_go_first(kubectl: Kubectl, tmp_path: Path) -> None:
    with contextlib.ExitStack() as engines, running_operator(kubectl, tmp_path, engines=True) as operator:
        kubectl.apply(small(replicas=4, scaling={"owner": "External", "maxReplicas": 4}))
        wait_ready(kubectl, "small")
        pods = sorted(costs(kubectl))
        for pod, in_flight in zip(pods, IN_FLIGHT, strict=True):
            move_to(kubectl, pod, engines.enter_context(fake_engine(page(in_flight))).address)
        settle(kubectl, operator)
        assert set(costs(kubectl).values()) == {None}

        kubectl("scale", "dsd", "small", "--replicas=2")
        eventually(lambda: len(costs(kubectl)), lambda found: found == 2)
        assert costs(kubectl) == {pods[0]: None, pods[2]: None}
        assert [line for line in writes(operator) if 'resource="pods"' in line and "PATCH" in line] == [
            'deepseek_operator_api_calls_total{resource="pods",status="200",verb="PATCH"} 2.0'
        ]

        kubectl("scale", "dsd", "small", "--replicas=1")
        eventually(lambda: len(costs(kubectl)), lambda found: found == 1)
        assert costs(kubectl) == {pods[2]: None}


def test_the_cost_is_written_without_a_right_to_change_the_pod(kubectl: Kubectl, tmp_path: Path) -> None:
    """The pod that should go is held by a finalizer, so that what was written on it can be seen."""
    with contextlib.ExitStack() as engines, running_operator(kubectl, tmp_path, engines=True):
        kubectl.apply(small(replicas=2, scaling={"owner": "External", "maxReplicas": 2}))
        wait_ready(kubectl, "small")
        busy, idle = sorted(costs(kubectl))
        for pod, in_flight in ((busy, 3), (idle, 1)):
            move_to(kubectl, pod, engines.enter_context(fake_engine(page(in_flight))).address)
        hold = '{"metadata":{"finalizers":["example.com/hold"]}}'
        kubectl("patch", "pod", idle, "--type=merge", f"--patch={hold}")

        kubectl("scale", "dsd", "small", "--replicas=1")
        eventually(lambda: set(costs(kubectl)), lambda found: found == {busy})
        metadata = kubectl("get", "pod", idle, "-o", "json", "--show-managed-fields")["metadata"]
        kubectl("patch", "pod", idle, "--type=merge", '--patch={"metadata":{"finalizers":null}}')

        assert metadata["annotations"][ANNOTATION_DELETION_COST] == "-1"
        ours = [each for each in metadata["managedFields"] if each["manager"] == "deepseek-operator"]
        assert [(each["operation"], each["subresource"]) for each in ours] == [("Apply", "status")]
