from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.estimate import estimate
from deepseek_operator.memory.explanation import explanation
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.memory.tensors import Component
from deepseek_operator.memory.weight_offload import offload
from deepseek_operator.memory.weights import stage_weights

GIB = 2**30
CODER_LITE = "deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct"
R1 = "deepseek-ai/DeepSeek-R1"
OCR = "deepseek-ai/DeepSeek-OCR"
ONE_GPU = Parallelism()
L40S = round(44.31 * GIB)
SETTINGS = EngineSettings(
    release="0.32.0",
    gpu_memory_utilization_percent=92,
    max_model_len=4096,
    max_num_seqs=256,
    max_num_batched_tokens=8192,
)


def resident(name: str, limit_bytes: int, split: Parallelism = ONE_GPU) -> int:
    told = replace(SETTINGS, cpu_offload_bytes=limit_bytes)
    return estimate(shape(name), split, told, L40S).ranks[0].weights_bytes


def test_tables_and_derived_copies_stay_on_the_gpu():
    """30 GiB are more than the layers have, so what is left can never be moved."""
    sizes = dict(stage_weights(shape(CODER_LITE), Parallelism())[0].by_component)
    tables = sizes[Component.EMBEDDINGS] + sizes[Component.LM_HEAD] + sizes[Component.ROTARY_TABLE]
    copies = 27 * 2 * 16 * 128 * 512 * 2
    assert resident(CODER_LITE, 30 * GIB) == tables + copies


def test_without_a_limit_nothing_moves():
    (weights,) = stage_weights(shape(CODER_LITE), Parallelism())
    assert resident(CODER_LITE, 0) == weights.total_bytes


def test_the_explanation_says_what_moved():
    told = replace(SETTINGS, cpu_offload_bytes=30 * GIB)
    lines = explanation(shape(CODER_LITE), estimate(shape(CODER_LITE), ONE_GPU, told, L40S))
    assert any(line.endswith(" - offloaded to the host 28.500 GiB = 0.906 GiB") for line in lines), lines


def test_the_last_parameter_may_pass_the_limit():
    (weights,) = stage_weights(shape(R1), Parallelism(tensor=8))
    moved = offload(weights.offloadable, 10 * GIB)
    largest = max(size for sizes, _ in weights.offloadable for size in sizes)
    assert 10 * GIB <= moved.host_bytes < 10 * GIB + largest
    assert weights.total_bytes - resident(R1, 10 * GIB, Parallelism(tensor=8)) == moved.device_bytes


def test_an_image_encoder_moves_first():
    (weights,) = stage_weights(shape(OCR), Parallelism())
    sizes = dict(weights.by_component)
    moved = offload(weights.offloadable, 2 * (398_746_880 + 2_625_280))
    assert moved.host_bytes == 2 * (398_746_880 + 2_625_280)
    assert moved.device_bytes == sizes[Component.VISION] + sizes[Component.PROJECTOR]


# vllm-project/vllm#58185: a w13_weight of 4.5 GiB takes 8 GiB of the host.
@pytest.mark.parametrize(
    ("parameters", "pinned_gib"),
    [
        pytest.param((((9 * GIB // 2,), 1),), 8, id="rounded up to a power of two"),
        pytest.param((((4 * GIB,), 2),), 8, id="a power of two is exact"),
    ],
)
def test_pinned_memory(parameters: tuple[tuple[tuple[int, ...], int], ...], pinned_gib: int):
    assert offload(parameters, 100 * GIB).pinned_bytes == pinned_gib * GIB
