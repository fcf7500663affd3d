from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.quantizations import named_quantization, quantization
from deepseek_operator.catalog.shapes import StoredPrecision
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.parallelism import illegal, legal_tensors
from planner_values import CHAT_67B, R1


@pytest.mark.parametrize(
    ("model", "split", "why"),
    [
        pytest.param(CHAT_67B, Parallelism(tensor=8, pipeline=3), "", id="heads and kv heads divide"),
        pytest.param(CHAT_67B, Parallelism(tensor=16), "", id="kv heads are replicated once TP exceeds them"),
        pytest.param(
            CHAT_67B,
            Parallelism(tensor=3),
            "TP 3 does not divide the 64 attention heads; use 1, 2, 4, 8, 16, 32 or 64",
            id="three is refused with the sizes that work",
        ),
        pytest.param(
            CHAT_67B,
            Parallelism(pipeline=96),
            "PP 96 is more than the 95 layers; use 95 or fewer",
            id="every stage needs a layer",
        ),
        pytest.param(
            CHAT_67B,
            Parallelism(tensor=2, expert=True),
            "expert parallelism needs a mixture of experts, and this model is dense; set expert to false",
            id="a dense model has no experts to spread",
        ),
        pytest.param(
            "deepseek-ai/DeepSeek-V4-Flash",
            Parallelism(tensor=16),
            "TP 16 does not divide the 8 groups of the attention's output; use 1, 2, 4 or 8",
            id="output groups of compressed attention",
        ),
        pytest.param("deepseek-ai/DeepSeek-V4-Pro", Parallelism(tensor=16), "", id="its shared experts are filled up"),
        pytest.param(
            "deepseek-ai/DeepSeek-V4-Pro-Base",
            Parallelism(tensor=16),
            "TP 16 does not divide the expert width of 3,072 in blocks of 128; use 1, 2, 4 or 8",
            id="experts in fp8 keep whole blocks",
        ),
        pytest.param("deepseek-ai/DeepSeek-V4-Pro-Base", Parallelism(tensor=16, expert=True), "", id="dealt out whole"),
        pytest.param("deepseek-ai/DeepSeek-V4-Pro", Parallelism(pipeline=7), "", id="own caches go anywhere"),
        pytest.param("deepseek-ai/DeepSeek-V4.1-Flash", Parallelism(tensor=8, pipeline=2), "", id="cut at a source"),
        pytest.param(
            "deepseek-ai/DeepSeek-V4.1-Flash",
            Parallelism(pipeline=4),
            "PP 4 parts layers that share one cache; use 1 or 2",
            id="shared caches stay on one stage",
        ),
        pytest.param(
            "deepseek-ai/deepseek-vl2",
            Parallelism(tensor=32),
            "TP 32 does not divide the 4,304 MLP rows of the image encoder; use 1, 2, 4, 8 or 16",
            id="the image encoder is cut with the language model",
        ),
        pytest.param("deepseek-ai/DeepSeek-OCR", Parallelism(tensor=2), "", id="10 and 16 heads over 2"),
        pytest.param(R1, Parallelism(tensor=16), "", id="2,048 over 16 is one FP8 block of 128"),
        pytest.param(
            R1,
            Parallelism(tensor=32),
            "TP 32 does not divide the dense MLP width of 18,432 in blocks of 128; use 1, 2, 4, 8 or 16",
            id="an FP8 block is not cut",
        ),
        pytest.param(R1, Parallelism(tensor=8, data=2, expert=True), "", id="256 experts over 16 ranks"),
        pytest.param(
            R1,
            Parallelism(tensor=8, data=4),
            "TP 8 times DP 4 does not divide the expert width of 2,048 in blocks of 128; use 1, 2 or 4",
            id="experts that are not spread are cut over all ranks",
        ),
        pytest.param(
            R1,
            Parallelism(tensor=8, data=3, expert=True),
            "the 256 experts cannot be spread evenly over 24 ranks (TP 8 x DP 3)",
            id="256 experts do not spread over 24 ranks",
        ),
    ],
)
def test_a_split_is_legal_or_refused_with_what_to_use(model: str, split: Parallelism, why: str):
    assert illegal(shape(model), split) == why


@pytest.mark.parametrize(
    ("model", "name", "split", "why"),
    [
        pytest.param(CHAT_67B, "AWQ", Parallelism(tensor=4), "", id="5,504 columns are 43 groups of 128"),
        pytest.param(
            CHAT_67B,
            "AWQ",
            Parallelism(tensor=8),
            "TP 8 does not divide the MLP width of 22,016 in groups of 128; use 1, 2 or 4",
            id="2,752 columns are 21.5 groups of 128",
        ),
        pytest.param(CHAT_67B, "AWQ:64", Parallelism(tensor=8), "", id="2,752 columns are 43 groups of 64"),
        pytest.param(CHAT_67B, "AWQ:-1", Parallelism(tensor=8), "", id="whole rows are one group"),
        pytest.param(CHAT_67B, "NVFP4", Parallelism(tensor=8), "", id="groups of 16 are fine"),
        pytest.param(
            CHAT_67B,
            "MXFP4",
            Parallelism(tensor=64),
            "TP 64 does not divide the MLP width of 22,016 in groups of 32; use 1, 2, 4, 8 or 16",
            id="344 columns are 10.75 groups of 32",
        ),
        pytest.param(
            "deepseek-ai/DeepSeek-V2-Lite-Chat",
            "GPTQ",
            Parallelism(),
            "TP 1 does not divide the dense MLP width of 10,944 in groups of 128",
            id="no such checkpoint can exist",
        ),
        pytest.param(
            "deepseek-ai/DeepSeek-V2-Lite-Chat", "GPTQ:32", Parallelism(tensor=2), "", id="5,472 columns are 171 groups"
        ),
        pytest.param(R1, "NVFP4Experts", Parallelism(tensor=32), "", id="the other layers are not in groups"),
    ],
)
def test_groups_that_share_a_scale_stay_on_one_rank(model: str, name: str, split: Parallelism, why: str):
    assert illegal(shape(model), split, linear=named_quantization(name).linear) == why


def test_a_checkpoint_that_is_stored_in_groups_keeps_them():
    awq = replace(shape(CHAT_67B), stored_precision=StoredPrecision.AWQ, stored_linear=quantization("AWQ").linear)
    assert legal_tensors(awq) == (1, 2, 4)


def test_a_requantized_checkpoint_loses_its_blocks():
    assert illegal(shape(R1), Parallelism(tensor=32), linear=quantization("FP8").linear) == ""


def test_a_vocabulary_counts_with_its_padding():
    uneven = replace(shape(CHAT_67B), vocab_size=102_401)
    assert legal_tensors(uneven) == (1, 2, 4, 8, 16, 32, 64)


def test_kv_heads_that_neither_divide_nor_are_divided_are_refused():
    model = shape("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B")
    assert illegal(model, Parallelism(tensor=3)).startswith("TP 3 neither divides the 2 KV heads")
