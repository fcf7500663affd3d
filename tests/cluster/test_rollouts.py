"""A change reaches running replicas without taking more of them than it must, on full clusters too."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.deployments import condition, sample, status, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually

pytestmark = pytest.mark.usefixtures("resource_definition")

NAME = "deepseek-67b"
PLAN_HASH = r"deepseek-operator\.io/plan-hash"


def whole_node(nodes: str, replicas: int, context: int = 4096, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    """Return a deployment whose replica takes all eight GPUs of a node of the test's own pool."""
    made = sample(NAME)
    made["spec"] |= {
        "workload": {**made["spec"]["workload"], "maxContextTokens": context},
        "hardware": {"gpus": ["h100-sxm5-80gb"], "nodeSelector": {"example.com/pool": nodes}},
        "parallelism": {"tensor": 8},
        "scaling": {"minReplicas": replicas, "maxReplicas": replicas},
        **spec,
    }
    return made


@pytest.fixture
def pool(cluster_kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    """As many H100 nodes of eight GPUs as the test asks for, labelled for it alone."""
    nodes = [f"h100-{number}" for number in range(request.param)]
    cluster_kubectl("label", "node", *nodes, "example.com/pool=rollouts", "--overwrite")
    try:
        yield "rollouts"
    finally:
        cluster_kubectl("label", "node", *nodes, "example.com/pool-")


@dataclass
class Watched:
    """Every state of a Deployment's status that the API server has told of."""

    file: Path

    def available(self) -> list[int]:
        """Return the available replicas of each state, the first one included."""
        decoder, text, found = json.JSONDecoder(), self.file.read_text(), []
        position = 0
        while position < len(text):
            body, end = decoder.raw_decode(text, position)
            found.append(int(body["status"].get("availableReplicas") or 0))
            position = end + 1
        return found


@contextlib.contextmanager
def watching(kubectl: Kubectl, folder: Path, name: str = NAME) -> Iterator[Watched]:
    """Watch a Deployment: each change of it, not samples of it."""
    file = folder / f"watch-{name}.json"
    command = [str(kubectl.program), f"--kubeconfig={kubectl.kubeconfig}", f"--namespace={kubectl.namespace}"]
    with file.open("wb") as output:
        process = subprocess.Popen([*command, "get", "deployment", name, "--watch", "-o", "json"], stdout=output)
    try:
        eventually(lambda: file.stat().st_size > 0, what="the watch has begun")
        yield Watched(file)
    finally:
        process.terminate()
        process.wait(timeout=30)


def rolled_out(kubectl: Kubectl, replicas: int, context: int) -> None:
    """Wait until all pods of the deployment run with a context, and nothing rolls any more."""
    argument = f"--max-model-len={context}"

    def is_done() -> bool:
        pods = kubectl("get", "pods", "-o", "json")["items"]
        new = [pod for pod in pods if argument in pod["spec"]["containers"][0]["args"]]
        return len(pods) == len(new) == replicas and not condition(kubectl, NAME, "RollingOut")

    eventually(is_done, what="the rollout ends", within_seconds=90)
    wait_ready(kubectl, NAME)


def reasons(kubectl: Kubectl) -> set[str]:
    items = kubectl("get", "events", "-o", "json")["items"]
    return {each["reason"] for each in items if each["involvedObject"]["kind"] == "DeepSeekDeployment"}


@pytest.mark.parametrize("pool", [2], indirect=True)
def test_two_replicas_on_full_nodes_are_replaced_one_after_the_other(
    kubectl: Kubectl, pool: str, tmp_path: Path
) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(whole_node(pool, 2))
        wait_ready(kubectl, NAME)
        with watching(kubectl, tmp_path) as watched:
            kubectl.apply(whole_node(pool, 2, context=2048))
            rolled_out(kubectl, 2, context=2048)
        assert min(watched.available()) == 1
        eventually(lambda: reasons(kubectl), lambda found: "OneAtATime" in found, what="the way of the rollout")
        assert "EditUndone" not in reasons(kubectl)
        strategy = kubectl("get", "deployment", NAME, "-o", "json")["spec"]["strategy"]["rollingUpdate"]
        assert strategy == {"maxSurge": 0, "maxUnavailable": 1}


@pytest.mark.parametrize("pool", [3], indirect=True)
def test_with_gpus_to_spare_no_replica_is_missing(kubectl: Kubectl, pool: str, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(whole_node(pool, 2))
        wait_ready(kubectl, NAME)
        with watching(kubectl, tmp_path) as watched:
            kubectl.apply(whole_node(pool, 2, context=2048))
            rolled_out(kubectl, 2, context=2048)
        assert min(watched.available()) == 2
        eventually(lambda: reasons(kubectl), lambda found: "SurgeFirst" in found, what="the way of the rollout")


@pytest.mark.parametrize("pool", [3], indirect=True)
def test_a_limit_of_gpus_counts_in_a_rollout_too(kubectl: Kubectl, pool: str, tmp_path: Path) -> None:
    limited = whole_node(pool, 2)
    limited["spec"]["hardware"]["maxGpusTotal"] = 16
    with running_operator(kubectl, tmp_path):
        kubectl.apply(limited)
        wait_ready(kubectl, NAME)
        limited["spec"]["workload"]["maxContextTokens"] = 2048
        with watching(kubectl, tmp_path) as watched:
            kubectl.apply(limited)
            rolled_out(kubectl, 2, context=2048)
        assert min(watched.available()) == 1


@pytest.mark.parametrize("pool", [1], indirect=True)
def test_the_only_replica_of_a_full_cluster_is_replaced_after_that_was_said(
    kubectl: Kubectl, pool: str, tmp_path: Path
) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(whole_node(pool, 1))
        wait_ready(kubectl, NAME)
        kubectl.apply(whole_node(pool, 1, context=2048))
        rolled_out(kubectl, 1, context=2048)
        eventually(lambda: reasons(kubectl), lambda found: "BriefOutage" in found, what="the outage is told")


@pytest.mark.parametrize("pool", [1], indirect=True)
def test_who_wants_no_replica_missing_waits_for_gpus(
    kubectl: Kubectl, cluster_kubectl: Kubectl, pool: str, tmp_path: Path
) -> None:
    careful = {"rollout": {"maxUnavailable": 0}}
    with running_operator(kubectl, tmp_path):
        kubectl.apply(whole_node(pool, 1, **careful))
        wait_ready(kubectl, NAME)
        with watching(kubectl, tmp_path) as watched:
            kubectl.apply(whole_node(pool, 1, context=2048, **careful))
            told = eventually(
                lambda: condition(kubectl, NAME, "RollingOut"),
                lambda found: found.get("reason") == "WaitingForGpus" and "0 of 8" in found["message"],
                what="what it waits for",
            )
            assert told["status"] == "True"
            cluster_kubectl("label", "node", "h100-1", "example.com/pool=rollouts", "--overwrite")
            try:
                rolled_out(kubectl, 1, context=2048)
            finally:
                cluster_kubectl("label", "node", "h100-1", "example.com/pool-")
        assert min(watched.available()) == 1


@pytest.mark.parametrize("pool", [3], indirect=True)
def test_a_plan_with_fewer_replicas_first_starts_one_of_them(kubectl: Kubectl, pool: str, tmp_path: Path) -> None:
    """Two replicas become one of another plan: the number follows the template, never the other way round."""
    with running_operator(kubectl, tmp_path):
        kubectl.apply(whole_node(pool, 2))
        wait_ready(kubectl, NAME)
        with watching(kubectl, tmp_path) as watched:
            kubectl.apply(whole_node(pool, 1, context=2048))
            rolled_out(kubectl, 1, context=2048)
        assert min(watched.available()) >= 1
        assert status(kubectl, NAME)["scaling"]["desiredReplicas"] == 1


@contextlib.contextmanager
def drained(cluster_kubectl: Kubectl, *nodes: str) -> Iterator[None]:
    """Drain nodes as an administrator does, by the eviction API; it fails when a pod cannot be evicted in time."""
    arguments = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s")
    try:
        cluster_kubectl("drain", *nodes, *arguments, f"--pod-selector=deepseek-operator.io/deployment={NAME}")
        yield
    finally:
        cluster_kubectl("uncordon", *nodes)


@pytest.mark.parametrize("pool", [3], indirect=True)
def test_a_drain_of_two_nodes_takes_one_replica_at_a_time(
    kubectl: Kubectl, cluster_kubectl: Kubectl, pool: str, tmp_path: Path
) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(whole_node(pool, 2))
        wait_ready(kubectl, NAME)
        nodes = {pod["spec"]["nodeName"] for pod in kubectl("get", "pods", "-o", "json")["items"]}
        with watching(kubectl, tmp_path) as watched, drained(cluster_kubectl, *sorted(nodes)):
            pods = kubectl("get", "pods", "-o", "json")["items"]
            assert nodes.isdisjoint({pod["spec"].get("nodeName") for pod in pods})
        assert min(watched.available()) == 1


@pytest.mark.parametrize("pool", [1], indirect=True)
def test_a_drain_is_not_blocked_by_the_only_replica(
    kubectl: Kubectl, cluster_kubectl: Kubectl, pool: str, tmp_path: Path
) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(whole_node(pool, 1))
        wait_ready(kubectl, NAME)
        with drained(cluster_kubectl, "h100-0"):
            capacity = eventually(
                lambda: condition(kubectl, NAME, "CapacityAvailable"), lambda found: found["status"] == "False"
            )
            assert "left out" in capacity["message"]
        wait_ready(kubectl, NAME)


def serving_throughout(file: Path) -> int:
    """Return the fewest pods that answered requests at any moment, after the first one did.

    Each event of the watch is looked at; a pod that is going away still serves until it is gone.
    """
    decoder, text, position = json.JSONDecoder(), file.read_text(), 0
    ready: dict[str, bool] = {}
    fewest: list[int] = []
    while position < len(text):
        event, end = decoder.raw_decode(text, position)
        position = end + 1
        pod = event["object"]
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
        ready[pod["metadata"]["name"]] = event["type"] != "DELETED" and conditions.get("Ready") == "True"
        if fewest or any(ready.values()):
            fewest.append(sum(ready.values()))
    return min(fewest)


@contextlib.contextmanager
def watching_leaders(kubectl: Kubectl, folder: Path) -> Iterator[Path]:
    """Watch the pods that answer requests."""
    file = folder / "watch-leaders.json"
    command = [str(kubectl.program), f"--kubeconfig={kubectl.kubeconfig}", f"--namespace={kubectl.namespace}"]
    command += [
        "get",
        "pods",
        "-l",
        "deepseek-operator.io/role=leader",
        "--watch",
        "--output-watch-events",
        "-o",
        "json",
    ]
    with file.open("wb") as output:
        process = subprocess.Popen(command, stdout=output)
    try:
        eventually(lambda: file.stat().st_size > 0, what="the watch has begun")
        yield file
    finally:
        process.terminate()
        process.wait(timeout=30)


def kinds(kubectl: Kubectl) -> set[str]:
    items = kubectl("get", "deployments,statefulsets", "-o", "json")["items"]
    return {each["kind"] for each in items}


OVER_NODES = {"parallelism": {"tensor": 8, "pipeline": 2}}


@pytest.mark.parametrize("pool", [3], indirect=True)
def test_groups_over_nodes_replace_replicas_on_one_node_and_back_without_an_outage(
    kubectl: Kubectl, pool: str, tmp_path: Path
) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(whole_node(pool, 1))
        wait_ready(kubectl, NAME)
        with watching_leaders(kubectl, tmp_path) as watch:
            kubectl.apply(whole_node(pool, 1, **OVER_NODES))
            eventually(lambda: kinds(kubectl), lambda found: found == {"StatefulSet"}, within_seconds=90)
            wait_ready(kubectl, NAME)
            kubectl.apply(whole_node(pool, 1))
            eventually(lambda: kinds(kubectl), lambda found: found == {"Deployment"}, within_seconds=90)
            wait_ready(kubectl, NAME)
        assert serving_throughout(watch) == 1


@pytest.mark.parametrize("pool", [2], indirect=True)
def test_where_both_kinds_do_not_fit_the_old_one_goes_first_after_that_was_said(
    kubectl: Kubectl, pool: str, tmp_path: Path
) -> None:
    with running_operator(kubectl, tmp_path):
        kubectl.apply(whole_node(pool, 1))
        wait_ready(kubectl, NAME)
        kubectl.apply(whole_node(pool, 1, **OVER_NODES))
        eventually(lambda: kinds(kubectl), lambda found: found == {"StatefulSet"}, within_seconds=90)
        wait_ready(kubectl, NAME)
        eventually(lambda: reasons(kubectl), lambda found: "BriefOutage" in found, what="the outage is told")
        assert not condition(kubectl, NAME, "RollingOut")
