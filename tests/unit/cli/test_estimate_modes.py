"""Modes of ``estimate``, models without a config, host memory and speed; and that options keep vLLM's names."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from deepseek_operator.catalog.engines import engine_flags
from deepseek_operator.cli import estimate_options
from deepseek_operator.cli.estimate import app
from deepseek_operator.cli.estimate_answer import answer
from deepseek_operator.cli.estimate_question import EstimateQuestion, parse_question
from deepseek_operator.errors import DeepSeekOperatorError, InvalidSpecError
from deepseek_operator.units import GIB

LLM_7B = "deepseek-ai/deepseek-llm-7b-chat"
R1 = "deepseek-ai/DeepSeek-R1"
H100 = "h100-sxm5-80gb"
H200 = "h200-sxm"
VLLM_GROUPS = (estimate_options.SPLIT, estimate_options.ENGINE, estimate_options.HOST)
OURS = {"--engine-version"}
TRAINED = ("--mode", "training", "--model", LLM_7B, "--gpu", H100)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout


def test_every_option_is_a_key_of_a_line_and_the_other_way_round():
    options = {param.name for param in get_command(app).params} - {"explain", "batch", "output"}
    assert options == {field.name for field in fields(EstimateQuestion)}


def test_options_of_the_engine_are_spelt_as_the_engine_spells_them():
    known = engine_flags("vllm", "0.32.0")
    ours = {
        spelling.split(".")[0]
        for param in get_command(app).params
        if param.rich_help_panel in VLLM_GROUPS
        for spelling in param.opts
    }
    assert sorted(ours - set(known)) == sorted(OURS)


def test_training_says_where_every_byte_goes():
    code, text = run(*TRAINED, "--data-parallel-size", "8", "--zero-stage", "3", "-o", "json")
    content = json.loads(text)
    (rank,) = content["perRank"]
    parts = [size for name, size in rank.items() if name not in ("stage", "totalBytes", "hostBytes")]
    assert (code, content["fits"], content["limit"], content["gpus"]) == (0, True, None, 8)
    assert sum(parts) == rank["totalBytes"]
    assert content["parameters"] == content["trainableParameters"] == 6_910_365_696
    assert rank["optimizerBytes"] == 6_910_365_696 * 8 // 8


def test_what_cannot_be_trained_exits_with_two_and_names_what_would():
    code, text = run(*TRAINED)
    verdict = text.splitlines()[2]
    assert code == 2
    assert verdict.startswith("TP1 on 1 GPU: does not fit: training needs ")
    assert "ZeRO stage 3 over " in verdict


def test_adapters_train_a_fraction():
    code, text = run("--mode", "lora", "--model", LLM_7B, "--gpu", H100, "--qlora", "--lora-rank", "8", "--explain")
    assert code == 0
    assert "18,739,200 of 6,910,365,696 parameters are trained" in text
    assert "frozen linear weights in NF4" in text


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, mode="train"),
            "mode: unknown 'train'; known are training",
        ),
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, zero_stage=3),
            "zero-stage: belongs to mode training and lora, not to serving; leave it out",
        ),
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, mode="training", qlora=True),
            "qlora: belongs to mode lora, not to training; leave it out",
        ),
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, mode="lora", max_num_seqs=8),
            "max-num-seqs: belongs to mode serving, not to lora; leave it out",
        ),
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, mode="training", training_dtype="int8"),
            "training-dtype: unknown 'int8'; known are bfloat16, float16, float32",
        ),
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, mode="training", zero_stage=4),
            "zero-stage: 4 is no number from 0 to 3",
        ),
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, mode="training", optimizer="sgd"),
            "unknown optimizer 'sgd'; known are adamw, adamw-8bit, lion, adafactor",
        ),
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, mode="lora", no_double_quantization=True),
            "no-double-quantization: needs qlora, because only NF4 has scales to quantize",
        ),
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, mode="training", data_parallel_size=1024, tensor_parallel_size=32),
            "TP32 DP1024 are 32,768 GPUs, more than 16,384, the most that is planned for",
        ),
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, parameters="7e9"),
            "model and parameters contradict each other; give one of them",
        ),
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, hidden_size=4096),
            "hidden-size: belongs to parameters; a model or config says it itself",
        ),
        (
            EstimateQuestion(parameters="seven", gpu=H100),
            "parameters: 'seven' is no number of parameters; write 13e9, 13B or 1.6T",
        ),
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, cpu_offload_gb=-1.0),
            "cpu-offload-gb: -1.0 is no size in GiB from 0 to 1,048,576",
        ),
        (
            EstimateQuestion(parameters="13e9", gpu=H100, cpu_offload_gb=8.0),
            "cpu-offload-gb: moves whole tensors, which a number of parameters does not tell; give model or config",
        ),
        (
            EstimateQuestion(model=LLM_7B, gpu=H100, kv_offloading_size=float("inf")),
            "kv-offloading-size: inf is no size in GiB from 0 to 1,048,576",
        ),
    ],
)
def test_options_that_contradict_are_refused(question: EstimateQuestion, sentence: str):
    with pytest.raises(DeepSeekOperatorError) as refusal:
        answer(question)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("line", ['{"parameters": 13e9, "gpu": "%s"}', '{"parameters": "13B", "gpu": "%s"}'])
def test_a_number_of_parameters_stands_in_for_a_model(line: str):
    content = answer(parse_question(line % H100)).as_json()
    assert content["perRank"][0]["weightsBytes"] == 26_000_000_000
    assert content["approximation"].startswith("approximate: weights are 13,000,000,000 parameters as given")


def test_a_boolean_is_no_number_of_parameters():
    with pytest.raises(InvalidSpecError, match=r"parameters: true has the wrong type; write a number"):
        parse_question('{"parameters": true}')


def test_offloaded_weights_move_to_the_host():
    asked = EstimateQuestion(model=R1, gpu=H200, tensor_parallel_size=8)
    offloading = EstimateQuestion(model=R1, gpu=H200, tensor_parallel_size=8, cpu_offload_gb=10, kv_offloading_size=16)
    kept, moved = answer(asked).as_json(), answer(offloading).as_json()
    assert kept["perRank"][0]["weightsBytes"] - moved["perRank"][0]["weightsBytes"] >= 10 * GIB
    assert (kept["hostMemory"]["weightOffloadBytes"], kept["hostMemory"]["kvOffloadBytes"]) == (0, 0)
    assert moved["hostMemory"]["weightOffloadBytes"] >= 80 * GIB
    assert moved["hostMemory"]["kvOffloadBytes"] == 16 * GIB
    assert moved["diskBytes"] == kept["diskBytes"] > 640 * GIB


def test_ranks_that_share_tokens_hold_more_of_them():
    asked = {"model": R1, "gpu": H200, "tensor_parallel_size": 8}
    alone = answer(EstimateQuestion(**asked)).as_json()
    shared = answer(EstimateQuestion(**asked, decode_context_parallel_size=8)).as_json()
    assert (alone["kvCacheBytesPerToken"], shared["kvCacheBytesPerToken"]) == (70_272, 8_784)
    assert shared["perRank"] == alone["perRank"]


def test_a_fixed_cache_replaces_the_utilization():
    asked = {"model": R1, "gpu": H200, "tensor_parallel_size": 8, "kv_cache_memory_bytes": 20_000_000_000}
    assert answer(EstimateQuestion(**asked)).as_json()["perRank"][0]["kvCacheBytes"] == 20_000_000_000


def test_a_draft_takes_weights_and_cache():
    asked = {"model": R1, "gpu": H200, "tensor_parallel_size": 8}
    without = answer(EstimateQuestion(**asked)).as_json()
    drafting = answer(EstimateQuestion(**asked, spec_tokens=1)).as_json()
    assert drafting["perRank"][0]["weightsBytes"] > without["perRank"][0]["weightsBytes"]
    assert drafting["kvCacheBytesPerToken"] * 61 == without["kvCacheBytesPerToken"] * 62


def test_requests_beyond_what_runs_at_once_wait():
    load = {"engine": "vllm", "input_tokens": 1024, "output_tokens": 256, "max_num_seqs": 16}
    asked = {"model": LLM_7B, "gpu": H100, **load}
    running = answer(EstimateQuestion(**asked, concurrency=16)).as_json()["performance"]
    waiting = answer(EstimateQuestion(**asked, concurrency=32)).as_json()["performance"]
    request = running["ttftMilliseconds"] + 255 * running["tpotMilliseconds"]
    assert list(running) == ["ttftMilliseconds", "tpotMilliseconds", "tokensPerSecond", "source", "errorPercent"]
    assert waiting == running | {"ttftMilliseconds": running["ttftMilliseconds"] + request}


def test_nothing_is_fast_that_does_not_fit():
    load = {"engine": "vllm", "input_tokens": 1024, "output_tokens": 256, "concurrency": 1}
    content = answer(EstimateQuestion(model=R1, gpu=H100, tensor_parallel_size=8, **load)).as_json()
    assert (content["fits"], content["performance"]) == (False, None)


def test_a_speed_says_what_it_rests_on():
    load = {"input_tokens": 1024, "output_tokens": 256, "concurrency": 8}
    sources = {}
    for engine, gpu in (("sglang", "h200-sxm"), ("vllm", "h200-sxm"), ("vllm", "a100-sxm4-80gb")):
        tensor = 8 if gpu == "h200-sxm" else 1
        model = R1 if gpu == "h200-sxm" else LLM_7B
        question = EstimateQuestion(model=model, gpu=gpu, tensor_parallel_size=tensor, engine=engine, **load)
        speed = answer(question).as_json()["performance"]
        sources[engine, gpu] = (speed["source"], speed["errorPercent"])
    assert sources == {
        ("sglang", "h200-sxm"): ("Measured", 74),
        ("vllm", "h200-sxm"): ("Transferred", 132),
        ("vllm", "a100-sxm4-80gb"): ("Roofline", 152),
    }
    asked = EstimateQuestion(model=LLM_7B, gpu="a100-sxm4-80gb", **load)
    assert answer(asked).as_json() == answer(replace(asked, engine="vllm")).as_json()


def test_explain_says_what_host_memory_would_do_for_a_model_that_does_not_fit():
    arguments = ("--model", R1, "--gpu", "rtx-4090", "--quantization", "awq", "--max-model-len", "4096", "--explain")
    code, text = run(*arguments)
    offloading, instead = (line.strip() for line in text.splitlines()[-2:])
    assert code == 2
    assert offloading.startswith("1 x rtx-4090 with weights in host memory (--cpu-offload-gb 315), as AWQ: ")
    assert "; at most 3.0 tokens/s for one request: every token reads " in offloading
    assert instead == (
        "Without that, 1 x rtx-4090 holds deepseek-ai/DeepSeek-R1-Distill-Qwen-32B as AWQ (from a checkpoint that you "
        "name) or deepseek-ai/DeepSeek-R1-Distill-Llama-8B as stored"
    )


def test_the_offloading_that_explain_names_is_enough():
    arguments = ("--model", R1, "--gpu", "rtx-4090", "--quantization", "awq", "--max-model-len", "4096")
    assert run(*arguments, "--cpu-offload-gb", "315")[0] == 0


def test_explain_is_silent_about_host_memory_where_the_model_fits():
    _, text = run("--model", LLM_7B, "--gpu", H100, "--explain")
    assert "with weights in host memory" not in text
