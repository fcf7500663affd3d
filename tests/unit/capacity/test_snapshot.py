from __future__ import annotations

import json
from typing import Any

import pytest

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.host_use import HostUse
from deepseek_operator.capacity.snapshot import (
    API_VERSION,
    KIND,
    load_snapshot,
    project_node,
    project_pod,
    snapshot,
    snapshot_features,
)
from deepseek_operator.errors import InventoryError
from deepseek_operator.resources.features import ClusterFeatures

REMEDY = "; write one with `kubectl deepseek inventory` or `kubectl get nodes,pods -A -o json`"


def snapshot_of(nodes: list[dict[str, Any]], pods: list[dict[str, Any]]) -> dict[str, Any]:
    return snapshot([read_node(node) for node in nodes], [read_pod(pod) for pod in pods])


def test_a_node_keeps_labels_taints_state_and_gpus_only():
    node = gpu_node(
        "h100-1",
        labels={"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
        taints=({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},),
        unschedulable=True,
        ready="Unknown",
        deleting=True,
        annotations={"hami.io/node-nvidia-register": "GPU-1,10,81559,100,NVIDIA-H100,0,true:"},
    )
    assert project_node(node) == {
        "name": "h100-1",
        "labels": {"kubernetes.io/hostname": "h100-1", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
        "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}],
        "unschedulable": True,
        "notReady": True,
        "deleting": True,
        "allocatable": {"nvidia.com/gpu": 8},
        "memoryBytes": 2000 * 2**30,
        "cpuMilli": 190_000,
        "hami": {"gpus": 1, "splits": 10, "memoryMib": 81559, "problem": ""},
    }


def test_a_node_keeps_its_rdma_resource_and_its_units():
    node = gpu_node("h100-1", allocatable={"nvidia.com/gpu": "8", "rdma/hca": "63", "hugepages-2Mi": "0"})
    assert project_node(node)["rdma"] == {"resource": "rdma/hca", "devices": 63}
    assert load_snapshot(json.loads(json.dumps(snapshot_of([node], []))))[0] == (read_node(node),)


def test_a_snapshot_written_by_hand_names_rdma_among_the_allocatable_resources():
    written = {"name": "h100-1", "allocatable": {"nvidia.com/gpu": 8, "rdma/ib": 4, "cpu": "8"}}
    (node,), _ = load_snapshot({"apiVersion": API_VERSION, "kind": KIND, "nodes": [written], "pods": []})
    assert (node.rdma_resource, node.rdma_devices, node.allocatable) == ("rdma/ib", 4, {"nvidia.com/gpu": 8})


def test_a_node_without_gpus_keeps_its_name_alone():
    node = gpu_node("cpu-1", labels={"zone": "a"}, allocatable={"cpu": "8"})
    assert project_node(node) == {"name": "cpu-1"}


def test_a_pod_keeps_whose_it_is_where_it_is_and_its_gpus():
    pod = gpu_pod("r1-0", gpus=8, node="h100-1", namespace="team", deleting=True)
    pod["metadata"]["labels"] = {"deepseek-operator.io/deployment": "r1", "team.example.com/owner": "me"}
    pod["metadata"]["ownerReferences"] = [
        {"kind": "Other", "name": "not-the-controller"},
        {"kind": "ReplicaSet", "name": "r1-5d9", "controller": True},
    ]
    pod["spec"] |= {"priority": 1000, "priorityClassName": "high"}
    assert project_pod(pod) == {
        "namespace": "team",
        "name": "r1-0",
        "uid": "uid-team-r1-0",
        "node": "h100-1",
        "phase": "Running",
        "deleting": True,
        "gpus": {"nvidia.com/gpu": 8},
        "cpuMilli": 4000,
        "priority": 1000,
        "priorityClass": "high",
        "owner": {"kind": "ReplicaSet", "name": "r1-5d9"},
        "labels": {"deepseek-operator.io/deployment": "r1"},
    }


def test_of_pods_without_gpus_the_sum_on_each_gpu_node_is_kept():
    pods = [gpu_pod(f"web-{index}", gpus=2, resource="cpu", node="h100-1") for index in range(3)]
    waiting = gpu_pod("waiting", gpus=2, resource="cpu")
    elsewhere = gpu_pod("elsewhere", gpus=2, resource="cpu", node="cpu-1")
    found = snapshot_of(
        [gpu_node("h100-1"), gpu_node("cpu-1", labels={}, allocatable={"cpu": "8"})], [*pods, waiting, elsewhere]
    )
    assert found["pods"] == []
    nodes, _ = load_snapshot(json.loads(json.dumps(found)))
    assert {node.name: node.others for node in nodes} == {
        "cpu-1": HostUse(),
        "h100-1": HostUse(cpu_milli=6000, pods=3),
    }


def test_environment_annotations_and_images_are_never_copied():
    text = json.dumps(snapshot_of([gpu_node("h100-1")], [gpu_pod("p", node="h100-1")]))
    for secret in ("secret-value", "HF_TOKEN", "registry.example.com", "kept out of snapshots"):
        assert secret not in text


def test_a_snapshot_is_versioned_sorted_and_leaves_out_pods_without_gpus_and_finished_ones():
    nodes = [gpu_node("b"), gpu_node("a")]
    pods = [
        gpu_pod("late", namespace="z"),
        gpu_pod("early", namespace="a"),
        gpu_pod("done", phase="Succeeded"),
        gpu_pod("web", resource="cpu"),
    ]
    made = snapshot_of(nodes, pods)
    assert (made["apiVersion"], made["kind"]) == ("deepseek-operator.io/v1alpha1", "InventorySnapshot")
    assert [node["name"] for node in made["nodes"]] == ["a", "b"]
    assert [pod["name"] for pod in made["pods"]] == ["early", "late"]


def test_a_snapshot_and_the_list_of_kubectl_say_the_same():
    nodes = [gpu_node("b", unschedulable=True, ready="False"), gpu_node("a"), gpu_node("cpu", allocatable={"cpu": "1"})]
    pods = [gpu_pod("p", node="a", gpus=4), gpu_pod("q", deleting=True), gpu_pod("done", phase="Failed")]
    listed = {"kind": "List", "apiVersion": "v1", "items": [*pods, *nodes]}
    stored = json.loads(json.dumps(snapshot_of(nodes, pods)))
    assert load_snapshot(stored) == load_snapshot(listed)
    assert load_snapshot(stored) == (
        tuple(read_node(node) for node in (nodes[1], nodes[0], nodes[2])),
        tuple(read_pod(pod) for pod in pods[:2]),
    )


def test_a_snapshot_tells_the_served_features_and_a_list_does_not():
    made = snapshot([], [], features=ClusterFeatures(leader_worker_set=True, kueue=True))
    assert made["features"] == ["kueue", "leader_worker_set"]
    assert snapshot_features(made) == ClusterFeatures(leader_worker_set=True, kueue=True)
    assert snapshot_features({"kind": "List", "features": ["kueue"]}) == ClusterFeatures()
    with pytest.raises(InventoryError, match=r"^features is no list of names; write one with"):
        snapshot_features({**made, "features": "kueue"})


def test_the_list_of_one_kind_needs_no_kind_on_its_items():
    node = gpu_node("a")
    del node["kind"]
    assert load_snapshot({"kind": "NodeList", "items": [node]}) == ((read_node(node),), ())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param([], "a cluster snapshot is an object, not a list", id="a JSON list"),
        pytest.param(
            {"kind": "Deployment", "apiVersion": "apps/v1"},
            "Deployment of apps/v1 is no cluster snapshot that this version reads",
            id="another object",
        ),
        pytest.param(
            {"kind": "InventorySnapshot", "apiVersion": "deepseek-operator.io/v9"},
            "InventorySnapshot of deepseek-operator.io/v9 is no cluster snapshot that this version reads",
            id="a snapshot of another version",
        ),
        pytest.param({}, "the file does not say its kind", id="an empty object"),
        pytest.param(
            {"kind": "List", "items": [gpu_node("a"), {"kind": "Secret"}]},
            "the list holds a Secret, which is neither Node nor Pod",
            id="a list with something else",
        ),
        pytest.param({"kind": "List", "items": [gpu_pod("p")]}, "the list holds no Node", id="a list of pods alone"),
        pytest.param(
            {"kind": "List", "items": ["a"]}, "an entry of items is 'a' where an object is expected", id="text"
        ),
        pytest.param(
            {"kind": "List", "items": [{"kind": "Node", "metadata": {"labels": {"a": "b"}}}]},
            "a Node has no metadata.name",
            id="a node without name",
        ),
        pytest.param(
            {"kind": "List", "items": [gpu_node("a"), gpu_node("a")]}, "node a is listed twice", id="a node twice"
        ),
        pytest.param(
            {"kind": "List", "items": [gpu_node("a", allocatable={"nvidia.com/gpu": "many"})]},
            "node a: nvidia.com/gpu: 'many' is no Kubernetes quantity; write one such as 80Gi, 500m or 8",
            id="a quantity that is a word",
        ),
        pytest.param(
            {"kind": "InventorySnapshot", "apiVersion": "deepseek-operator.io/v1alpha1", "nodes": [{"labels": {}}]},
            "a node of the snapshot has no name",
            id="a stored node without name",
        ),
        pytest.param(
            {
                "kind": "InventorySnapshot",
                "apiVersion": "deepseek-operator.io/v1alpha1",
                "nodes": [{"name": "a", "unschedulable": "false"}],
            },
            "unschedulable is 'false' where true or false is expected",
            id="text where a boolean belongs",
        ),
    ],
)
def test_anything_else_is_refused_with_the_command_to_run(data: dict[str, object], message: str):
    with pytest.raises(InventoryError) as refused:
        load_snapshot(data)
    assert str(refused.value) == message + REMEDY


def test_a_refusal_never_repeats_an_endless_input():
    with pytest.raises(InventoryError) as refused:
        load_snapshot({"kind": "x" * 100_000, "apiVersion": "y" * 100_000})
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(gpu_node("n" * 100_000, allocatable={"nvidia.com/gpu": "-1"}), id="node"),
        pytest.param(gpu_node("n", allocatable={"nvidia.com/gpu" + "x" * 100_000: "-1"}), id="resource"),
        pytest.param(
            {
                "kind": "Pod",
                "metadata": {"namespace": "s" * 100_000, "name": "p" * 100_000},
                "spec": {"priority": "high"},
            },
            id="pod",
        ),
        pytest.param(
            {
                "kind": "ResourceSlice",
                "metadata": {"name": "r" * 100_000},
                "spec": {"driver": "gpu.nvidia.com", "pool": "x"},
            },
            id="slice",
        ),
    ],
)
def test_a_refusal_never_repeats_an_endless_name(item: dict[str, object]):
    with pytest.raises(InventoryError) as refused:
        load_snapshot({"kind": "List", "items": [item]})
    assert len(str(refused.value)) < 500
