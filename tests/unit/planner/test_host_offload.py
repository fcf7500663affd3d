"""One RTX 4090 and a host: what R1 would take, how fast it could be at most, and what fits instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.estimate import EngineSettings, estimate
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.host_offload import offload_lines
from deepseek_operator.planner.offload_answer import host_memory_sentences
from deepseek_operator.planner.request import PinnedParallelism, PlanRequest, Quality, Supply, Workload
from deepseek_operator.planner.result import InfeasibleReason
from planner_values import CHAT_7B, H100, R1, RTX_4090, planned, pool, refused, request, supply

GIB = 2**30
ONE_REQUEST = Workload(input_tokens=1024, output_tokens=256, max_context_tokens=4096, concurrency=1)
SETTINGS = EngineSettings(
    release="0.32.0",
    gpu_memory_utilization_percent=92,
    max_model_len=4096,
    max_num_seqs=32,
    max_num_batched_tokens=2048,
)


def one_board(host_gib: int) -> Supply:
    return supply(replace(pool(RTX_4090, gpus_per_node=1), host_memory_bytes=host_gib * GIB))


def told_of_host_memory(asked: PlanRequest, available: Supply) -> str:
    """Return what a refusal says after the changes that would make a plan."""
    answer = refused(asked, available)
    assert answer.reason is InfeasibleReason.MEMORY_INSUFFICIENT
    silent = Supply(pools=tuple(replace(each, host_memory_bytes=0) for each in available.pools))
    return answer.nearest.removeprefix(refused(asked, silent).nearest).strip()


R1_ALONE = request(R1, workload=ONE_REQUEST, sla=None)
INSTEAD = (
    "Without that, 1 x rtx-4090 holds "
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B as AWQ (from a checkpoint that you name) "
    "or deepseek-ai/DeepSeek-R1-Distill-Llama-8B as stored."
)


def test_64_gib_of_host_memory_do_not_bring_r1_to_one_rtx_4090():
    assert told_of_host_memory(R1_ALONE, one_board(64)) == (
        "64.0 GiB of host memory do not make up for it: as AWQ, 311.6 GiB of weights leave the GPU and take 365.9 GiB "
        "of host memory, 301.9 GiB more than there is; with the rest read from disk at most 0.9 tokens/s for one "
        "request: every token reads 8.7 GB from GPU memory, 1.8 GB from host memory and 8.5 GB from disk, and "
        f"nvme-pcie-4.0-x4 is the slowest. {INSTEAD}"
    )


def test_512_gib_of_host_memory_would_at_a_bounded_speed():
    assert told_of_host_memory(R1_ALONE, one_board(512)) == (
        "With 512.0 GiB of host memory 1 x rtx-4090 could hold it as AWQ: 311.6 GiB of weights leave the GPU and take "
        "365.9 GiB of host memory; at most 3.1 tokens/s for one request: every token reads 8.7 GB from GPU memory, "
        "10.3 GB from host memory and 0.0 GB from disk, and pcie-4.0-x16 is the slowest; "
        f"spec.engine.weightOffloadBytes: 334594770761 asks for it. {INSTEAD}"
    )


@pytest.mark.parametrize(
    ("host_gib", "words"),
    [
        pytest.param(1024, "could hold it as stored: ", id="the mildest precision that is held"),
        pytest.param(0, "", id="a node that does not tell its memory"),
    ],
)
def test_the_answer_follows_the_host_memory(host_gib: int, words: str):
    told = told_of_host_memory(R1_ALONE, one_board(host_gib))
    assert words in told
    assert bool(told) is bool(words)


@pytest.mark.parametrize("name", [f"deepseek-ai/DeepSeek-R1-Distill-{size}" for size in ("Qwen-32B", "Llama-8B")])
def test_what_is_named_instead_can_be_planned(name: str):
    asked = request(name, workload=ONE_REQUEST, sla=None, quality=Quality.ECONOMY)
    pinned = asked if name.endswith("8B") else replace(asked, quantization="AWQ")
    assert planned(pinned, one_board(64)).gpus_per_replica == 1


def test_a_pinned_precision_is_the_one_that_is_answered():
    told = told_of_host_memory(replace(R1_ALONE, quantization="Native"), one_board(512))
    assert told.startswith("512.0 GiB of host memory do not make up for it: as stored, ")


def test_the_links_of_all_gpus_of_a_node_count():
    told = told_of_host_memory(request(R1), supply(replace(pool(H100), host_memory_bytes=2000 * GIB)))
    assert "8 x pcie-5.0-x16 is the slowest" in told
    assert told.endswith("Without that, 8 x h100-sxm5-80gb hold deepseek-ai/DeepSeek-R1-Distill-Llama-70B as stored.")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"parallelism": PinnedParallelism(pipeline=2)}, id="a pinned pipeline"),
        pytest.param({"parallelism": PinnedParallelism(tensor=2)}, id="more GPUs than the node has"),
    ],
)
def test_a_split_that_one_node_does_not_hold_gets_no_answer(changes: dict[str, object]):
    asked = replace(R1_ALONE, **changes)  # type: ignore[arg-type]  # keywords are fields of the request
    assert host_memory_sentences(asked, one_board(512).pools[0]) == ""


def test_a_model_that_fits_has_no_lines():
    board = gpu(RTX_4090)
    assert board.usable_memory_bytes is not None
    for model, count in ((CHAT_7B, 0), (R1, 2)):
        memory = estimate(shape(model), Parallelism(), SETTINGS, board.usable_memory_bytes, board.compute_capability)
        assert len(offload_lines(shape(model), memory, board)) == count


def test_a_cache_that_no_offloading_makes_room_for_has_no_lines():
    board, model = gpu(RTX_4090), shape(R1)
    memory = estimate(model, Parallelism(), replace(SETTINGS, max_num_batched_tokens=2**20), 4 * GIB)
    assert offload_lines(model, memory, board) == ()
