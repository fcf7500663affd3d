"""``estimate`` as people call it with everything that can be wrong: one line, exit code 1, no traceback, bounded."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_operator.cli import main

LLM_67B = "deepseek-ai/deepseek-llm-67b-chat"
V32 = "deepseek-ai/DeepSeek-V3.2"
GOOD = ("--model", LLM_67B, "--gpu", "h100-sxm5-80gb")
R1 = ("--model", "deepseek-ai/DeepSeek-R1", "--gpu", "h200-sxm", "--tensor-parallel-size", "8")
SPEED = ("--engine", "vllm", "--input-tokens", "1024", "--output-tokens", "256", "--concurrency", "8")

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Run ``estimate`` with arguments that must be refused, and return its one line."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["kubectl-deepseek", "estimate", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.kubectl_plugin()
        printed = capsys.readouterr()
        assert (ended.value.code, printed.out, printed.err.count("\n")) == (1, "", 1)
        return printed.err.removeprefix("error: ").rstrip("\n")

    return run


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "give a model name (see `catalog models`), a config or parameters"),
        (("--model", LLM_67B), "give a GPU id (see `catalog gpus`) or gpu-memory-bytes"),
        ((*GOOD, "--tensor-parallel-size", "-1"), "tensor-parallel-size: -1 is no positive number; write 1 or more"),
        ((*GOOD, "--tensor-parallel-size", "0"), "tensor-parallel-size: 0 is no positive number; write 1 or more"),
        (
            (*GOOD, "--tensor-parallel-size", "3"),
            "TP 3 does not divide the 64 attention heads; use 1, 2, 4, 8, 16, 32 or 64",
        ),
        (
            (*GOOD, "--data-parallel-size", "1000000"),
            "data-parallel-size: 1,000,000 is more than 1,024, the most that is planned for",
        ),
        (
            (*GOOD, "--gpu-memory-bytes", "1" + "0" * 17),
            "gpu-memory-bytes: 100,000,000,000,000,000 is more than 1,125,899,906,842,624",
        ),
        (
            (*GOOD, "--gpu-memory-utilization", "nan"),
            "gpu-memory-utilization: nan is outside 0 to 1; write one such as 0.92",
        ),
        (
            (*GOOD, "--gpu-memory-utilization", "1e400"),
            "gpu-memory-utilization: inf is outside 0 to 1; write one such as 0.92",
        ),
        (
            (*GOOD, "--gpu-memory-utilization", "0.91235"),
            "gpu-memory-utilization: 0.91235 has more than four decimals; round it",
        ),
        (
            (*GOOD, "--max-model-len", "163840"),
            "max-model-len: 163,840 tokens are more than the model's 4,096; write 4096 or less",
        ),
        ((*GOOD, "--quantization", "awqq"), "quantization: unknown 'awqq'; did you mean awq?"),
        ((*GOOD, "--kv-cache-dtyp", "fp8"), "No such option: --kv-cache-dtyp (Possible options: --kv-cache-dtype, "),
        (
            ("--model", LLM_67B, "--gpu", "v100-sxm2-32gb"),
            "gpu: v100-sxm2-32gb cannot run bfloat16 weights: it would need bf16 and has",
        ),
        (
            ("--model", V32, "--gpu", "a100-sxm4-80gb", "--tensor-parallel-size", "8"),
            "gpu: sparse attention of this model has no kernel on a100-sxm4-80gb; take another GPU of `catalog gpus`",
        ),
        (
            ("--model", "deepseek-ai/DeepSeek-V4-Flash", "--gpu", "a100-sxm4-80gb"),
            "gpu: sparse attention of this model has no kernel on a100-sxm4-80gb; take another GPU of `catalog gpus`",
        ),
        (
            (*R1, "--decode-context-parallel-size", "3"),
            "decode-context parallelism of 3 does not divide TP 8; use a divisor of it",
        ),
        (
            (*R1, "--kv-cache-dtype", "nvfp4_ds_mla"),
            "latent attention (MLA) cannot store a KV cache of nvfp4_ds_mla on compute capability 9.0; use auto or ",
        ),
        (
            (*R1, "--kv-cache-memory-bytes", "20000000000", "--gpu-memory-utilization", "0.9"),
            "kv-cache-memory-bytes replaces gpu-memory-utilization; give one of them",
        ),
        (
            (*R1, "--attention-config.indexer_kv_dtype", "int3"),
            "attention-config.indexer_kv_dtype: unknown 'int3'; known are auto, fp8, mxfp4",
        ),
        ((*GOOD, "--spec-tokens", "1"), "spec-tokens: the checkpoint has no draft layers of its own; leave it out"),
        (
            (*R1, *SPEED, "--spec-tokens", "1"),
            "engine: the speed with cpu-offload-gb or spec-tokens is not predicted; leave engine out to ask for memory",
        ),
        (
            (*GOOD, "--config", "config.json"),
            "model and config contradict each other; give one of them",
        ),
        (
            (*GOOD, *SPEED[:4]),
            "a speed needs engine, input-tokens, output-tokens, concurrency; output-tokens and concurrency missing",
        ),
        (("--model", "R1"), "unknown model 'R1'; give its config.json as config"),
        (
            ("--model", LLM_67B, "--gpu-memory-bytes", "80"),
            "gpu-memory-bytes: 80 bytes are less than 1 GiB; write all bytes, such as 85899345920 for 80 GiB",
        ),
        (
            ("--model", LLM_67B, "--gpu-memory-bytes", "141GB"),
            "Invalid value for '--gpu-memory-bytes': Input should be a valid integer, unable to parse string as an "
            "integer; write all bytes, such as 85899345920 for 80 GiB",
        ),
        ((*GOOD, *SPEED, "--engine", "vlm"), "engine: unknown 'vlm'; known are vllm"),
        (
            (*GOOD, *SPEED, "--input-tokens", "4000"),
            "input-tokens: 4,000 with 256 output tokens are more than max-model-len 4,096",
        ),
        (
            ("--model", LLM_67B, "--gpu-memory-bytes", "80000000000", *SPEED),
            "a speed needs a GPU id (see `catalog gpus`), not only its memory",
        ),
    ],
)
def test_wrong_options(refused: Refused, arguments: tuple[str, ...], sentence: str):
    assert refused(*arguments).startswith(sentence)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty; write a JSON object such as {}"),
        (b"\xff\xfe\x00", "no UTF-8 text; save it as JSON in UTF-8"),
        (b"[]", "no JSON object: '[]'"),
        (b'{"hidden_size": 1, "hidden_size": 2}', "key 'hidden_size' stands twice; keep one"),
        (b'{"rope_theta": Infinity}', "Infinity is no JSON number; write a finite one"),
        (b'{"a":' * 100_000, "nested too deeply; a config or question has a handful of levels"),
        (b'{"hidden_size": ' + b"7" * 5_000 + b"}", "77777777… has 5,000 digits; write a number of at most 18"),
    ],
)
def test_a_config_that_cannot_be_read(refused: Refused, tmp_path: Path, content: bytes, sentence: str):
    file = tmp_path / "c"
    file.write_bytes(content)
    line = refused("--config", str(file), "--gpu", "h100-sxm5-80gb")
    assert line.startswith("config: ")
    assert line.endswith(f"{sentence}; give the model's config.json")


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("hidden_size", None, "model config field hidden_size is null; expected a whole number from 1 to 1,048,576"),
        ("hidden_size", True, "model config field hidden_size is true; expected a whole number from 1 to 1,048,576"),
        ("hidden_size", -1, "model config field hidden_size is -1; expected a whole number from 1 to 1,048,576"),
        ("architectures", ["GPT2LMHeadModel"], "model architecture 'GPT2LMHeadModel' cannot be planned; covered are"),
    ],
)
def test_a_config_with_a_wrong_field(refused: Refused, tmp_path: Path, field: str, value: object, sentence: str):
    config = {
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
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config | {field: value}))
    assert refused("--config", str(file), "--gpu", "h100-sxm5-80gb").startswith(sentence)
    file.write_text(json.dumps({name: kept for name, kept in config.items() if name != field}))
    assert refused("--config", str(file), "--gpu", "h100-sxm5-80gb").startswith(
        f"model config field {field} is missing"
    )


def test_what_is_no_config_file(refused: Refused, tmp_path: Path):
    large = tmp_path / "large"
    with large.open("wb") as out:
        out.truncate(2**30)
    instead = "give the model's config.json"
    assert refused("--config", str(large), "--gpu", "t4") == (
        f"config: {large if len(str(large)) <= 80 else str(large)[:79] + '…'} is larger than 1,048,576 bytes; {instead}"
    )
    assert refused("--config", "/", "--gpu", "t4") == f"config: / is a folder; {instead}"
    assert refused("--config", "/dev/zero", "--gpu", "t4") == f"config: /dev/zero is a device or socket; {instead}"
    assert refused("--config", "/missing", "--gpu", "t4") == "No such file or directory: /missing"
