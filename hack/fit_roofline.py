"""Fit the coefficients of performance/roofline.py on measured serving points and write them as package data.

    python hack/fit_roofline.py serving_measurements.csv

The CSV has one measured point a row (model, gpu, engine, precision, input_tokens, output_tokens, concurrency, tp, pp,
attention_dp, moe_tp, moe_ep, ttft_ms, tpot_ms): InferenceX runs as collected in aiconfigurator-core 0.12.0, which is
licensed under Apache-2.0.
Only models whose public config is written down below are used. Coefficients are non-negative and minimise the squared
relative error (coordinate descent); each reported error is a median over the points.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from deepseek_operator.catalog.gpus import Gpu, gpu
from deepseek_operator.catalog.shapes import (
    GroupedQueryAttention,
    LatentAttention,
    MixtureOfExperts,
    ModelShape,
)
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.features import (
    TPOT_TERMS,
    TTFT_TERMS,
    Precision,
    ServingPoint,
    prefill_of,
    tpot_terms,
    ttft_terms,
)

OUTPUT = Path(__file__).parent.parent / "operator/deepseek_operator/performance/coefficients.json"
SWEEPS = 3000
PREFILL_FLOOR = 1.5
"""A prompt cannot be read faster than at two thirds of the data sheet's dense rate; without the floor the fit explains
prefill by queueing alone, because few points have long prompts and one request, and long prompts come out as free."""

GPUS = {
    "h100_sxm": "h100-sxm5-80gb",
    "h200_sxm": "h200-sxm",
    "b200_sxm": "b200",
    "b300_sxm": "b300",
    "gb200": "gb200",
}
BYTES_PER_PARAMETER = {"bf16": 2.0, "fp8": 1.0, "fp4": 0.5625, "int4": 0.5625}


def dense(layers: int, hidden: int, kv_heads: int, heads: int, head_dim: int, mlp: int, vocab: int) -> ModelShape:
    """Return the shape of a dense model with grouped-query attention."""
    return ModelShape(
        architecture="LlamaForCausalLM",
        model_type="llama",
        num_layers=layers,
        hidden_size=hidden,
        vocab_size=vocab,
        max_position_embeddings=131072,
        intermediate_size=mlp,
        tie_word_embeddings=False,
        attention=GroupedQueryAttention(num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim),
    )


def latent(heads: int, experts: int, dense_layers: int, vocab: int) -> ModelShape:
    """Return the shape of a model of the DeepSeek-V3 family (61 layers, hidden size 7168)."""
    return ModelShape(
        architecture="DeepseekV3ForCausalLM",
        model_type="deepseek_v3",
        num_layers=61,
        hidden_size=7168,
        vocab_size=vocab,
        max_position_embeddings=163840,
        intermediate_size=18432,
        tie_word_embeddings=False,
        attention=LatentAttention(
            num_heads=heads,
            q_lora_rank=1536,
            kv_lora_rank=512,
            qk_nope_head_dim=128,
            qk_rope_head_dim=64,
            v_head_dim=128,
        ),
        experts=MixtureOfExperts(
            num_experts=experts,
            num_experts_per_token=8,
            num_shared_experts=1,
            expert_intermediate_size=2048,
            num_dense_layers=dense_layers,
        ),
    )


V3 = latent(heads=128, experts=256, dense_layers=3, vocab=129280)
LLAMA_8B = dense(32, 4096, 8, 32, 128, 14336, 128256)
SHAPES = {
    "deepseek-ai/DeepSeek-R1": V3,
    "deepseek-ai/DeepSeek-V3": V3,
    "nvidia/DeepSeek-R1-NVFP4": V3,
    "nvidia/DeepSeek-V3.1-NVFP4": V3,
    "moonshotai/Kimi-K2.5": latent(heads=64, experts=384, dense_layers=1, vocab=163840),
    "meta-llama/Llama-3.1-70B": dense(80, 8192, 8, 64, 128, 28672, 128256),
    "meta-llama/Llama-3.1-8B-Instruct": LLAMA_8B,
    "nvidia/Llama-3.1-8B-Instruct-FP8": LLAMA_8B,
    "Qwen/Qwen3-32B": dense(64, 5120, 8, 64, 128, 25600, 151936),
}


def matrix_tflops(product: Gpu, precision: str) -> float:
    """Return the dense matrix rate that a precision multiplies at (4-bit integers are multiplied in bfloat16)."""
    rate = {"bf16": product.bf16_tflops, "fp8": product.fp8_tflops, "fp4": product.fp4_tflops}.get(precision)
    return rate or product.bf16_tflops or 0.0


def parse(row: dict[str, str]) -> tuple[ServingPoint, float, float] | None:
    """Return a row's point with TTFT and TPOT in seconds, or None for models or splits that are not used."""
    shape = SHAPES.get(row["model"])
    product = gpu(GPUS[row["gpu"]])
    if shape is None or not row["concurrency"]:
        return None
    precision = row["precision"] or ("bf16" if not row["gemm_quant"] else "fp8")
    tensor, data = int(row["tp"]), int(row["attention_dp"] or 1)
    if shape.experts and int(row["moe_tp"]) * int(row["moe_ep"]) != tensor * data:
        return None  # mislabelled split
    if isinstance(shape.attention, LatentAttention):
        kv_bytes = 61 * 576 * 2.0
    else:
        heads = max(1, shape.attention.num_kv_heads // tensor)
        kv_bytes = 2.0 * shape.num_layers * heads * shape.attention.head_dim * 2
    point = ServingPoint(
        shape=shape,
        parallelism=Parallelism(tensor=tensor, data=data),
        gpu=product,
        precision=Precision(
            bytes_per_parameter=BYTES_PER_PARAMETER[precision], tflops=matrix_tflops(product, precision)
        ),
        kv_bytes_per_token=kv_bytes,
        batch=int(row["concurrency"]),
        input_tokens=int(row["input_tokens"]),
        output_tokens=int(row["output_tokens"]),
    )
    return point, float(row["ttft_ms"]) / 1e3, float(row["tpot_ms"]) / 1e3


def fit(rows: Sequence[Sequence[float]], floors: Sequence[float]) -> list[float]:
    """Return weights w, none below its floor, that minimise the sum of (row . w - 1)^2, by coordinate descent."""
    width = len(rows[0])
    gram = [[sum(row[i] * row[j] for row in rows) for j in range(width)] for i in range(width)]
    target = [sum(row[i] for row in rows) for i in range(width)]
    weights = list(floors)
    for _ in range(SWEEPS):
        for i in range(width):
            if gram[i][i] > 0:
                rest = target[i] - sum(gram[i][j] * weights[j] for j in range(width) if j != i)
                weights[i] = max(floors[i], rest / gram[i][i])
    return weights


def relative(terms: list[dict[str, float]], names: Sequence[str], truth: list[float]) -> list[list[float]]:
    """Return the terms divided by the measured value, one row per point."""
    return [[term[name] / value for name in names] for term, value in zip(terms, truth, strict=True)]


def errors(rows: list[list[float]], weights: list[float]) -> list[float]:
    """Return each point's relative error in percent."""
    return [abs(sum(w * x for w, x in zip(weights, row, strict=True)) - 1) * 100 for row in rows]


def held_out(rows: list[list[float]], groups: list[str], floors: Sequence[float]) -> list[float]:
    """Return errors where each group is predicted by a fit that has not seen it."""
    result: list[float] = []
    for group in sorted(set(groups)):
        seen = [row for row, name in zip(rows, groups, strict=True) if name != group]
        result += errors([row for row, name in zip(rows, groups, strict=True) if name == group], fit(seen, floors))
    return result


def main(path: str) -> None:
    """Fit, print the errors and write the package data."""
    with Path(path).open(newline="") as lines:
        points = [point for row in csv.DictReader(lines) if (point := parse(row)) is not None]
    gpus = [point.gpu.id for point, _, _ in points]
    answer: dict[str, object] = {
        "source": "InferenceX runs as collected in aiconfigurator-core 0.12.0 (Apache-2.0)",
        "fitted_by": "hack/fit_roofline.py",
        "points": len(points),
        "gpus": sorted(set(gpus)),
    }
    tpots = [tpot for _, _, tpot in points]
    ttfts = [ttft for _, ttft, _ in points]
    tpot_rows = relative([tpot_terms(point, prefill_of(point)) for point, _, _ in points], TPOT_TERMS, tpots)
    tpot_weights = fit(tpot_rows, [0.0] * len(TPOT_TERMS))
    predicted = [
        sum(w * x for w, x in zip(tpot_weights, row, strict=True)) * truth
        for row, truth in zip(tpot_rows, tpots, strict=True)
    ]
    first = [ttft_terms(point, prefill_of(point), tpot) for (point, _, _), tpot in zip(points, predicted, strict=True)]
    ttft_rows = relative(first, TTFT_TERMS, ttfts)
    for kind, names, rows in (("tpot", TPOT_TERMS, tpot_rows), ("ttft", TTFT_TERMS, ttft_rows)):
        floors = [PREFILL_FLOOR if name == "prefill_flops" else 0.0 for name in names]
        weights, unseen = fit(rows, floors), held_out(rows, gpus, floors)
        seen = errors(rows, weights)
        answer[kind] = {name: float(f"{weight:.5g}") for name, weight in zip(names, weights, strict=True)}
        answer[f"{kind}_error_percent"] = round(median(seen))
        answer[f"{kind}_error_percent_unseen_gpu"] = round(median(unseen))
        ordered = sorted(unseen)
        print(
            f"{kind}: {len(rows)} points, median {median(seen):.1f} %, mean {sum(seen) / len(seen):.1f} %; GPU type "
            f"never seen: median {median(unseen):.1f} %, 90th percentile {ordered[len(ordered) * 9 // 10]:.1f} %"
        )
    OUTPUT.write_text(json.dumps(answer, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
