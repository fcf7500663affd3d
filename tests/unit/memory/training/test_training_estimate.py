"""Whole runs: what fits, what is refused with which remedy, and what the explanation says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.shapes import GroupedQueryAttention, ModelShape
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.training.adapters import LoraSettings, nf4_bytes
from deepseek_operator.memory.training.estimate import RUNTIME_BYTES, lora_estimate, training_estimate
from deepseek_operator.memory.training.explanation import training_explanation
from deepseek_operator.memory.training.result import TrainingRank
from deepseek_operator.memory.training.settings import ActivationCheckpointing, TrainingSettings

GIB = 2**30
SEVEN = shape("deepseek-ai/deepseek-llm-7b-base")
R1 = shape("deepseek-ai/DeepSeek-R1")
FULL = TrainingSettings(activation_checkpointing=ActivationCheckpointing.FULL)
LLAMA_7B = ModelShape(
    architecture="LlamaForCausalLM",
    model_type="llama",
    num_layers=32,
    hidden_size=4096,
    vocab_size=32_000,
    max_position_embeddings=4096,
    intermediate_size=11_008,
    tie_word_embeddings=False,
    attention=GroupedQueryAttention(num_heads=32, num_kv_heads=32, head_dim=128),
)


def test_seven_billion_parameters_with_full_checkpointing_on_one_gpu():
    answer = training_estimate(SEVEN, FULL, Parallelism(), 141 * GIB)
    n = 6_910_365_696
    assert (answer.parameters, answer.trainable_parameters, answer.gpus, answer.host_bytes) == (n, n, 1, 0)
    assert (answer.fits, answer.limit, answer.error_percent) == (True, "", 6)
    assert answer.ranks == (
        TrainingRank(
            stage=0,
            parameters_bytes=2 * n,
            master_weights_bytes=4 * n,
            gradients_bytes=2 * n,
            optimizer_bytes=8 * n,
            activations_bytes=30 * 2 * 4096 * 4096 + 4096 * (2 * 2 * 4096 + 4 * 102_400),
            buffers_bytes=0,
            runtime_bytes=RUNTIME_BYTES,
            host_bytes=0,
        ),
    )


def test_a_refusal_names_the_numbers_and_the_nearest_run():
    answer = training_estimate(SEVEN, TrainingSettings(), Parallelism(), 80 * GIB)
    assert not answer.fits
    assert answer.limit == (
        "training needs 120.7 GiB on each GPU (parameters 12.9 GiB, master weights 25.7 GiB, gradients 12.9 GiB, "
        "optimizer 51.5 GiB, activations 16.7 GiB, buffers and runtime 1.0 GiB), but it has 80.0 GiB; ZeRO stage 3 "
        "over 2 GPUs with full activation checkpointing would need 58.3 GiB"
    )


def test_checkpointing_is_proposed_first():
    answer = training_estimate(SEVEN, TrainingSettings(), Parallelism(), 110 * GIB)
    assert answer.limit.endswith("; full activation checkpointing would need 106.5 GiB")


def test_tensor_pipeline_and_data_ranks_together():
    split = Parallelism(tensor=8, pipeline=4, data=4)
    settings = replace(FULL, zero_stage=1, gradient_accumulation_steps=16, sequence_parallel=True)
    answer = training_estimate(shape("deepseek-ai/deepseek-llm-67b-base"), settings, split, 80 * GIB)
    assert (answer.gpus, len(answer.ranks), answer.fits) == (128, 4, True)
    first, last = answer.ranks[0], answer.ranks[-1]
    assert first.parameters_bytes == first.gradients_bytes
    assert abs(sum(rank.parameters_bytes for rank in answer.ranks) * 8 / answer.parameters - 2) < 0.001
    assert first.optimizer_bytes == first.parameters_bytes
    assert first.activations_bytes - last.activations_bytes > 0


def test_the_known_adapter_of_llama_7b():
    lora = LoraSettings(rank=8, target_modules=("q_proj", "v_proj"))
    answer = lora_estimate(LLAMA_7B, FULL, lora, Parallelism(), 24 * GIB)
    assert (answer.parameters, answer.trainable_parameters) == (6_738_415_616, 4_194_304)
    rank = answer.worst_rank
    assert (rank.gradients_bytes, rank.optimizer_bytes, rank.master_weights_bytes) == (4 * 4_194_304, 8 * 4_194_304, 0)
    assert rank.parameters_bytes == 2 * 6_738_415_616 + 4 * 4_194_304
    assert answer.fits


def test_the_adapter_of_gpt_3_in_the_lora_paper():
    attention = GroupedQueryAttention(num_heads=96, num_kv_heads=96, head_dim=128)
    gpt = replace(LLAMA_7B, num_layers=96, hidden_size=12_288, intermediate_size=49_152, attention=attention)
    lora = LoraSettings(rank=8, target_modules=("q_proj", "v_proj"))
    assert lora_estimate(gpt, FULL, lora, Parallelism(), 24 * GIB).trainable_parameters == 37_748_736


@pytest.mark.parametrize(
    ("name", "lora", "trainable"),
    [
        pytest.param(
            "DeepSeek-V2-Lite",
            LoraSettings(rank=1, target_modules=("q_proj", "kv_b_proj")),
            27 * (2048 + 16 * 192 + 512 + 16 * 256),
            id="latent attention without compressed queries",
        ),
        pytest.param(
            "DeepSeek-R1",
            LoraSettings(rank=1, target_modules=("q_a_proj", "kv_a_proj_with_mqa")),
            61 * (7168 + 1536 + 7168 + 576),
            id="compressed queries",
        ),
        pytest.param(
            "DeepSeek-V2-Lite",
            LoraSettings(rank=1, target_modules=("down_proj",)),
            (10_944 + 2048) + 26 * (2 * 1408 + 2048),
            id="shared experts",
        ),
        pytest.param(
            "DeepSeek-V2-Lite",
            LoraSettings(rank=1, target_modules=("down_proj",), adapt_routed_experts=True),
            (10_944 + 2048) + 26 * (2 * 1408 + 2048) + 26 * 64 * (1408 + 2048),
            id="every routed expert",
        ),
    ],
)
def test_adapters_follow_the_modules_of_the_model(name: str, lora: LoraSettings, trainable: int):
    answer = lora_estimate(shape(f"deepseek-ai/{name}"), FULL, lora, Parallelism(), 24 * GIB)
    assert answer.trainable_parameters == trainable


def test_qlora_of_65_billion_parameters_fits_the_48_gb_gpu_of_its_paper():
    attention = GroupedQueryAttention(num_heads=64, num_kv_heads=64, head_dim=128)
    llama = replace(LLAMA_7B, num_layers=80, hidden_size=8192, intermediate_size=22_016, attention=attention)
    settings = replace(FULL, sequence_length=512)
    answer = lora_estimate(llama, settings, LoraSettings(rank=64, quantize_base=True), Parallelism(), 49_140 * 2**20)
    assert (answer.fits, f"{answer.worst_rank.total_bytes / 1e9:.1f}") == (True, "49.6")


def test_nf4_scales_are_the_published_bits():
    elements = 2**24
    assert nf4_bytes(elements, double_quantization=False) * 8 / elements == 4.5
    assert round(nf4_bytes(elements, double_quantization=True) * 8 / elements - 4, 3) == 0.127


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (LoraSettings(rank=0), "lora-rank: 0 is no number from 1 to the hidden size 4096"),
        (LoraSettings(target_modules=()), "lora-target-modules: is empty; give all-linear or some of down_proj, "
         "gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"),
        (LoraSettings(target_modules=("q_prj",)), "lora-target-modules: 'q_prj' is no module of this model; did you "
         "mean q_proj or v_proj or o_proj? known are down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj and "
         "all-linear"),
    ],
)  # fmt: skip
def test_wrong_adapters_are_refused(lora: LoraSettings, message: str):
    with pytest.raises(InvalidSpecError) as refused:
        lora_estimate(SEVEN, FULL, lora, Parallelism(), 24 * GIB)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("model", "split", "message"),
    [
        (SEVEN, Parallelism(pipeline=31), "pipeline-parallel-size: 31 is more than the 30 layers; use fewer"),
        (SEVEN, Parallelism(data=2, expert=True), "enable-expert-parallel: 0 routed experts cannot be dealt out over "
         "2 ranks; leave it off"),
        (R1, Parallelism(tensor=8, data=64, expert=True), "enable-expert-parallel: 256 routed experts cannot be dealt "
         "out over 512 ranks; leave it off"),
    ],
)  # fmt: skip
def test_splits_without_work_for_a_rank_are_refused(model: ModelShape, split: Parallelism, message: str):
    with pytest.raises(InvalidSpecError) as refused:
        training_estimate(model, FULL, split, 80 * GIB)
    assert str(refused.value) == message


def test_the_explanation_puts_the_numbers_in():
    settings = replace(FULL, zero_stage=2, offload_optimizer=True)
    answer = training_estimate(SEVEN, settings, Parallelism(data=2), 80 * GIB)
    assert training_explanation(SEVEN, answer) == (
        "6,910,365,696 of 6,910,365,696 parameters are trained with adamw; the rank that needs most is in stage 0",
        "parameters = 2 B per parameter = 12.87 GiB",
        "per trained parameter: gradient 2 B, FP32 master weights 4 B, adamw: first and second moment; with FP32 "
        "master weights these are the 12 bytes per parameter of mixed-precision Adam; ZeRO stage 2 over 2 "
        "data-parallel ranks: gradients = 0.00 GiB, master weights = 0.00 GiB, optimizer = 0.00 GiB",
        "activations of a layer = 1 x 4,096 tokens x 131,712 B (32.2 x hidden size 4096) + scores 0.00 GiB = 0.50 GiB "
        "(after Korthikanti et al. 2022)",
        "activations = micro-batches in flight 1 x 0.94 GiB kept by 30 layers + max(layer being recomputed 0.50 GiB, "
        "loss 1.62 GiB) = 2.56 GiB",
        "full checkpointing takes 85 % of the activations away, for one more forward pass, a third more compute",
        "buffers = weights gathered by ZeRO-3, gradient buckets and dequantized matrices = 0.93 GiB; CUDA context and "
        "communicators = 1.00 GiB",
        "host memory = offloaded states of all ranks = 102.97 GiB; provide 1.5 x that, 154.46 GiB, for pinned buffers "
        "(DeepSpeed's own factor)",
        "total = 17.37 GiB of 80.00 GiB on each of 2 GPUs",
        "error: ± 13 %; these are formulas and no measurement: states ± 5 % (fragmentation), activations and buffers "
        "± 40 % (frameworks differ in what they fuse and keep)",
    )
