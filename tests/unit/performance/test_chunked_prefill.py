"""A prompt that does not fit into one step waits for more steps; one that does changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.chunked_prefill import chunks_per_prompt, further_steps
from deepseek_operator.performance.coefficients import coefficients
from deepseek_operator.performance.features import Precision, ServingPoint
from deepseek_operator.performance.roofline import predict_seconds

A100 = gpu("a100-sxm4-80gb")
POINT = ServingPoint(
    shape=shape("deepseek-ai/DeepSeek-R1-Distill-Llama-70B"),
    parallelism=Parallelism(tensor=8),
    gpu=A100,
    precision=Precision(bytes_per_parameter=2.0, tflops=A100.bf16_tflops or 0.0),
    kv_bytes_per_token=40_960.0,
    batch=49,
    input_tokens=4000,
    output_tokens=1000,
)


@pytest.mark.parametrize(
    ("limit", "batch", "chunks"),
    [
        pytest.param(0, 49, 1, id="no-limit"),
        pytest.param(8192, 49, 1, id="fits"),
        pytest.param(2048, 49, 2, id="2,000-tokens-beside-48-answers"),
        pytest.param(2048, 50, 3, id="1,999-tokens-beside-49-answers"),
        pytest.param(2048, 5000, 3, id="prompts-keep-four-fifths"),
    ],
)
def test_a_prompt_takes_the_room_that_answers_leave(limit: int, batch: int, chunks: int):
    assert chunks_per_prompt(replace(POINT, max_num_batched_tokens=limit, batch=batch)) == chunks


def test_the_first_token_waits_one_step_for_each_further_chunk():
    whole = predict_seconds(POINT, coefficients())
    halves = predict_seconds(replace(POINT, max_num_batched_tokens=2048), coefficients())
    assert whole is not None
    assert halves is not None
    assert halves[1:] == whole[1:]
    assert halves[0] == pytest.approx(whole[0] + whole[1])


def test_more_chunks_than_steps_of_an_answer_wait_for_each_other():
    """49 prompts of two chunks take 98 steps, 18 more than an answer of 80 tokens; in one chunk they fit beside it."""
    short = replace(POINT, output_tokens=80, max_num_batched_tokens=2048)
    assert chunks_per_prompt(short) == 2
    assert further_steps(short) == 1 + 98 - 80
