from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.host_memory import HostMemory, NodeMemory, host_memory
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.memory.weights import checkpoint_bytes, engram_table_bytes

GIB = 2**30
LITE = "deepseek-ai/DeepSeek-V2-Lite"
V41 = "deepseek-ai/DeepSeek-V4.1-Flash"
SETTINGS = EngineSettings(
    release="0.32.0",
    gpu_memory_utilization_percent=92,
    max_model_len=4096,
    max_num_seqs=1024,
    max_num_batched_tokens=8192,
)


def test_a_plain_engine_needs_its_processes_and_the_token_ids_of_all_slots():
    assert host_memory(shape(LITE), Parallelism(), SETTINGS) == HostMemory(
        nodes=(
            NodeMemory(
                node=0,
                num_ranks=1,
                process_bytes=8 * GIB,
                weight_offload_bytes=0,
                kv_offload_bytes=0,
                engram_bytes=0,
                buffer_bytes=16 * 2**20,
                shared_memory_bytes=0,
                page_cache_bytes=checkpoint_bytes(shape(LITE)),
            ),
        ),
        disk_bytes=checkpoint_bytes(shape(LITE)),
    )


def test_kv_offload_is_the_total_of_one_engine_and_every_node_keeps_room_for_all_of_it():
    split = Parallelism(tensor=2, pipeline=2, data=2)
    nodes = host_memory(shape(LITE), split, SETTINGS, gpus_per_node=2, kv_offload_bytes=40 * GIB).nodes
    assert [node.kv_offload_bytes // GIB for node in nodes] == [20, 20, 20, 20]
    assert [node.shared_memory_bytes // GIB for node in nodes] == [40, 40, 40, 40]
    (one,) = host_memory(shape(LITE), split, SETTINGS, kv_offload_bytes=40 * GIB).nodes
    assert (one.kv_offload_bytes // GIB, one.shared_memory_bytes // GIB) == (80, 80)


@pytest.mark.parametrize(
    ("split", "per_node", "engram_gib", "shared_gib"),
    [
        # One table of 1/8 of the heads has 11.4 GiB of rows and 0.36 GiB of scales, pinned as 16 and 0.5.
        pytest.param(Parallelism(tensor=8), 8, [264.0], [0.0], id="TP: each rank pins its part, rounded up"),
        pytest.param(Parallelism(tensor=8), 4, [132.0, 132.0], [0.0, 0.0], id="TP over two nodes: half each"),
        pytest.param(Parallelism(data=8), 8, [188.833], [188.833], id="DP on one node: once per node, shared"),
        pytest.param(Parallelism(data=8), 4, [188.833] * 2, [188.833] * 2, id="DP on two nodes: once per node"),
        pytest.param(Parallelism(tensor=4, data=2), 8, [188.833], [188.833], id="DP x TP on one node"),
        pytest.param(Parallelism(tensor=4, data=2), 4, [264.0] * 2, [0.0, 0.0], id="one engine per node: own tables"),
        pytest.param(
            Parallelism(tensor=4, pipeline=2), 4, [264.0, 0.0], [0.0, 0.0], id="PP: layers 1 and 14 are on stage 0"
        ),
    ],
)
def test_engram_tables(split: Parallelism, per_node: int, engram_gib: list[float], shared_gib: list[float]):
    nodes = host_memory(shape(V41), split, SETTINGS, gpus_per_node=per_node).nodes
    assert [round(node.engram_bytes / GIB, 3) for node in nodes] == engram_gib
    assert [round(node.shared_memory_bytes / GIB, 3) for node in nodes] == shared_gib


def test_shared_tables_take_exactly_their_bytes():
    (node,) = host_memory(shape(V41), Parallelism(data=8), SETTINGS).nodes
    assert node.engram_bytes == engram_table_bytes(shape(V41)) == 202_758_032_400


def test_offloaded_weights_are_per_gpu_and_pinned_in_powers_of_two():
    told = replace(SETTINGS, cpu_offload_bytes=10 * GIB)
    first, last = host_memory(shape(LITE), Parallelism(tensor=2, pipeline=2), told, gpus_per_node=2).nodes
    # A rank of either stage holds less than 10 GiB of layers; stage 0 has 14 of them, one of them dense.
    assert first.weight_offload_bytes > last.weight_offload_bytes > 2 * 4 * GIB
    assert host_memory(shape(LITE), Parallelism(), SETTINGS).nodes[0].weight_offload_bytes == 0


def test_a_node_reads_only_its_stages():
    first, last = host_memory(shape(LITE), Parallelism(pipeline=2), SETTINGS, gpus_per_node=1).nodes
    whole = checkpoint_bytes(shape(LITE))
    assert (first.page_cache_bytes, last.page_cache_bytes) == (-(-whole * 14 // 27), -(-whole * 13 // 27))


@pytest.mark.parametrize(
    ("quantization", "gib"),
    [
        pytest.param("Native", "125.6", id="as stored"),
        pytest.param("FP8", "125.6", id="quantized while loading: the stored checkpoint is read"),
        pytest.param("AWQ", "34.9", id="a checkpoint of its own"),
        pytest.param("AWQ:64", "36.1", id="with smaller groups"),
    ],
)
def test_disk_holds_the_checkpoint_that_is_loaded(quantization: str, gib: str):
    told = replace(SETTINGS, quantization=quantization)
    disk = host_memory(shape("deepseek-ai/deepseek-llm-67b-chat"), Parallelism(tensor=4), told).disk_bytes
    assert f"{disk / GIB:.1f}" == gib


def test_the_worst_node_is_the_one_that_needs_most():
    memory = host_memory(shape(V41), Parallelism(tensor=4, pipeline=2), SETTINGS, gpus_per_node=4)
    assert memory.worst_node is memory.nodes[0]
    assert memory.worst_node.needed_bytes == (4 + 4 * 4 + 264) * GIB + 4 * 16 * 2**20
