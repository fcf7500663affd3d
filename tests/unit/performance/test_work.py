from __future__ import annotations

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.work import decode_work, matrix_parameters


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        pytest.param("deepseek-ai/deepseek-llm-67b-chat", 66.586, id="67B without its input embedding"),
        pytest.param("deepseek-ai/DeepSeek-R1", 670.100, id="R1 without its input embedding"),
        pytest.param("deepseek-ai/DeepSeek-V2-Lite", 15.497, id="V2-Lite without its input embedding"),
    ],
)
def test_matrices_add_up_to_the_known_parameters(model: str, billions: float):
    config = shape(model)
    matrices = matrix_parameters(config)
    experts = config.experts.num_experts if config.experts else 0
    total = matrices.dense + matrices.output_head + experts * matrices.per_expert * matrices.expert_layers
    assert total / 1e9 == pytest.approx(billions, rel=1e-3)


def test_tensor_parallelism_divides_every_byte_and_operation_but_the_replicated_cache():
    def work(tensor: int):
        return decode_work(
            shape("deepseek-ai/DeepSeek-R1"),
            Parallelism(tensor=tensor),
            bytes_per_parameter=1.0,
            kv_bytes_per_token=70_272.0,
            batch=16,
            context_tokens=1000,
        )

    one, eight = work(1), work(8)
    assert one.dense_bytes == pytest.approx(8 * eight.dense_bytes)
    assert one.expert_bytes == pytest.approx(8 * eight.expert_bytes)
    assert one.linear_flops == pytest.approx(8 * eight.linear_flops)
    assert one.attention_flops == pytest.approx(8 * eight.attention_flops)
    assert one.kv_bytes == eight.kv_bytes == 16 * 1000 * 70_272
    assert one.all_reduce_bytes == 0 < eight.all_reduce_bytes


def test_sparse_attention_reads_only_the_selected_tokens():
    work = decode_work(
        shape("deepseek-ai/DeepSeek-V3.2"),
        Parallelism(tensor=8),
        bytes_per_parameter=1.0,
        kv_bytes_per_token=1.0,
        batch=1,
        context_tokens=100_000,
    )
    assert work.kv_bytes == 2048
