from __future__ import annotations

from copy import deepcopy

import pytest

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.host_use import HostUse
from deepseek_operator.capacity.inventory import inventory
from deepseek_operator.capacity.supply import supply
from deepseek_operator.errors import InventoryError


@pytest.fixture
def state() -> ClusterState:
    """Return two nodes with one pod on the first."""
    made = ClusterState()
    made.set_node(gpu_node("a"))
    made.set_node(gpu_node("b"))
    made.set_pod(gpu_pod("p", gpus=4, node="a"))
    return made


def free(state: ClusterState) -> dict[str, int]:
    return {node.name: node.free_gpus for node in state.inventory().nodes}


def test_it_equals_the_inventory_of_the_same_objects(state: ClusterState):
    nodes, pods = [gpu_node("a"), gpu_node("b")], [gpu_pod("p", gpus=4, node="a")]
    assert state.inventory() == inventory([read_node(node) for node in nodes], [read_pod(pod) for pod in pods])


def test_the_inventory_is_kept_until_something_changes(state: ClusterState):
    before = state.inventory()
    assert state.inventory() is before
    state.set_pod(gpu_pod("q", gpus=1, node="b"))
    after = state.inventory()
    assert after.nodes[0] is before.nodes[0]
    assert after.nodes[1].free_gpus == 7


def test_what_plans_are_made_on_changes_with_nodes_and_not_with_pods(state: ClusterState):
    before, supplied = state.offers(), supply(state.inventory())
    state.set_pod(gpu_pod("q", gpus=1, node="b"))
    state.set_pod(gpu_pod("web", gpus=3, resource="cpu", node="a"))
    state.remove_pod("default", "p")
    assert (state.offers(), supply(state.inventory())) == (before, supplied)
    state.set_node(gpu_node("b"))
    assert state.offers() == before
    state.set_node(gpu_node("c"))
    added = state.offers()
    state.remove_node("c")
    assert len({before, added, state.offers()}) == 3


def test_the_pods_of_a_node_are_summed_up(state: ClusterState):
    state.set_pod(gpu_pod("q", gpus=1, node="b", labels={"deepseek-operator.io/deployment": "r1"}))
    nodes = state.inventory().nodes
    assert [node.deployments for node in nodes] == [{("default", "")}, {("default", "r1")}]
    assert [node.free_host for node in nodes] == [
        node.host.minus(node.others).minus(node.pods[0].host) for node in nodes
    ]


def test_a_heartbeat_changes_nothing(state: ClusterState):
    before = state.inventory()
    node, pod = gpu_node("a"), gpu_pod("p", gpus=4, node="a")
    node["status"]["conditions"][1]["lastHeartbeatTime"] = "2026-01-01T00:00:10Z"
    node["metadata"]["resourceVersion"] = "2"
    pod["status"]["podIP"] = "10.0.0.1"
    assert (state.set_node(node), state.set_pod(pod)) == (False, False)
    assert state.inventory() is before


def test_a_pod_without_gpus_changes_nothing_where_there_are_none(state: ClusterState):
    assert not state.set_pod(gpu_pod("web", resource="cpu", node="elsewhere"))
    assert not state.remove_pod("default", "web")


def test_a_pod_without_gpus_takes_its_share_of_the_host_until_it_is_gone(state: ClusterState):
    def others(name: str) -> HostUse:
        return next(node.others for node in state.inventory().nodes if node.name == name)

    assert state.set_pod(gpu_pod("web", gpus=3, resource="cpu", node="a"))
    assert not state.set_pod(gpu_pod("web", gpus=3, resource="cpu", node="a"))
    assert others("a") == HostUse(cpu_milli=3000, pods=1)
    assert state.set_pod(gpu_pod("web", gpus=2, resource="cpu", node="b", uid="second"))
    assert (others("a"), others("b")) == (HostUse(), HostUse(cpu_milli=2000, pods=1))
    assert not state.remove_pod("default", "web", "first")
    assert ("default", "web", "second") in state.pod_names()
    assert state.remove_pod("default", "web", "second")
    assert others("b") == HostUse()


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_finished_gives_its_gpus_back(state: ClusterState, phase: str):
    assert state.set_pod(gpu_pod("p", gpus=4, node="a", phase=phase))
    assert free(state) == {"a": 8, "b": 8}


def test_a_pod_that_is_deleted_gives_its_gpus_back(state: ClusterState):
    assert state.remove_pod("default", "p", "uid-default-p")
    assert not state.remove_pod("default", "p", "uid-default-p")
    assert free(state) == {"a": 8, "b": 8}


def test_a_late_deletion_does_not_drop_the_successor_of_the_same_name(state: ClusterState):
    state.set_pod(gpu_pod("p", gpus=2, node="b", uid="second"))
    assert not state.remove_pod("default", "p", "uid-default-p")
    assert free(state) == {"a": 8, "b": 6}


def test_a_pod_waits_until_it_is_bound(state: ClusterState):
    state.set_pod(gpu_pod("q", gpus=8, phase="Pending"))
    assert free(state) == {"a": 4, "b": 8}
    state.set_pod(gpu_pod("q", gpus=8, node="b"))
    assert free(state) == {"a": 4, "b": 0}


def test_a_pod_is_remembered_for_a_node_that_comes_later(state: ClusterState):
    state.set_pod(gpu_pod("q", gpus=8, node="c"))
    assert free(state) == {"a": 4, "b": 8}
    state.set_node(gpu_node("c"))
    assert free(state) == {"a": 4, "b": 8, "c": 0}


def test_a_node_that_is_deleted_leaves_the_inventory(state: ClusterState):
    assert state.remove_node("a")
    assert not state.remove_node("a")
    assert free(state) == {"b": 8}


def test_a_broken_object_leaves_what_was_known(state: ClusterState):
    broken = deepcopy(gpu_node("a"))
    broken["status"]["allocatable"]["nvidia.com/gpu"] = "many"
    with pytest.raises(InventoryError, match=r"node a: nvidia\.com/gpu: 'many' is no Kubernetes"):
        state.set_node(broken)
    assert free(state) == {"a": 4, "b": 8}


def test_what_is_known_is_listed_by_name(state: ClusterState):
    assert (state.node_names(), [key[:2] for key in state.pod_names()]) == (["a", "b"], [("default", "p")])
