from __future__ import annotations

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.kv_cache import blocks_for, blocks_in, kv_cache_law
from deepseek_operator.memory.settings import KvCacheDtype

AUTO, FP8 = KvCacheDtype.AUTO, KvCacheDtype.FP8
LLAMA_70B = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"
R1 = "deepseek-ai/DeepSeek-R1"
V32 = "deepseek-ai/DeepSeek-V3.2"


@pytest.mark.parametrize(
    ("name", "tensor", "dtype", "capability", "all_layers"),
    [
        pytest.param("deepseek-ai/deepseek-llm-7b-chat", 1, AUTO, None, 491_520, id="MHA"),
        pytest.param("deepseek-ai/deepseek-llm-67b-chat", 1, AUTO, None, 389_120, id="GQA"),
        pytest.param(
            "deepseek-ai/deepseek-coder-5.7bmqa-base", 4, AUTO, None, 16_384, id="MQA is repeated on each rank"
        ),
        pytest.param(LLAMA_70B, 4, AUTO, None, 81_920, id="GQA heads are cut"),
        pytest.param(LLAMA_70B, 4, FP8, None, 40_960, id="FP8 halves them"),
        pytest.param(LLAMA_70B, 16, AUTO, None, 40_960, id="GQA heads are repeated once TP exceeds them"),
        pytest.param("deepseek-ai/DeepSeek-V2.5", 8, AUTO, None, 69_120, id="MLA of V2"),
        pytest.param(R1, 1, AUTO, None, 70_272, id="MLA"),
        pytest.param(R1, 8, AUTO, None, 70_272, id="MLA is whole on each rank"),
        pytest.param(R1, 8, FP8, None, 35_136, id="MLA in FP8"),
        pytest.param(V32, 8, AUTO, None, 78_324, id="indexer"),
        pytest.param(V32, 8, FP8, (9, 0), 48_068, id="Hopper packs FP8"),
        pytest.param(V32, 8, FP8, (10, 0), 43_188, id="datacenter Blackwell keeps plain FP8"),
        pytest.param(V32, 8, AUTO, (12, 0), 48_068, id="12.x packs whatever is asked"),
    ],
)
def test_bytes_per_token(
    name: str, tensor: int, dtype: KvCacheDtype, capability: tuple[int, int] | None, all_layers: int
):
    model = shape(name)
    law = kv_cache_law(model, capability)
    assert law.bytes_per_token_per_layer(tensor, dtype) * model.num_layers == all_layers


@pytest.mark.parametrize(
    ("name", "tensor", "dtype", "text"),
    [
        (LLAMA_70B, 4, FP8, "2 x 2 KV heads x 128 x 1 B"),
        (R1, 8, AUTO, "(512 + 64) x 2 B, on every TP rank"),
        (V32, 8, FP8, "656 B latent + 132 B index, on every TP rank"),
    ],
)
def test_formula_has_the_numbers_put_in(name: str, tensor: int, dtype: KvCacheDtype, text: str):
    assert kv_cache_law(shape(name)).formula(tensor, dtype) == text


def test_blocks_round_up_for_a_request_and_down_for_a_budget():
    assert [blocks_for(tokens, 16) for tokens in (1, 16, 17)] == [2, 2, 3]
    assert [blocks_in(size, 100) for size in (-1, 99, 100, 250)] == [0, 0, 1, 2]
