"""Laws of what moves from the GPUs to the host."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.estimate import estimate
from deepseek_operator.memory.host_memory import host_memory
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.memory.weight_offload import offload, pinned_bytes
from deepseek_operator.memory.weights import stage_weights
from deepseek_operator.planner.host_offload import offloaded

GIB = 2**30
SHAPES = st.sampled_from(
    (
        "deepseek-ai/deepseek-llm-67b-chat",
        "deepseek-ai/DeepSeek-R1",
        "deepseek-ai/DeepSeek-V2-Lite",
        "deepseek-ai/DeepSeek-OCR",
    )
).map(shape)
SPLITS = st.builds(
    Parallelism, tensor=st.sampled_from((1, 2, 4)), pipeline=st.integers(1, 4), data=st.sampled_from((1, 2, 4))
)
LIMITS = st.integers(0, 200 * GIB)
SETTINGS = EngineSettings(
    release="0.32.0",
    gpu_memory_utilization_percent=92,
    max_model_len=4096,
    max_num_seqs=256,
    max_num_batched_tokens=8192,
)


@given(model=SHAPES, split=SPLITS, fewer=LIMITS, more=LIMITS)
def test_a_higher_limit_never_leaves_more_on_the_gpu(model: ModelShape, split: Parallelism, fewer: int, more: int):
    low, high = sorted((fewer, more))
    left = [estimate(model, split, replace(SETTINGS, cpu_offload_bytes=limit), 80 * GIB) for limit in (low, high)]
    for before, after in zip(left[0].ranks, left[1].ranks, strict=True):
        assert 0 < after.weights_bytes <= before.weights_bytes
        assert after.kv_cache_bytes >= before.kv_cache_bytes


@given(model=SHAPES, split=SPLITS, limit=LIMITS)
def test_the_limit_is_reached_or_nothing_is_left_to_move(model: ModelShape, split: Parallelism, limit: int):
    for weights in stage_weights(model, split):
        moved = offload(weights.offloadable, limit)
        everything = sum(sum(layer) * repeats for layer, repeats in weights.offloadable)
        assert moved.host_bytes >= min(limit, everything)
        assert moved.host_bytes <= moved.pinned_bytes < 2 * moved.host_bytes or moved.host_bytes == 0


@given(size=st.integers(1, 2**45))
def test_pinning_wastes_less_than_half(size: int):
    assert size <= pinned_bytes(size) < 2 * size


@given(model=SHAPES, split=SPLITS, per_node=st.integers(1, 8), limit=LIMITS, kv=LIMITS)
def test_nodes_add_up_to_the_replica(model: ModelShape, split: Parallelism, per_node: int, limit: int, kv: int):
    told = replace(SETTINGS, cpu_offload_bytes=limit)
    nodes = host_memory(model, split, told, gpus_per_node=per_node, kv_offload_bytes=kv).nodes
    (one,) = host_memory(model, split, told, kv_offload_bytes=kv).nodes
    assert sum(node.num_ranks for node in nodes) == split.world_size
    assert sum(node.weight_offload_bytes for node in nodes) == one.weight_offload_bytes
    assert 0 <= sum(node.kv_offload_bytes for node in nodes) - one.kv_offload_bytes < len(nodes)
    assert all(node.page_cache_bytes <= one.page_cache_bytes for node in nodes)


@given(fewer=st.integers(1, 2000), more=st.integers(1, 2000), rung=st.sampled_from(("Native", "AWQ")))
def test_more_host_memory_never_holds_less_and_never_lowers_the_bound(fewer: int, more: int, rung: str):
    board, model = gpu("rtx-4090"), shape("deepseek-ai/DeepSeek-R1")
    assert board.usable_memory_bytes is not None
    asked = replace(SETTINGS, quantization=rung, max_num_seqs=32, max_num_batched_tokens=2048)
    memory = estimate(model, Parallelism(), asked, board.usable_memory_bytes, board.compute_capability)
    low, high = (offloaded(model, memory, board, size * GIB) for size in sorted((fewer, more)))
    assert low is not None
    assert high is not None
    assert low.bound is not None
    assert high.bound is not None
    assert low.holds <= high.holds
    a_rounded_byte = 1e-6
    assert low.bound.tokens_per_second <= high.bound.tokens_per_second + a_rounded_byte
    assert low.host_memory_bytes == high.host_memory_bytes >= low.need.offloaded_bytes
