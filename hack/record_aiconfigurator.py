"""Record what the extra ``measured`` answers, so that tests judge with it where it is not installed.

    pip install '.[measured]' && python hack/record_aiconfigurator.py

Writes into tests/accuracy/data: its time per output token for measured points of vLLM (``aiconfigurator_points.csv``),
and the latencies that it expects of every split of the five service-level cases (``aiconfigurator_cases.csv``). It uses
its tables of vLLM's current release.
"""

from __future__ import annotations

import csv
import itertools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aiconfigurator_core.sdk import common, config, models, perf_database
from aiconfigurator_core.sdk.backends.factory import get_backend

from deepseek_operator.aiconfigurator import prompt_tokens_of_step

DATA = Path(__file__).parent.parent / "tests/accuracy/data"
LLAMA_70B, LLAMA_8B = "meta-llama/Meta-Llama-3.1-70B", "meta-llama/Meta-Llama-3.1-8B"
NAMES = {
    "meta-llama/Llama-3.1-70B": LLAMA_70B,
    "meta-llama/Llama-3.1-8B-Instruct": LLAMA_8B,
    "nvidia/Llama-3.1-8B-Instruct-FP8": LLAMA_8B,
}
"""Names of the data that the library does not know, by equal shapes that it bundles."""

MATRICES = {"": "bfloat16", "bf16": "bfloat16", "fp8": "fp8", "fp4": "nvfp4", "int4": "int4_wo"}
INPUT_TOKENS, OUTPUT_TOKENS = 4000, 1000
CASE_COLUMNS = ("model", "gpu", "tp", "dp", "ep", "max_num_batched_tokens", "batch", "ttft_ms", "tpot_ms")
CASES = (
    ("deepseek-ai/DeepSeek-V3", "h200_sxm", 8, "fp8_block", "fp8_block", (8192,)),
    ("deepseek-ai/DeepSeek-V3", "h100_sxm", 16, "fp8_block", "fp8_block", (4096, 8192)),
    ("deepseek-ai/DeepSeek-R1", "b200_sxm", 8, "fp8_block", "fp8_block", (8192, 16384)),
    (LLAMA_70B, "h100_sxm", 8, "bfloat16", "", (4096, 8192)),
    (LLAMA_70B, "a100_sxm", 8, "bfloat16", "", (2048, 4096, 8192)),
)
"""Model, product, GPUs, matrices, experts, and the tokens of a step that plans choose among on that product."""


def main() -> None:
    """Ask and write."""
    logging.disable(logging.CRITICAL)
    write("aiconfigurator_points.csv", ("row", "tpot_ms"), measured_points())
    write("aiconfigurator_cases.csv", CASE_COLUMNS, cases())


def write(name: str, header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """Write a table."""
    with (DATA / name).open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


def measured_points() -> Iterator[tuple[int, float]]:
    """Yield (line, TPOT in milliseconds) of the measured points of vLLM that the library has tables for."""
    with (DATA / "serving_measurements.csv").open(newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            if row["engine"] != "vllm":
                continue
            tensor, data = int(row["tp"]), int(row["attention_dp"] or 1)
            found = answer(
                NAMES.get(row["model"], row["model"]),
                row["gpu"],
                split=(tensor, data, int(row["moe_tp"] or tensor * data), int(row["moe_ep"] or 1)),
                matrices=row["gemm_quant"] or MATRICES[row["precision"]],
                experts=row["moe_quant"],
                load=(int(row["batch_size"]), int(row["input_tokens"]), int(row["output_tokens"])),
                chunk=int(row["input_tokens"]),
            )
            if found is not None:
                yield number, round(found[1], 3)


def cases() -> Iterator[tuple[Any, ...]]:
    """Yield the expected latencies of one replica for every split of the cases' GPUs."""
    for model, gpu, gpus, matrices, experts, limits in CASES:
        for tensor, limit in itertools.product((1, 2, 4, 8), limits):
            chunk = prompt_tokens_of_step(limit, INPUT_TOKENS)
            widths = range(1, 2) if not experts else range(gpus // tensor, gpus // tensor + 1)
            for data in widths:
                for expert in (False, True) if experts else (False,):
                    ranks = tensor * data
                    split = (tensor, data, 1 if expert else ranks, ranks if expert else 1)
                    for batch in (*range(1, 8), *range(8, 193, 4)):
                        load = (batch, INPUT_TOKENS, OUTPUT_TOKENS)
                        found = answer(
                            model, gpu, split=split, matrices=matrices, experts=experts, load=load, chunk=chunk
                        )
                        if found is not None:
                            yield model, gpu, tensor, data, expert, limit, batch, round(found[0], 1), round(found[1], 3)


def answer(
    model: str,
    gpu: str,
    *,
    split: tuple[int, int, int, int],
    matrices: str,
    experts: str,
    load: tuple[int, int, int],
    chunk: int,
) -> tuple[float, float] | None:
    """Return TTFT and TPOT in milliseconds; None where the library has no tables."""
    tensor, data, expert_tensor, expert_parallel = split
    batch, input_tokens, output_tokens = load
    chosen = config.ModelConfig(
        tp_size=tensor,
        attention_dp_size=data,
        moe_tp_size=expert_tensor,
        moe_ep_size=expert_parallel,
        gemm_quant_mode=common.GEMMQuantMode[matrices],
        moe_quant_mode=common.MoEQuantMode[experts] if experts else None,
        kvcache_quant_mode=common.KVCacheQuantMode["bfloat16"],
        fmha_quant_mode=common.FMHAQuantMode["bfloat16"],
    )
    try:
        version = perf_database.get_version_slots(gpu, "vllm")["current"]
        database = perf_database.get_database(gpu, "vllm", version)
        made = models.get_model(model, chosen, "vllm")
        runtime = config.RuntimeConfig(batch_size=batch, isl=input_tokens, osl=output_tokens)
        found = get_backend("vllm").run_agg(made, database, runtime, ctx_tokens=chunk).get_result_dict()
    except Exception:
        return None  # the library raises many kinds of errors for what it has no table of
    return float(found["ttft"]), float(found["tpot"])


if __name__ == "__main__":
    main()
