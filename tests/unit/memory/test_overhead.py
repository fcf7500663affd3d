from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.errors import UnknownEngineReleaseError
from deepseek_operator.memory.overhead import activations, cuda_graph_bytes, release_overheads
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.memory.stages import stages

GIB = 2**30
MIB = 2**20
R1 = "deepseek-ai/DeepSeek-R1"
LLAMA_8B = "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
V2_LITE = "deepseek-ai/DeepSeek-V2-Lite"
SETTINGS = EngineSettings(
    release="0.19.0",
    gpu_memory_utilization_percent=95,
    max_model_len=8192,
    max_num_seqs=1024,
    max_num_batched_tokens=8192,
)


@pytest.mark.parametrize(
    ("release", "figures_of", "basis"),
    [
        pytest.param(
            "0.19.0", "0.19.0", "2 independent series of start-ups of vLLM 0.19.0", id="two independent series"
        ),
        pytest.param(
            "v0.11.2rc1+rhai0.cuda",
            "0.11.2",
            "2 independent series of start-ups of vLLM 0.11.2",
            id="a release as logs write it",
        ),
        pytest.param(
            "0.17.0",
            "0.17.0",
            "vLLM 0.17.0 is known from one series of start-ups; its band is that of all known releases",
            id="one series",
        ),
        pytest.param(
            "0.32.0",
            "0.32.0",
            "no start-up of vLLM 0.32.0 is recorded, so older figures stand in with a wide band",
            id="code read, no start-up",
        ),
        pytest.param(
            "v0.20.2",
            "0.19.0",
            "no start-up of vLLM 0.20.2 is recorded, so the figures of 0.19.0 stand in with a wide band",
            id="the next older one",
        ),
        pytest.param(
            "0.5.4",
            "0.7.1",
            "no start-up of vLLM 0.5.4 is recorded, so the figures of 0.7.1 stand in with a wide band",
            id="older than all",
        ),
    ],
)
def test_release(release: str, figures_of: str, basis: str):
    found = release_overheads(release)
    assert (found.release, found.basis(shape(LLAMA_8B))) == (figures_of, basis)


def test_a_family_without_a_complete_start_up_has_a_wide_band():
    release, model = release_overheads("0.19.0"), shape("deepseek-ai/DeepSeek-V4-Flash")
    assert release.activations_band_of(model) == release_overheads("0.20.0").activations_band
    assert release.basis(model) == (
        "no complete start-up of DeepseekV4ForCausalLM is recorded, so its activations have a wide band"
    )


def test_a_release_without_start_ups_has_wider_bands():
    measured, stand_in = release_overheads("0.19.0"), release_overheads("0.20.0")
    for name in ("activations_band", "non_torch_band", "cuda_graphs_band"):
        assert getattr(measured, name).percent < getattr(stand_in, name).percent
        assert getattr(measured, name).floor_bytes < getattr(stand_in, name).floor_bytes


@pytest.mark.parametrize(
    ("release", "percent"),
    [
        pytest.param("0.19.0", 90, id="0.9 for years"),
        pytest.param("0.26.0", 92, id="seen without the option"),
        pytest.param("0.32.0", 92, id="read in its code"),
    ],
)
def test_default_utilization_follows_the_release(release: str, percent: int):
    assert release_overheads(release).gpu_memory_utilization_percent == percent


def test_graphs_are_in_the_budget_since_0_21():
    assert [release_overheads(release).cuda_graphs_inside_budget for release in ("0.20.2", "0.21.0")] == [False, True]


@pytest.mark.parametrize("text", ["", "latest", "0", "0.32.0.1", "-1.2.3", "9" * 100])
def test_what_is_no_release_is_refused_with_a_remedy(text: str):
    with pytest.raises(UnknownEngineReleaseError, match=r"unknown engine release .*; write a number such as 0\.32\.0"):
        release_overheads(text)


@pytest.mark.parametrize(
    ("name", "split", "stage", "logged_gib"),
    [
        pytest.param(LLAMA_8B, Parallelism(), 0, 1.89, id="the sampler decides for a dense model"),
        pytest.param(LLAMA_8B, Parallelism(tensor=4), 0, 1.89, id="TP does not lower the sampler's peak"),
        pytest.param(LLAMA_8B, Parallelism(pipeline=4), 0, 1.05, id="the forward pass decides before the last stage"),
        pytest.param(LLAMA_8B, Parallelism(pipeline=4), 3, 2.01, id="the last stage computes logits"),
        pytest.param(V2_LITE, Parallelism(), 0, 1.93, id="experts keep a workspace"),
    ],
)
def test_activations_are_near_what_the_engine_logged(name: str, split: Parallelism, stage: int, logged_gib: float):
    model = shape(name)
    found = activations(
        model, split, stages(model, split.pipeline)[stage], SETTINGS, release_overheads("0.19.0")
    ).total_bytes
    assert found / GIB == pytest.approx(logged_gib, abs=0.06)


def test_sparse_attention_needs_workspace_by_context():
    model = shape("deepseek-ai/DeepSeek-V3.2")
    (stage,) = stages(model, 1)
    few_tokens = replace(SETTINGS, max_num_batched_tokens=16, max_model_len=163_840)
    found = activations(model, Parallelism(tensor=8), stage, few_tokens, release_overheads("0.32.0"))
    assert found.workspace_bytes == 163_840 * 5 * 1152


def test_compressed_attention_gathers_the_context_of_four_requests():
    model = shape("deepseek-ai/DeepSeek-V4-Flash")
    (stage,) = stages(model, 1)
    few_tokens = replace(SETTINGS, max_num_batched_tokens=16, max_model_len=2**20)
    found = activations(model, Parallelism(tensor=8), stage, few_tokens, release_overheads("0.32.0"))
    assert found.workspace_bytes == 10 * 2**20 * 132


def test_parallel_residual_streams_count_in_the_forward_pass():
    model = shape("deepseek-ai/DeepSeek-V4-Flash")
    (stage,) = stages(model, 1)
    found = activations(model, Parallelism(tensor=2), stage, SETTINGS, release_overheads("0.32.0"))
    streams, queries = 4 * 2 * 8192 * 4096 * 17 // 4, 4 * 2 * 8192 * 32 * 512
    assert found.forward_bytes == streams + queries


def test_gathered_tokens_of_data_parallel_ranks_widen_the_workspace_of_experts():
    model = shape(R1)
    (stage,) = stages(model, 1)
    release = release_overheads("0.32.0")
    one = activations(model, Parallelism(tensor=8, expert=True), stage, SETTINGS, release)
    four = activations(model, Parallelism(tensor=8, data=4, expert=True), stage, SETTINGS, release)
    assert four.workspace_bytes == 4 * one.workspace_bytes


def test_cuda_graphs_grow_with_layers_and_batch_sizes():
    release = release_overheads("0.19.0")
    (dense,) = stages(shape(LLAMA_8B), 1)
    half, _ = stages(shape(LLAMA_8B), 2)
    sizes = [
        cuda_graph_bytes(dense, SETTINGS, release),
        cuda_graph_bytes(half, SETTINGS, release),
        cuda_graph_bytes(dense, replace(SETTINGS, max_num_seqs=128), release),
        cuda_graph_bytes(dense, replace(SETTINGS, enforce_eager=True), release),
    ]
    assert [size // MIB for size in sizes] == [932, 657, 759, 0]


def test_datacenter_blackwell_captures_larger_batches():
    release = release_overheads("0.19.0")
    (dense,) = stages(shape(LLAMA_8B), 1)
    hopper, blackwell = (cuda_graph_bytes(dense, SETTINGS, release, capability) for capability in ((9, 0), (10, 0)))
    assert [size // MIB for size in (hopper, blackwell)] == [932, 1277]


def test_workspaces_are_freed_before_the_sampler_in_some_releases():
    model = shape(R1)
    (stage,) = stages(model, 1)
    settings = replace(SETTINGS, max_model_len=163_840)
    kept, freed = (
        activations(model, Parallelism(tensor=8), stage, settings, release_overheads(release))
        for release in ("0.14.1", "0.16.0")
    )
    assert (kept.total_bytes - kept.workspace_bytes, freed.total_bytes) == (kept.sampler_bytes, freed.sampler_bytes)


@pytest.mark.parametrize(
    ("world_size", "total_gib", "mib"),
    [
        pytest.param(1, 79, 530, id="a large GPU"),
        pytest.param(1, 22, 270, id="the context of a small GPU is smaller"),
        pytest.param(2, 22, 2060, id="buffers of NCCL are not"),
    ],
)
def test_what_lies_outside_the_budget(world_size: int, total_gib: int, mib: int):
    assert release_overheads("0.32.0").outside_budget_bytes(world_size, total_gib * GIB) == mib * MIB


def test_ranks_between_listed_counts_take_the_larger_figure():
    release = release_overheads("0.32.0")
    assert [release.non_torch_bytes(tensor) // MIB for tensor in (1, 3, 8, 16)] == [256, 2244, 2461, 2461]
