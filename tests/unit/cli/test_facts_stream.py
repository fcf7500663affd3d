"""Saved clusters are read as a stream, and a damaged one is refused in one line that says where."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.capacity.cluster_facts import ClusterFacts
from deepseek_operator.capacity.host_use import HostUse
from deepseek_operator.capacity.snapshot import snapshot
from deepseek_operator.cli.facts_stream import read_file
from deepseek_operator.errors import InventoryError

QUOTA = {
    "kind": "ResourceQuota",
    "metadata": {"name": "gpus", "namespace": "chat"},
    "spec": {"hard": {"requests.nvidia.com/gpu": "16", "requests.cpu": "64"}},
}
CLASS = {"kind": "PriorityClass", "metadata": {"name": "gold"}, "value": 7, "globalDefault": True}
DEPLOYMENT = {
    "kind": "DeepSeekDeployment",
    "metadata": {"name": "r1", "namespace": "chat"},
    "spec": {"scaling": {"maxReplicas": 3}},
    "status": {"plan": {"gpu": "h100-sxm5-80gb", "gpusPerReplica": 8}, "replicas": 1},
}


def dump(folder: Path, *items: dict[str, Any], kind: str = "List") -> Path:
    """Write a list as kubectl does, its kind last."""
    file = folder / "dump.json"
    file.write_text(json.dumps({"apiVersion": "v1", "items": items, "kind": kind}, indent=4))
    return file


def test_a_list_tells_the_same_as_its_snapshot(tmp_path: Path) -> None:
    web = gpu_pod("web", gpus=2, resource="cpu", node="a")
    found = read_file(dump(tmp_path, gpu_node("a"), gpu_pod("p", node="a"), web, QUOTA, CLASS, DEPLOYMENT))
    written = tmp_path / "snapshot.json"
    written.write_text(json.dumps(snapshot(found.nodes, found.pods, found.measurements, found.features, claims=found)))
    again = read_file(written)
    assert isinstance(found, ClusterFacts)
    assert (again.nodes, again.pods) == (found.nodes, found.pods)
    assert found.nodes[0].others == HostUse(cpu_milli=2000, pods=1)
    assert (again.quotas, again.classes, again.promises) == (found.quotas, found.classes, found.promises)
    assert [each.limits for each in found.quotas] == [(("nvidia.com/gpu", 16),)]
    assert [(each.name, each.value, each.is_default) for each in found.classes] == [("gold", 7, True)]
    assert [(each.max_replicas, each.gpus_per_replica, each.priority_class) for each in found.promises] == [
        (3, 8, "deepseek-standard")
    ]


def test_what_could_not_be_read_stays_in_the_snapshot(tmp_path: Path) -> None:
    written = tmp_path / "snapshot.json"
    partial = ClusterFacts(nodes=(), pods=(), partial=("without quotas: forbidden",))
    written.write_text(json.dumps(snapshot([], [], claims=partial)))
    assert read_file(written).partial == ("without quotas: forbidden",)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    padded = [gpu_pod(f"p{index}", gpus=1, resource="cpu", node="a") for index in range(1500)]
    for pod in padded:
        pod["metadata"]["managedFields"] = [{"fieldsV1": {f"f:{number}": {} for number in range(120)}}]
    file = dump(tmp_path, gpu_node("a"), *padded)
    size = file.stat().st_size
    del padded
    tracemalloc.start()
    try:
        read_file(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size / 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param('{"items": [{"kind": "Node", "metadata": {"name": "a"}}, {"ki', "after 1 objects", id="cut off"),
        pytest.param('{"items": [', "the file ends in the middle, after 0 objects", id="cut off at once"),
        pytest.param('{"items": [{"kind": "Node"}, oops]}', "a Node has no metadata.name", id="a node without a name"),
        pytest.param('{"items": [oops]}', "no JSON after 0 objects", id="no JSON"),
        pytest.param('{"items": [7]}', "an entry of items is 7 where an object is expected", id="no objects"),
        pytest.param('{"items": [], "kind": "List"}', "the list holds no Node", id="empty"),
        pytest.param('{"items": [{"kind": "Secret"}]}', "a Secret, which is neither Node nor Pod", id="other kinds"),
        pytest.param('{"kind": "Pod", "items": []}', "Pod of no apiVersion is no cluster snapshot", id="no list"),
        pytest.param("", "is no JSON", id="nothing"),
        pytest.param("kind: InventorySnapshot", "write one with `kubectl deepseek inventory -o json`", id="YAML"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "dump.json"
    file.write_text(content)
    with pytest.raises(InventoryError) as refused:
        read_file(file)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "kubectl" in str(refused.value)


def test_negative_counts_are_refused_with_the_node(tmp_path: Path) -> None:
    wrong = gpu_node("a", allocatable={"nvidia.com/gpu": "-8"})
    with pytest.raises(InventoryError, match=r"node a: nvidia.com/gpu is '-8' where a quantity of 0 or more"):
        read_file(dump(tmp_path, wrong))


def test_objects_that_are_listed_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="pod default/p is listed twice"):
        read_file(dump(tmp_path, gpu_node("a"), gpu_pod("p"), gpu_pod("p")))
