"""Widespread claims about memory: each is reproduced, or corrected with what the estimate explains."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.generic_model import generic_model
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.instances import instances
from deepseek_operator.catalog.models import model_names, shape
from deepseek_operator.catalog.shapes import GroupedQueryAttention, ModelShape
from deepseek_operator.memory.estimate import EngineSettings, MemoryEstimate, estimate
from deepseek_operator.memory.explanation import explanation
from deepseek_operator.memory.offload_need import OffloadNeed, offload_need, what_fits
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.rules_of_thumb import PRECISIONS, active_parameters
from deepseek_operator.memory.stages import stages
from deepseek_operator.memory.stated_weights import stated_bytes
from deepseek_operator.memory.training.adapters import LoraSettings
from deepseek_operator.memory.training.estimate import lora_estimate, training_estimate
from deepseek_operator.memory.training.settings import ActivationCheckpointing, TrainingSettings
from deepseek_operator.memory.training.stage_activations import stage_activations
from deepseek_operator.memory.weights import parameter_counts, stage_weights

GB, GIB = 10**9, 2**30
R1 = shape("deepseek-ai/DeepSeek-R1")
LLM_67B = shape("deepseek-ai/deepseek-llm-67b-chat")
SETTINGS = EngineSettings(
    release="0.32.0",
    gpu_memory_utilization_percent=92,
    max_model_len=4096,
    max_num_seqs=1,
    max_num_batched_tokens=2048,
)


def estimated(model: ModelShape, split: Parallelism | None = None, quantization: str = "Native") -> MemoryEstimate:
    return estimate(model, split or Parallelism(), replace(SETTINGS, quantization=quantization), 80 * GIB)


def explained(model: ModelShape, part: str, quantization: str = "Native", split: Parallelism | None = None) -> str:
    (line,) = [line for line in explanation(model, estimated(model, split, quantization)) if part in line]
    return line


@pytest.mark.parametrize(
    ("billions", "precision", "gb"),
    [
        pytest.param(7, "FP32", 28.0, id="7B FP32 is 28 GB"),
        pytest.param(7, "FP16", 14.0, id="7B FP16 is 14 GB"),
        pytest.param(7, "FP8/INT8", 7.0, id="7B INT8 is 7 GB"),
        pytest.param(7, "4-bit", 3.5, id="3.5 GB is 7B in 4 bits, not INT8"),
        pytest.param(67, "FP16", 134.0, id="67B FP16 is 134 GB"),
        pytest.param(67, "FP8/INT8", 67.0, id="INT8 halves 134 GB to 67, not to 33.5"),
        pytest.param(13, "FP16", 26.0, id="13B FP16 is 26.0 GB, not 24.4"),
        pytest.param(671, "FP32", 2684.0, id="R1 FP32 is 2684 GB, not 1342"),
        pytest.param(671, "FP16", 1342.0, id="R1 FP16 is 1342 GB"),
        pytest.param(671, "FP8/INT8", 671.0, id="R1 INT8 is 671 GB, not 167"),
        pytest.param(671, "4-bit", 335.5, id="R1 4-bit is 335 GB and scales, not 83"),
    ],
)
def test_weights_alone_in_decimal_gigabytes(billions: int, precision: str, gb: float):
    (rank,) = stage_weights(generic_model(billions * GB).shape, Parallelism(), PRECISIONS[precision])
    assert rank.total_bytes == gb * GB


def test_thirteen_billion_parameters_are_26_0_gb_and_24_2_gib():
    assert explained(generic_model(13 * GB).shape, "weights by precision") == (
        "weights by precision = 13,000,000,000 parameters x bits / 8: FP32 52.0 GB (48.4 GiB), FP16 26.0 GB (24.2 "
        "GiB), FP8/INT8 13.0 GB (12.1 GiB), 4-bit 6.5 GB (6.1 GiB); from FP16, 8 bits halve and 4 bits quarter, scales "
        "of 4-bit formats add 3 to 13 %"
    )


def test_the_real_r1_in_every_precision():
    assert "FP32 2684.1 GB" in explained(R1, "weights by precision")
    assert "FP16 1342.1 GB" in explained(R1, "weights by precision")
    assert "FP8/INT8 671.0 GB" in explained(R1, "weights by precision")
    assert "4-bit 335.5 GB" in explained(R1, "weights by precision")


def test_four_bit_formats_add_their_scales_and_what_stays_in_16_bits():
    (rank,) = stage_weights(R1, Parallelism(), PRECISIONS["4-bit"])
    awq = estimated(R1, quantization="AWQ").worst_rank.weights_bytes
    assert f"{rank.total_bytes / GB:.0f} {awq / GB:.0f}" == "341 354"


def test_sharding_over_eight_gpus_is_16_75_gb_each():
    model, split = generic_model(67 * GB).shape, Parallelism(tensor=8)
    (rank,) = stage_weights(model, split)
    assert rank.total_bytes == 16_750_000_000
    assert explained(model, "over GPUs", split=split) == (
        "FP16 weights over GPUs = 134.0 GB / 8 = 16.75 GB each, if nothing were repeated on them"
    )


@pytest.mark.parametrize(
    ("model", "requests", "ratio"),
    [
        pytest.param(LLM_67B, 1, 0.012, id="67B, one request"),
        pytest.param(LLM_67B, 128, 1.51, id="67B, 128 requests"),
        pytest.param(R1, 128, 0.055, id="R1, 128 requests"),
    ],
)
def test_cache_and_weights_have_no_fixed_ratio(model: ModelShape, requests: int, ratio: float):
    answer = estimated(model)
    cache = requests * 4096 * answer.kv_cache_bytes_per_token
    assert round(cache / answer.worst_rank.weights_bytes, 3 if ratio < 1 else 2) == ratio


def test_the_ratio_is_explained():
    assert explained(R1, "no fixed ratio") == (
        "KV cache and weights have no fixed ratio: one request of 4,096 tokens takes 0.3 GB beside 675.2 GB of weights "
        "on a rank (0.000428 x), and every further token in flight 70,272 B"
    )
    assert explained(R1, "latent attention") == (
        "latent attention stores 71 x less than separate keys and values of its 128 heads would take"
    )


def test_adam_keeps_12_bytes_and_training_16():
    assert explained(generic_model(7 * GB).shape, "Adam") == (
        "training all parameters with mixed-precision Adam = 16 B each (weight 2 B, gradient 2 B, FP32 weight 4 B, two "
        "moments 8 B) = 112.0 GB, 84.0 GB of them optimizer, before activations"
    )
    rank = training_estimate(LLM_67B, TrainingSettings(), Parallelism(), 80 * GIB).worst_rank
    parameters = sum(parameter_counts(LLM_67B).values())
    assert (rank.master_weights_bytes + rank.optimizer_bytes, rank.states_bytes) == (12 * parameters, 16 * parameters)


def test_lora_trains_about_a_thousandth():
    settings = TrainingSettings(activation_checkpointing=ActivationCheckpointing.FULL)
    lora = LoraSettings(rank=16, target_modules=("q_proj", "v_proj"))
    answer = lora_estimate(shape("deepseek-ai/deepseek-llm-7b-base"), settings, lora, Parallelism(), 24 * GIB)
    assert answer.trainable_parameters == 30 * 2 * 16 * (4096 + 4096)
    assert f"{100 * answer.trainable_parameters / answer.parameters:.2f} %" == "0.11 %"


@pytest.mark.parametrize(
    ("checkpointing", "flash_attention", "percent"),
    [
        pytest.param(ActivationCheckpointing.SELECTIVE, False, 69, id="selective takes 60 to 80 % of GPT-3 away"),
        pytest.param(ActivationCheckpointing.SELECTIVE, True, 0, id="flash attention has taken them already"),
        pytest.param(ActivationCheckpointing.FULL, False, 97, id="full takes more"),
        pytest.param(ActivationCheckpointing.FULL, True, 93, id="full, with flash attention"),
    ],
)
def test_what_checkpointing_takes_away(checkpointing: ActivationCheckpointing, flash_attention: bool, percent: int):
    gpt = replace(
        generic_model(175 * GB).shape,
        attention=GroupedQueryAttention(num_heads=96, num_kv_heads=96, head_dim=128),
    )
    (stage,) = stages(gpt, 1)
    plain = TrainingSettings(sequence_length=2048, flash_attention=flash_attention, dropout=True)
    whole, kept = (
        stage_activations(gpt, stage, Parallelism(), settings).total_bytes
        for settings in (plain, replace(plain, activation_checkpointing=checkpointing))
    )
    assert round(100 * (whole - kept) / whole) == percent


def test_all_experts_stay_resident():
    mixture = shape("deepseek-ai/deepseek-moe-16b-chat")
    total, active = sum(parameter_counts(mixture).values()), active_parameters(mixture)
    assert (total, active) == (16_375_728_128, 2_828_650_496)
    assert estimated(mixture).worst_rank.weights_bytes > 2 * total
    assert explained(mixture, "experts: ") == (
        "experts: a token passes through 6 of 64 per layer, 2,828,650,496 of 16,375,728,128 parameters (17.3 %): "
        "computing falls to that share, memory does not, because all experts stay resident unless they are offloaded"
    )


@pytest.mark.parametrize(
    ("instance", "gpu_id", "gpus"),
    [("p4d.24xlarge", "a100-sxm4-40gb", 8), ("p4de.24xlarge", "a100-sxm4-80gb", 8)],
)
def test_p4d_has_40_gb_and_p4de_80(instance: str, gpu_id: str, gpus: int):
    (found,) = [row for row in instances() if row.name == instance]
    assert (found.gpu_id, found.gpus) == (gpu_id, gpus)


@pytest.mark.parametrize(("gigabytes", "fits"), [(24, True), (48, True), (80, True)])
def test_a_quarter_billion_parameters_per_gigabyte_fit_in_fp16(gigabytes: int, fits: bool):
    quarter, half = (generic_model(gigabytes * GB * share // 100).shape for share in (25, 50))
    total = gigabytes * GIB * 98 // 100
    assert estimate(quarter, Parallelism(), SETTINGS, total).fits is fits
    assert estimate(half, Parallelism(), SETTINGS, total).fits is not fits


def one_rtx_4090(model: ModelShape, quantization: str) -> MemoryEstimate:
    product = gpu("rtx-4090")
    assert product.usable_memory_bytes is not None
    settings = replace(SETTINGS, quantization=quantization)
    return estimate(model, Parallelism(), settings, product.usable_memory_bytes, product.compute_capability)


def test_r1_in_four_bits_does_not_run_from_24_gb_and_64_gib_of_host_memory():
    need = offload_need(one_rtx_4090(R1, "AWQ"))
    assert f"{need.gpu_weights_bytes / GB:.0f} {need.offloaded_bytes / GB:.0f}" == "19 335"
    assert f"{need.host_memory_bytes / GIB:.0f}" == "327"


def test_a_host_that_is_too_small_is_told_what_is_missing():
    need = OffloadNeed(gpu_weights_bytes=19 * GIB, offloaded_bytes=312 * GIB, host_memory_bytes=328 * GIB)
    assert need.sentence(64 * GIB) == (
        "312.0 GiB of weights must leave the GPUs and need 328.0 GiB of host memory, but there are 64.0 GiB: 264.0 GiB "
        "would be read from disk for every pass"
    )
    assert need.sentence(384 * GIB) == "312.0 GiB of weights must leave the GPUs and fit in 384.0 GiB of host memory"


def test_what_fits_needs_no_host_memory():
    need = offload_need(one_rtx_4090(shape("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"), "AWQ"))
    assert (need.offloaded_bytes, need.host_memory_bytes) == (0, 0)
    assert need.sentence(0) == "everything fits on the GPUs"


def test_nothing_needs_more_than_all_weights_to_leave():
    answer = estimate(R1, Parallelism(), SETTINGS, GIB)
    assert offload_need(answer) == OffloadNeed(
        gpu_weights_bytes=0,
        offloaded_bytes=answer.worst_rank.weights_bytes,
        host_memory_bytes=answer.worst_rank.weights_bytes * 105 // 100,
    )


def test_the_distilled_models_that_one_rtx_4090_holds():
    product = gpu("rtx-4090")
    assert product.usable_memory_bytes is not None
    candidates = [(name, shape(name)) for name in model_names() if "R1-Distill" in name]
    found = what_fits(
        candidates,
        ("Native", "FP8", "AWQ"),
        Parallelism(),
        SETTINGS,
        product.usable_memory_bytes,
        product.compute_capability,
    )
    assert [(each.name.removeprefix("deepseek-ai/DeepSeek-R1-Distill-"), each.quantization) for each in found] == [
        ("Qwen-32B", "AWQ"),
        ("Qwen-14B", "FP8"),
        ("Llama-8B", "Native"),
        ("Qwen-7B", "Native"),
        ("Qwen-1.5B", "Native"),
    ]


def test_precisions_are_bits_of_the_same_parameters():
    assert [stated_bytes(671 * GB, bits) // GB for bits in PRECISIONS.values()] == [2684, 1342, 671, 335]
