from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from deepseek_operator.cli.estimate import app
from deepseek_operator.cli.estimate_answer import answer
from deepseek_operator.cli.estimate_question import EstimateQuestion
from deepseek_operator.errors import DeepSeekOperatorError

LLM_67B = "deepseek-ai/deepseek-llm-67b-chat"
R1 = "deepseek-ai/DeepSeek-R1"
H100 = "h100-sxm5-80gb"
LLAMA_8B_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=True)


def test_json_has_the_documented_shape():
    result = run("--model", LLM_67B, "--gpu", H100, "--tensor-parallel-size", "4", "-o", "json")
    content = json.loads(result.stdout)
    assert result.exit_code == 0
    assert list(content) == [
        "fits",
        "perRank",
        "kvCacheBytesPerToken",
        "kvCacheTokens",
        "maxConcurrency",
        "gpuMemoryBytes",
        "errorPercent",
        "limit",
        "performance",
        "fitsSurely",
        "basis",
        "hostMemory",
        "diskBytes",
    ]
    assert list(content["perRank"][0]) == [
        "stage",
        "weightsBytes",
        "activationsBytes",
        "nonTorchBytes",
        "cudaGraphBytes",
        "kvCacheBytes",
    ]
    assert (content["fits"], content["limit"], content["performance"]) == (True, None, None)
    assert content["kvCacheBytesPerToken"] == 97_280
    assert content["maxConcurrency"] == round(content["kvCacheTokens"] / 4096, 2)


def test_what_does_not_fit_exits_with_two_and_names_the_limit():
    result = run("--model", R1, "--gpu", H100, "--tensor-parallel-size", "8", "-o", "json")
    content = json.loads(result.stdout)
    assert (result.exit_code, content["fits"]) == (2, False)
    assert content["limit"].startswith("weights and overheads need 88.6 GiB on each GPU")


def test_yaml_says_the_same_as_json():
    arguments = ("--model", LLM_67B, "--gpu", H100, "--tensor-parallel-size", "4", "-o")
    assert yaml.safe_load(run(*arguments, "yaml").stdout) == json.loads(run(*arguments, "json").stdout)


def test_the_table_shows_every_stage_and_the_verdict():
    result = run("--model", LLM_67B, "--gpu", H100, "--tensor-parallel-size", "2", "--pipeline-parallel-size", "2")
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["STAGE", "0", "1"]
    assert lines[3] == "TP2 PP2 on 4 GPUs: fits"


def test_explain_prints_formulas_in_either_form():
    arguments = ("--model", LLM_67B, "--gpu", H100, "--tensor-parallel-size", "4", "--explain")
    formula = "KV cache per token = 95 layers x (2 x 2 KV heads x 128 x 2 B) = 97,280 B"
    assert formula in run(*arguments).stdout
    assert formula in json.loads(run(*arguments, "-o", "json").stdout)["explanation"]


def test_a_config_file_stands_in_for_a_name(tmp_path: Path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(LLAMA_8B_CONFIG))
    result = run("--config", str(config), "--gpu-memory-bytes", "25000000000", "-o", "json")
    content = json.loads(result.stdout)
    assert (content["gpuMemoryBytes"], content["kvCacheBytesPerToken"]) == (25_000_000_000, 131_072)


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        pytest.param(
            EstimateQuestion(gpu=H100),
            "give a model name (see `catalog models`), a config or parameters",
            id="no model",
        ),
        pytest.param(
            EstimateQuestion(model=R1, config="config.json", gpu=H100),
            "model and config contradict each other; give one of them",
            id="two models",
        ),
        pytest.param(
            EstimateQuestion(config="no\0path", gpu=H100),
            "config: 'no\\x00path' is no path; give the model's config.json",
            id="an impossible path",
        ),
        pytest.param(
            EstimateQuestion(model=R1), "give a GPU id (see `catalog gpus`) or gpu-memory-bytes", id="no memory"
        ),
        pytest.param(
            EstimateQuestion(model=R1, gpu_memory_bytes=0),
            "gpu-memory-bytes: 0 is no positive number; write 1 or more",
            id="no memory at all",
        ),
        pytest.param(
            EstimateQuestion(model=LLM_67B, gpu=H100, tensor_parallel_size=3),
            "TP 3 does not divide the 64 attention heads; use 1, 2, 4, 8, 16, 32 or 64",
            id="a split that the engine refuses",
        ),
        pytest.param(
            EstimateQuestion(model=LLM_67B, gpu=H100, gpu_memory_utilization=92.0),
            "gpu-memory-utilization: 92.0 is outside 0 to 1; write one such as 0.92",
            id="percent instead of a share",
        ),
        pytest.param(
            EstimateQuestion(model=LLM_67B, gpu=H100, gpu_memory_utilization=float("nan")),
            "gpu-memory-utilization: nan is outside 0 to 1; write one such as 0.92",
            id="a share that is no number",
        ),
        pytest.param(
            EstimateQuestion(model=LLM_67B, gpu=H100, kv_cache_dtype="int4"),
            "kv-cache-dtype: unknown 'int4'; known are auto, bfloat16, float16, fp8, fp8_e4m3, fp8_e5m2, fp8_ds_mla, "
            "nvfp4_ds_mla",
            id="an unknown cache dtype",
        ),
        pytest.param(
            EstimateQuestion(model=LLM_67B, gpu=H100, max_model_len=5000),
            "max-model-len: 5,000 tokens are more than the model's 4,096; write 4096 or less",
            id="more context than the model has",
        ),
        pytest.param(
            EstimateQuestion(model=LLM_67B, gpu=H100, engine_version="latest"),
            "unknown engine release 'latest'; write a number such as 0.32.0",
            id="a release that is no number",
        ),
    ],
)
def test_a_question_without_an_answer_is_refused_with_its_remedy(question: EstimateQuestion, sentence: str):
    with pytest.raises(DeepSeekOperatorError) as refusal:
        answer(question)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("name", "rung"),
    [("", "Native"), ("fp8_per_tensor", "FP8"), ("FP8", "FP8"), ("awq", "AWQ"), ("compressed-tensors", "INT8W8A8")],
)
def test_quantizations_are_understood_by_either_name(name: str, rung: str):
    found = answer(EstimateQuestion(model=LLM_67B, gpu=H100, tensor_parallel_size=4, quantization=name))
    assert found.memory.settings.quantization == rung
