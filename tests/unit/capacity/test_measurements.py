"""Engines' reports on their way from a status through inventory and snapshot to the supply."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cluster_objects import gpu_node
from deepseek_operator.api.fingerprint import engine_variant
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.capacity.facts import read_node
from deepseek_operator.capacity.inventory import inventory
from deepseek_operator.capacity.measurements import load_measurements, read_measurements, stored_measurement
from deepseek_operator.capacity.snapshot import load_snapshot, snapshot, snapshot_measurements
from deepseek_operator.capacity.workload import supply_for
from deepseek_operator.errors import InventoryError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.planner.measurement import Measurement
from model_factories import make_deployment

SETTINGS = EngineSettings(
    release="0.32.0",
    gpu_memory_utilization_percent=92,
    max_model_len=4096,
    max_num_seqs=64,
    max_num_batched_tokens=8192,
)
REPORTED = Measurement(
    model_name=make_deployment().spec.model.name,
    gpu="h100-sxm5-80gb",
    total_memory_bytes=80 * 10**9,
    parallelism=Parallelism(tensor=4),
    settings=SETTINGS,
    kv_cache_tokens=371_376,
)
STORED = stored_measurement(REPORTED)


def body(*measurements: dict[str, Any], name: str = "a") -> dict[str, Any]:
    status = {"status": {"measurements": list(measurements)}} if measurements else {}
    return {"kind": "DeepSeekDeployment", "metadata": {"name": name, "namespace": "chat"}, **status}


def test_what_is_stored_is_read_again():
    other = replace(REPORTED, variant="ab12", parallelism=Parallelism(tensor=8, data=2, expert=True))
    kept = json.loads(json.dumps([STORED, stored_measurement(other)]))
    assert read_measurements(body(*kept)) == (REPORTED, other)
    assert read_measurements(body()) == ()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"kvCacheTokens": 0}, id="no-tokens"),
        pytest.param({"kvCacheTokens": -5}, id="negative"),
        pytest.param({"totalBytes": 10**400}, id="more-than-any-number"),
        pytest.param({"gpuMemoryUtilizationPercent": 101}, id="above-all"),
        pytest.param({"kvCache": "int3"}, id="format-of-a-later-version"),
        pytest.param({"parallelism": {}}, id="no-split"),
        pytest.param({"maxModelLen": None}, id="no-context"),
    ],
)
def test_what_cannot_be_is_left_out(change: dict[str, Any]):
    assert load_measurements({"measurements": [STORED | change, STORED]}) == (REPORTED,)


def test_a_wrong_type_is_named():
    with pytest.raises(InventoryError, match="kvCacheTokens is 'many' where a whole number is expected"):
        read_measurements(body(STORED | {"kvCacheTokens": "many"}))


def test_the_snapshot_carries_them():
    written = snapshot([read_node(gpu_node("h100-1"))], [], [REPORTED, REPORTED])
    assert written["measurements"] == [STORED]
    assert snapshot_measurements(json.loads(json.dumps(written))) == (REPORTED,)


def test_a_snapshot_without_them_is_still_read():
    assert snapshot_measurements({"kind": "InventorySnapshot"}) == ()


def test_a_list_of_kubectl_may_hold_our_objects():
    listed = {"kind": "List", "items": [gpu_node("h100-1"), body(STORED), body(STORED | {"gpu": 5}, name="b")]}
    assert len(load_snapshot(listed)[0]) == 1
    assert snapshot_measurements(listed) == (REPORTED,)


def test_the_supply_of_a_like_deployment_carries_them_on_their_gpu():
    nodes = [read_node(gpu_node("h100-1"))]
    others = [replace(REPORTED, gpu="l40s"), replace(REPORTED, variant="x"), replace(REPORTED, model_name="y")]
    [pool] = supply_for(make_deployment(), inventory(nodes, [], [REPORTED, *others])).pools
    assert pool.measurements == (REPORTED,)


def test_the_running_picture_forgets_what_is_gone_and_tells_news():
    state = ClusterState()
    smaller = replace(REPORTED, kv_cache_tokens=300_000)
    assert state.set_measurements("u1", (REPORTED,))
    assert not state.set_measurements("u1", (REPORTED,))
    assert not state.set_measurements("u2", (REPORTED,))
    assert state.set_measurements("u2", (smaller,))
    assert state.inventory().measurements == (smaller,)
    assert state.set_measurements("u2", ())
    assert state.inventory().measurements == (REPORTED,)
    assert state.set_measurements("u1", ())
    assert not state.set_measurements("u1", ())
    assert state.inventory().measurements == ()


@pytest.mark.parametrize(
    "spec",
    [
        {"engine": {"image": "mine:1"}},
        {"engine": {"extraArgs": ["--enable-lora"]}},
        {"engine": {"env": [{"name": "A", "value": "b"}]}},
        {"model": {"name": REPORTED.model_name, "revision": "abc"}},
        {"model": {"name": REPORTED.model_name, "storage": {"persistentVolumeClaim": {"claimName": "w"}}}},
    ],
    ids=str,
)
def test_what_may_change_memory_beside_the_plan_is_another_variant(spec: dict[str, Any]):
    assert engine_variant(make_deployment(**spec)) != engine_variant(make_deployment()) == ""


def test_what_changes_no_memory_is_the_same_variant():
    usual = {"engine": {"shutdownSeconds": 5}, "model": {"name": REPORTED.model_name, "storage": {"huggingFace": {}}}}
    assert engine_variant(make_deployment(**usual)) == ""
