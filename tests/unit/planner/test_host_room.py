"""Host memory of the nodes: what a replica takes of it, and plans that it does not hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.engine_features import EngineFeatures, KvOffload, KvOffloadBackend
from deepseek_operator.planner.request import GpuPool, PinnedParallelism, PlanRequest
from deepseek_operator.planner.result import InfeasibleReason
from deepseek_operator.planner.topology import layouts, replicas_held
from deepseek_operator.units import GIB
from planner_values import H100, planned, pool, refused, request, supply


def with_hosts(found: GpuPool, *hosts: tuple[int, int]) -> GpuPool:
    """Return a pool whose nodes have so much memory: pairs (GiB, nodes), each of eight GPUs."""
    nodes = sum(number for _, number in hosts)
    by_node = tuple(sorted((8, gib * GIB, number) for gib, number in hosts))
    return replace(found, nodes_by_gpu_count=((8, nodes),), host_memory_by_node=by_node)


def offloading(kv_gib: int, **changes: object) -> PlanRequest:
    offload = KvOffload(backend=KvOffloadBackend.NATIVE, host_memory_bytes=kv_gib * GIB)
    asked = replace(request(sla=None), features=EngineFeatures(kv_offload=offload))
    pinned = replace(asked, parallelism=PinnedParallelism(tensor=4, pipeline=1, data=1))
    return replace(pinned, **changes)  # type: ignore[arg-type] - keywords are the fields of the request


@pytest.mark.parametrize(
    ("hosts", "held"),
    [
        pytest.param(((1000, 2),), 4, id="memory for all"),
        pytest.param(((100, 2),), 2, id="memory for one per node"),
        pytest.param(((10, 1), (1000, 1)), 2, id="one node is too small"),
        pytest.param(((0, 1), (10, 1)), 2, id="a node that does not tell counts by its GPUs"),
        pytest.param(((10, 2),), 0, id="no node"),
    ],
)
def test_replicas_are_held_by_gpus_and_host_memory(hosts: tuple[tuple[int, int], ...], held: int):
    assert replicas_held(with_hosts(pool(H100), *hosts), 4, 1, 100 * GIB) == held


def test_without_a_need_only_gpus_count():
    assert layouts(with_hosts(pool(H100), (1, 2)), Parallelism(tensor=4)) == [(1, 4)]


def test_a_plan_that_no_host_holds_is_refused_with_the_numbers():
    answer = refused(offloading(512), supply(with_hosts(pool(H100), (256, 2))))
    assert answer.reason is InfeasibleReason.MEMORY_INSUFFICIENT
    assert (
        "4 x h100-sxm5-80gb (TP4): a replica needs 532.0 GiB of host memory on its node, among it 512.0 GiB of KV "
        "blocks; the largest node has 256.0 GiB, and the nodes hold none"
    ) in answer.message


def test_a_plan_uses_the_nodes_that_hold_it():
    asked = offloading(512)
    assert planned(asked, supply(with_hosts(pool(H100), (256, 2), (1024, 1)))).replicas == 1


def test_fewest_replicas_that_are_asked_for_must_be_held_together():
    hosts = supply(with_hosts(pool(H100), (256, 2), (1024, 1)))
    answer = refused(offloading(512, min_replicas=2, max_replicas=4), hosts)
    assert answer.reason is InfeasibleReason.TOO_FEW_NODES
    assert "hold 1 replica by their host memory and scaling.minReplicas asks for 2" in answer.message
    assert planned(offloading(200, min_replicas=3, max_replicas=4), hosts).replicas == 3


def test_nodes_that_do_not_tell_are_taken_to_have_enough():
    assert planned(offloading(512), supply(pool(H100))).gpus_per_replica == 4
