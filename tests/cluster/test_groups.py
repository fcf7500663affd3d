"""Replicas over several nodes on a real control plane: with LeaderWorkerSet and its controller, and without."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.deployments import condition, sample, status, wait_condition, wait_established, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import OperatorProcess, running_operator
from cluster.polling import eventually
from deepseek_operator.resources.priorityclass import build_priority_classes
from deepseek_operator.sandbox import (
    Binaries,
    FakeNode,
    LeaderWorkerSetFiles,
    alike,
    down,
    find_or_build_leader_worker_set,
    on_stderr,
    up,
)

ROOT = Path(__file__).parents[2]
NODES = alike(6, FakeNode("h100", "h100-sxm5-80gb", cpu_cores=192, memory_gib=2048))
"""Room for three groups of two nodes."""

LEADER_WORKER_SET, PLAIN = "LeaderWorkerSet", "StatefulSet"
BUILD_SECONDS = 1200
"""The first test may build LeaderWorkerSet's controller: 2 to 3 minutes on two idle cores."""

_numbers = itertools.count(1)

pytestmark = pytest.mark.timeout(BUILD_SECONDS)


@pytest.fixture(scope="module")
def leader_worker_set() -> LeaderWorkerSetFiles:
    return find_or_build_leader_worker_set(on_stderr())


@pytest.fixture(scope="module", params=[LEADER_WORKER_SET, PLAIN])
def plane(
    request: pytest.FixtureRequest, binaries: Binaries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Kubectl]]:
    """A control plane of its own with six nodes of eight H100, and what makes groups there."""
    kind = str(request.param)
    files = request.getfixturevalue("leader_worker_set") if kind == LEADER_WORKER_SET else None
    directory = tmp_path_factory.mktemp("groups")
    try:
        state = up(directory, NODES, binaries=binaries, ends_with_caller=True, leader_worker_set=files)
        kubectl = Kubectl(state.kubectl, state.kubeconfig)
        kubectl("apply", "--server-side", "--filename", str(ROOT / "crds"))
        wait_established(kubectl)
        kubectl.apply(*build_priority_classes())
        yield kind, kubectl
    finally:
        down(directory)


@pytest.fixture
def kubectl(plane: tuple[str, Kubectl]) -> Iterator[Kubectl]:
    """kubectl in a fresh namespace of that control plane; afterwards its pods are gone."""
    name = f"groups-{os.getpid()}-{next(_numbers)}"
    within = plane[1].within(name)
    within("create", "namespace", name)
    try:
        within("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
        yield within
    finally:
        within("delete", "namespace", name, "--wait=false")
        eventually(lambda: pods_of(within), lambda found: not found, within_seconds=60, what="its pods are gone")


@pytest.fixture
def operator(kubectl: Kubectl, tmp_path: Path) -> Iterator[OperatorProcess]:
    with running_operator(kubectl, tmp_path) as process:
        yield process


def r1(**scaling: object) -> dict[str, Any]:
    """Return the R1 sample that starts by itself and needs no volume."""
    made = sample("deepseek-r1")
    made["spec"]["apply"] = "Auto"
    del made["spec"]["model"]["cache"]
    made["spec"]["hardware"] = {"gpus": ["h100-sxm5-80gb"]}
    made["spec"]["scaling"] = {"minReplicas": 1, "maxReplicas": 3} | scaling
    return made


def pods_of(kubectl: Kubectl) -> dict[str, dict[str, Any]]:
    """Return the pods of the namespace by name."""
    return {pod["metadata"]["name"]: pod for pod in kubectl("get", "pods", "-o", "json")["items"]}


def uids_of(kubectl: Kubectl) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in pods_of(kubectl).items()}


def role_of(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["labels"]["deepseek-operator.io/role"])


def roles(kubectl: Kubectl) -> list[str]:
    return sorted(role_of(pod) for pod in pods_of(kubectl).values())


def worker_of(kubectl: Kubectl) -> str:
    [name] = [name for name, pod in pods_of(kubectl).items() if role_of(pod) == "worker"]
    return name


def wait_counts(kubectl: Kubectl, groups: int) -> None:
    """Wait until so many groups are ready, each with both of its pods on a node."""
    wanted = ["leader"] * groups + ["worker"] * groups
    eventually(lambda: roles(kubectl), lambda found: found == wanted, within_seconds=60, what=f"{groups} groups")
    eventually(
        lambda: status(kubectl, "deepseek-r1").get("summary", {}).get("ready"),
        lambda found: found == f"{groups}/{groups}",
        within_seconds=60,
        what=f"{groups} groups are ready",
    )


def test_r1_comes_up_as_one_group_on_two_nodes(
    plane: tuple[str, Kubectl], operator: OperatorProcess, kubectl: Kubectl
) -> None:
    kubectl.apply(r1())
    wait_ready(kubectl, "deepseek-r1")

    found = status(kubectl, "deepseek-r1")
    pods = pods_of(kubectl).values()
    kinds = {LEADER_WORKER_SET: "leaderworkersets", PLAIN: "statefulsets"}
    made = kubectl("get", kinds[plane[0]], "-l", "app.kubernetes.io/managed-by", "-o", "json")["items"]

    assert (found["plan"]["nodesPerReplica"], found["summary"]["ready"]) == (2, "1/1")
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2
    assert len(made) == (1 if plane[0] == LEADER_WORKER_SET else 2)
    [leader] = kubectl("get", "pods", "-l", found["selector"], "-o", "json")["items"]
    slices = eventually(
        lambda: kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=deepseek-r1", "-o", "json")["items"],
        lambda items: bool(items and items[0].get("endpoints")),
        what="the Service has an endpoint",
    )
    targets = [each["targetRef"]["name"] for each in slices[0]["endpoints"]]
    assert targets == [leader["metadata"]["name"]]


def test_losing_one_worker_restarts_its_group_and_no_other(
    operator: OperatorProcess, kubectl: Kubectl, plane: tuple[str, Kubectl]
) -> None:
    kubectl.apply(r1(minReplicas=2))
    wait_ready(kubectl, "deepseek-r1")
    wait_counts(kubectl, 2)
    before = uids_of(kubectl)
    workers = sorted(name for name, pod in pods_of(kubectl).items() if role_of(pod) == "worker")
    [leader] = [name for name in before if name in partners(workers[0]) and name not in workers]

    kubectl("delete", "pod", workers[0], "--grace-period=1", "--wait=false")

    after = eventually(
        lambda: uids_of(kubectl),
        lambda found: (
            found.keys() == before.keys()
            and found[workers[0]] != before[workers[0]]
            and found[leader] != before[leader]
        ),
        within_seconds=60,
        what="both pods of the group are new",
    )
    wait_counts(kubectl, 2)
    others = before.keys() - {workers[0], leader}
    assert {name: after[name] for name in others} == {name: before[name] for name in others}
    assert uids_of(kubectl) == after, "the group is restarted once"
    told = kubectl("get", "events", "--field-selector=reason=GroupRestarted", "-o", "json")["items"]
    assert len(told) == (1 if plane[0] == PLAIN else 0)


def partners(worker: str) -> set[str]:
    """Return the names that the leader of a worker may have, for either kind of workload."""
    stem, _, last = worker.rpartition("-")
    return {stem, f"{stem.rpartition('-')[0]}-0-{last}"}


def test_a_restarted_container_restarts_its_group(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(r1())
    wait_ready(kubectl, "deepseek-r1")
    before, worker = uids_of(kubectl), worker_of(kubectl)

    crashed = [{"op": "replace", "path": "/status/containerStatuses/0/restartCount", "value": 1}]
    kubectl("patch", "pod", worker, "--subresource=status", "--type=json", f"--patch={yaml.safe_dump(crashed)}")

    eventually(
        lambda: uids_of(kubectl),
        lambda found: found.keys() == before.keys() and not set(found.values()) & set(before.values()),
        within_seconds=60,
        what="both pods are new",
    )
    wait_counts(kubectl, 1)


def test_groups_are_scaled_to_three_and_back(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(r1(owner="External"))
    wait_ready(kubectl, "deepseek-r1")
    first = uids_of(kubectl)

    kubectl("scale", "dsd", "deepseek-r1", "--replicas=3")
    wait_counts(kubectl, 3)
    nodes = [pod["spec"]["nodeName"] for pod in pods_of(kubectl).values()]
    assert len(nodes) == len(set(nodes)) == 6

    kubectl("scale", "dsd", "deepseek-r1", "--replicas=1")
    wait_counts(kubectl, 1)
    assert uids_of(kubectl) == first


def test_a_group_that_does_not_fit_leaves_no_half_group(operator: OperatorProcess, kubectl: Kubectl) -> None:
    others = [holder(number) for number in range(5)]
    kubectl.apply(*others)
    kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")

    kubectl.apply(r1())
    refused = wait_condition(kubectl, "deepseek-r1", "CapacityAvailable", "False", "InsufficientFreeGpus")

    assert "needs 8 free h100-sxm5-80gb on each of 2 nodes; 1 node has that many" in refused["message"]
    waits = wait_condition(kubectl, "deepseek-r1", "Ready", "False", "WaitingForGpus")
    assert waits["message"].endswith(refused["message"])
    assert set(pods_of(kubectl)) == {each["metadata"]["name"] for each in others}

    kubectl("delete", "pod", "holder-0", "--wait=false")
    wait_ready(kubectl, "deepseek-r1")
    assert condition(kubectl, "deepseek-r1", "CapacityAvailable")["status"] == "True"


def test_two_objects_that_want_the_same_nodes_make_one_group_and_no_halves(
    operator: OperatorProcess, kubectl: Kubectl
) -> None:
    kubectl.apply(*(holder(number) for number in range(4)))
    kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")

    names = ("deepseek-r1", "other-r1")
    kubectl.apply(*({**r1(), "metadata": {"name": name}} for name in names))

    def states() -> list[str]:
        return sorted(condition(kubectl, name, "CapacityAvailable").get("reason", "") for name in names)

    eventually(states, lambda found: found == ["InsufficientFreeGpus", "Placed"], within_seconds=60, what="one runs")
    assert roles_of_groups(kubectl) == ["leader", "worker"]


def roles_of_groups(kubectl: Kubectl) -> list[str]:
    members = kubectl("get", "pods", "-l", "deepseek-operator.io/role", "-o", "json")["items"]
    return sorted(role_of(pod) for pod in members)


def holder(number: int) -> dict[str, Any]:
    """Return a pod of somebody else that holds all GPUs of a node."""
    gpus = {"limits": {"nvidia.com/gpu": "8"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"holder-{number}"},
        "spec": {"containers": [{"name": "holder", "image": "holder", "resources": gpus}]},
    }


def test_deleting_the_object_removes_every_pod_and_child(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(r1(minReplicas=2))
    wait_ready(kubectl, "deepseek-r1")

    kubectl("delete", "dsd", "deepseek-r1", "--timeout=10s")

    kinds = "statefulsets,services,configmaps,poddisruptionbudgets,pods"
    eventually(
        lambda: kubectl("get", kinds, "-l", "app.kubernetes.io/part-of=deepseek-operator", "-o", "name").split(),
        lambda found: not found,
        within_seconds=60,
        what="nothing of it is left",
    )
    eventually(lambda: kubectl("get", "statefulsets", "-o", "name"), lambda found: not found, within_seconds=60)


def test_a_new_plan_replaces_the_groups(operator: OperatorProcess, kubectl: Kubectl) -> None:
    kubectl.apply(r1(minReplicas=2))
    wait_ready(kubectl, "deepseek-r1")
    before = uids_of(kubectl)

    changed = r1(minReplicas=2)
    changed["spec"]["workload"]["maxContextTokens"] = 16384
    kubectl.apply(changed)

    def arguments() -> set[str]:
        pods = pods_of(kubectl).values()
        return {
            word for pod in pods for word in pod["spec"]["containers"][0]["args"] if word.startswith("--max-model-len=")
        }

    eventually(arguments, lambda found: found == {"--max-model-len=16384"}, within_seconds=90, what="all pods are new")
    wait_counts(kubectl, 2)
    assert not set(before.values()) & set(uids_of(kubectl).values())


def test_a_killed_worker_while_no_operator_ran_is_noticed(
    plane: tuple[str, Kubectl], kubectl: Kubectl, tmp_path: Path
) -> None:
    with running_operator(kubectl, tmp_path) as operator:
        kubectl.apply(r1())
        wait_ready(kubectl, "deepseek-r1")
        before, worker = uids_of(kubectl), worker_of(kubectl)
        operator.kill()
    if plane[0] == PLAIN:
        early(kubectl, before, worker)
    kubectl("delete", "pod", worker, "--grace-period=1", "--wait=false")

    with running_operator(kubectl, tmp_path):
        eventually(
            lambda: uids_of(kubectl),
            lambda found: found.keys() == before.keys() and not set(found.values()) & set(before.values()),
            within_seconds=90,
            what="both pods are new",
        )
        wait_counts(kubectl, 1)


def early(kubectl: Kubectl, before: dict[str, str], worker: str) -> None:
    """Set back the time since which the leader is ready: the tests do not wait for what a person would."""
    [leader] = before.keys() - {worker}
    conditions = pods_of(kubectl)[leader]["status"]["conditions"]
    index = next(number for number, each in enumerate(conditions) if each["type"] == "Ready")
    path = f"/status/conditions/{index}/lastTransitionTime"
    patch = [{"op": "replace", "path": path, "value": "2026-01-01T00:00:00Z"}]
    kubectl("patch", "pod", leader, "--subresource=status", "--type=json", f"--patch={yaml.safe_dump(patch)}")


GOLDEN = sorted((ROOT / "tests" / "golden" / "manifests").glob("*.yaml"))


@pytest.mark.parametrize("plane", [LEADER_WORKER_SET], indirect=True)
def test_golden_leader_worker_sets_are_accepted(kubectl: Kubectl) -> None:
    manifests = [each for file in GOLDEN for each in yaml.safe_load_all(file.read_text())]
    sets = [each for each in manifests if each["kind"] == "LeaderWorkerSet"]
    for manifest in sets:
        there = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
        kubectl(
            "create", "--dry-run=server", "--validate=strict", "--filename=-", stdin={**manifest, "metadata": there}
        )
    assert len(sets) >= 4
