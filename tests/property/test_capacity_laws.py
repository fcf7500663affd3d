"""Laws of counting GPUs: what fits, what is free, and that the order of events does not matter."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cluster_objects import A100_LABELS, H100_LABELS, gpu_node, gpu_pod
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.fits import count_in
from deepseek_operator.capacity.gpu_states import gpu_states
from deepseek_operator.capacity.inventory import inventory
from deepseek_operator.capacity.snapshot import load_snapshot, snapshot
from deepseek_operator.capacity.supply import supply

FREE = st.lists(st.integers(min_value=0, max_value=16), max_size=6)
NAMES = st.sampled_from("abcdef")


def place(free: list[int], request: int, nodes_per_replica: int, replicas: int) -> bool:
    """Return whether replicas fit, by trying: each takes its GPUs on the currently freest nodes."""
    left = sorted(free, reverse=True)
    for _ in range(replicas):
        if len(left) < nodes_per_replica or left[nodes_per_replica - 1] < request:
            return False
        left = sorted([room - request for room in left[:nodes_per_replica]] + left[nodes_per_replica:], reverse=True)
    return True


@st.composite
def nodes(draw: st.DrawFn) -> dict[str, Any]:
    gpus = draw(st.sampled_from([1, 4, 8]))
    return gpu_node(
        draw(NAMES),
        gpus=gpus,
        labels=draw(st.sampled_from([H100_LABELS, A100_LABELS])),
        allocatable=draw(st.sampled_from([None, {"nvidia.com/gpu": "7"}, {"nvidia.com/gpu": "32"}, {"cpu": "8"}])),
        unschedulable=draw(st.booleans()),
    )


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    return gpu_pod(
        draw(NAMES),
        gpus=draw(st.integers(min_value=0, max_value=8)),
        node=draw(st.sampled_from(["", *"abcdef"])),
        phase=draw(st.sampled_from(["Pending", "Running", "Succeeded", "Failed"])),
        deleting=draw(st.booleans()),
    )


NODES = st.lists(nodes(), max_size=6, unique_by=lambda node: node["metadata"]["name"])
PODS = st.lists(pods(), max_size=6, unique_by=lambda pod: pod["metadata"]["name"])


@given(free=FREE, request=st.integers(min_value=1, max_value=8))
def test_what_fits_takes_no_more_than_is_free_and_one_more_does_not_fit(free: list[int], request: int):
    count = count_in(free, request)
    assert count * request <= sum(free)
    assert place(free, request, 1, count)
    assert not place(free, request, 1, count + 1)


@given(free=FREE, request=st.integers(min_value=1, max_value=8), nodes_per_replica=st.integers(1, 4))
def test_groups_fit_exactly_as_often_as_they_can_be_placed(free: list[int], request: int, nodes_per_replica: int):
    count = count_in(free, request, nodes_per_replica)
    assert place(free, request, nodes_per_replica, count)
    assert not place(free, request, nodes_per_replica, count + 1)


@given(free=FREE, more=st.integers(0, 16), request=st.integers(1, 8), nodes_per_replica=st.integers(1, 4))
def test_another_node_never_makes_less_fit(free: list[int], more: int, request: int, nodes_per_replica: int):
    assert count_in([*free, more], request, nodes_per_replica) >= count_in(free, request, nodes_per_replica)


@given(nodes=NODES, pods=PODS)
def test_free_never_exceeds_allocatable_nor_allocatable_the_physical_gpus(
    nodes: list[dict[str, Any]], pods: list[dict[str, Any]]
):
    for node in inventory([read_node(each) for each in nodes], [read_pod(each) for each in pods]).nodes:
        assert 0 <= node.free_gpus <= node.allocatable_gpus <= node.physical_gpus
        assert node.free_gpus + node.requested_gpus >= node.allocatable_gpus
        assert sum(gpu_states(node).values()) == node.physical_gpus


@given(nodes=NODES, pods=PODS)
def test_supply_is_made_of_plannable_nodes_alone(nodes: list[dict[str, Any]], pods: list[dict[str, Any]]):
    there = inventory([read_node(each) for each in nodes], [read_pod(each) for each in pods])
    supplied = sum(pool.total_gpus for pool in supply(there).pools)
    assert supplied == sum(node.allocatable_gpus for node in there.nodes if node.plannable)


@given(nodes=NODES, pods=PODS, data=st.data())
def test_any_order_of_events_gives_the_same_inventory(
    nodes: list[dict[str, Any]], pods: list[dict[str, Any]], data: st.DataObject
):
    state = ClusterState()
    for event in data.draw(st.permutations([*nodes, *pods])):
        changed = state.set_node(event) if event["kind"] == "Node" else state.set_pod(event)
        if changed and data.draw(st.booleans()):
            state.inventory()  # asking in between must not change later answers
    direct = inventory([read_node(each) for each in nodes], [read_pod(each) for each in pods])
    assert state.inventory() == direct


def show(state: ClusterState, nodes: list[dict[str, Any]], pods: list[dict[str, Any]]) -> bool:
    """Take in complete lists, what they do not hold being deleted; return whether the inventory may differ."""
    changes = [state.set_node(each) for each in nodes] + [state.set_pod(each) for each in pods]
    names = {each["metadata"]["name"] for each in nodes}
    keys = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in pods}
    changes += [state.remove_node(name) for name in state.node_names() if name not in names]
    changes += [state.remove_pod(*key) for *key, _ in state.pod_names() if tuple(key) not in keys]
    return any(changes)


@given(first=NODES, first_pods=PODS, second=NODES, second_pods=PODS)
def test_history_leaves_no_trace(
    first: list[dict[str, Any]],
    first_pods: list[dict[str, Any]],
    second: list[dict[str, Any]],
    second_pods: list[dict[str, Any]],
):
    state = ClusterState()
    show(state, first, first_pods)
    state.inventory()
    changed = show(state, second, second_pods)
    direct = inventory([read_node(each) for each in second], [read_pod(each) for each in second_pods])
    assert state.inventory() == direct
    assert changed or direct == inventory([read_node(each) for each in first], [read_pod(each) for each in first_pods])


@given(nodes=st.lists(nodes(), min_size=1, max_size=6, unique_by=lambda node: node["metadata"]["name"]), pods=PODS)
def test_a_snapshot_plans_like_the_cluster_it_was_taken_from(nodes: list[dict[str, Any]], pods: list[dict[str, Any]]):
    facts = [read_node(each) for each in nodes], [read_pod(each) for each in pods]
    assert inventory(*load_snapshot(snapshot(*facts))) == inventory(*facts)
