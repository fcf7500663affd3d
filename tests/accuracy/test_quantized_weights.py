"""Weights of recorded start-ups with quantized checkpoints, read from their own ``quantization_config``."""

from __future__ import annotations

import csv
from collections.abc import Mapping

import pytest

from accuracy.recorded_startups import DATA, GIB
from deepseek_operator.catalog.hf_config import shape_from_config
from deepseek_operator.catalog.models import model
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.weights import stage_weights

LLAMA_70B = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"
LLAMA_8B = "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
QWEN_7B = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"

OWN_FIELDS: Mapping[str, Mapping[str, object]] = {QWEN_7B: {"max_position_embeddings": 32768}}
"""Where the recorded model (Qwen2.5-7B-Instruct) differs from the catalogue model of its shape."""


def whole_rows(kind: str) -> dict[str, object]:
    """Return what llm-compressor writes for 8-bit weights with dynamic activations."""
    weights = {"type": kind, "num_bits": 8, "strategy": "channel", "symmetric": True, "dynamic": False}
    inputs = {"type": kind, "num_bits": 8, "strategy": "token", "symmetric": True, "dynamic": True}
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, "ignore": ["lm_head"]}


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}
NF4 = {
    "quant_method": "bitsandbytes",
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
}

# Figures of the start-up logs: the row's id, its model by shape, its format and the worst error in percent.
RECORDED = [
    pytest.param("P002", LLAMA_70B, whole_rows("float"), 0.1, id="fp8 per channel, TP4"),
    pytest.param("P072", QWEN_7B, whole_rows("float"), 0.1, id="fp8 per channel"),
    pytest.param("P125", LLAMA_70B, whole_rows("int"), 0.1, id="int8, TP2"),
    pytest.param("P126", LLAMA_8B, GPTQ, 0.3, id="gptq, groups of 128"),
    pytest.param("P130", QWEN_7B, whole_rows("int"), 0.1, id="int8"),
    pytest.param("P066", QWEN_7B, NF4, 0.6, id="nf4 with double quantization"),
]

NOT_JUDGED: Mapping[str, str] = {
    "P057": "LoRA adapters were on, and this maker's checkpoints leave modules of their choice unquantized",
    "P110": "the architecture of gpt-oss is not covered",
    "P128": "the model has an image encoder that is not covered",
}


def logged_rows() -> dict[str, dict[str, str]]:
    with (DATA / "vllm_memory_observations.csv").open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize(("row_id", "name", "quantization", "worst_percent"), RECORDED)
def test_weights_of_quantized_checkpoints(
    row_id: str, name: str, quantization: object, worst_percent: float, capsys: pytest.CaptureFixture[str]
):
    row = logged_rows()[row_id]
    config = {**model(name).config, **OWN_FIELDS.get(name, {}), "quantization_config": quantization}
    shape = shape_from_config(config)
    (stage,) = stage_weights(shape, Parallelism(tensor=int(row["tp"])))
    logged = float(row["model_weights_gib_per_rank"])
    error = 100 * (stage.total_bytes / GIB / logged - 1)
    with capsys.disabled():
        print(
            f"\n{row_id} {row['quantization']}: {stage.total_bytes / GIB:.3f} of {logged} GiB, {error:+.2f} %", end=""
        )
    assert abs(error) <= worst_percent


def test_every_quantized_startup_is_judged_or_left_out_with_a_reason():
    formats = ("compressed-tensors", "gptq_marlin", "bitsandbytes", "mxfp4")
    quantized = {
        row_id
        for row_id, row in logged_rows().items()
        if row["quantization"].split(" ")[0] in formats and row["model_weights_gib_per_rank"]
    }
    assert quantized == {str(param.values[0]) for param in RECORDED} | set(NOT_JUDGED)
