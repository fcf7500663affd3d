"""Measured serving points as values: what each row of the data says, corrected or left out with a reason.

The CSV has one measured point a row: InferenceX runs as collected in aiconfigurator-core 0.12.0, which is licensed
under Apache-2.0. Concurrency is that of a closed loop.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from deepseek_operator.catalog.gpus import Gpu, gpu
from deepseek_operator.catalog.shapes import GroupedQueryAttention, LatentAttention, MixtureOfExperts, ModelShape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.features import Precision, ServingPoint

MODELS = Path(__file__).parent / "measured_models.json"
GPUS = {
    "h100_sxm": "h100-sxm5-80gb",
    "h200_sxm": "h200-sxm",
    "b200_sxm": "b200",
    "b300_sxm": "b300",
    "gb200": "gb200",
}
BYTES_PER_PARAMETER = {"bf16": 2.0, "fp8": 1.0, "fp4": 0.5625, "int4": 0.5625}
"""Stored bytes with the scales; 4-bit formats have an 8-bit scale per 16 weights."""

POSSIBLE_BANDWIDTH = 1.15
"""A row is impossible when it reads weights and cache faster than this times the data sheet's bandwidth: the factor
leaves room for caches in FP8 and for clocks."""


@dataclass(frozen=True, kw_only=True)
class MeasuredModel:
    """A model of the data.

    Args:
        label: one for all checkpoints of one shape.
        cached_share: share of the layers that read the whole context.
    """

    label: str
    shape: ModelShape
    cached_share: float


@dataclass(frozen=True, kw_only=True)
class MeasuredPoint:
    """One usable row.

    Args:
        row: line of the file, the header being 1.
        group: model, engine, GPU, precision and split: points of a group are never in fit and test at once.
    """

    row: int
    name: str
    model: MeasuredModel
    point: ServingPoint
    group: tuple[object, ...]
    ttft_seconds: float
    tpot_seconds: float


@cache
def measured_models() -> Mapping[str, MeasuredModel]:
    """Return the models of the data by every name that the data use."""
    found = {}
    for each in json.loads(MODELS.read_text())["models"]:
        model = MeasuredModel(
            label=each["label"],
            shape=_shape(each),
            cached_share=each.get("cached_layers", each["layers"]) / each["layers"],
        )
        found |= dict.fromkeys(each["names"], model)
    return found


def serving_points(path: Path) -> tuple[list[MeasuredPoint], list[tuple[int, str]]]:
    """Return the usable points of a file, and (row, reason) of those that are not.

    Splits that contradict themselves are read as InferenceX writes them, where ``tp`` counts all GPUs: tensor 16 with
    experts cut 4 x 4 is 4 GPUs with expert parallelism; concurrency of n times the batch is n data-parallel engines.
    """
    points: list[MeasuredPoint] = []
    left_out: list[tuple[int, str]] = []
    with path.open(newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            point = _point(number, row)
            reason = "the load (concurrency) is not stated" if point is None else _impossible(point)
            if point is None or reason:
                left_out.append((number, reason))
            else:
                points.append(point)
    return points, left_out


def _point(number: int, row: Mapping[str, str]) -> MeasuredPoint | None:
    if not row["concurrency"]:
        return None
    model, product = measured_models()[row["model"]], gpu(GPUS[row["gpu"]])
    precision = row["precision"] or ("fp8" if row["gemm_quant"] else "bf16")
    split = _split(row)
    point = ServingPoint(
        shape=model.shape,
        parallelism=split,
        gpu=product,
        precision=Precision(bytes_per_parameter=BYTES_PER_PARAMETER[precision], tflops=_tflops(product, precision)),
        kv_bytes_per_token=_kv_bytes(model, split.tensor),
        batch=int(row["concurrency"]),
        input_tokens=int(row["input_tokens"]),
        output_tokens=int(row["output_tokens"]),
        engine=row["engine"],
        engine_release=row["engine_version"],
    )
    return MeasuredPoint(
        row=number,
        name=row["model"],
        model=model,
        point=point,
        group=(row["model"], row["engine"], row["gpu"], precision, str(split)),
        ttft_seconds=float(row["ttft_ms"]) / 1e3,
        tpot_seconds=float(row["tpot_ms"]) / 1e3,
    )


def _split(row: Mapping[str, str]) -> Parallelism:
    tensor, data = int(row["tp"]), int(row["attention_dp"] or 1)
    expert_ways = int(row["moe_ep"] or 1)
    engines = round(int(row["concurrency"]) / int(row["batch_size"]))
    if tensor == 16 and row["moe_tp"] == row["moe_ep"] == "4":
        return Parallelism(tensor=4, expert=True)
    if tensor == 12:
        # 2,252 requests do not fit 12 copies of the latent cache: attention was data-parallel.
        return Parallelism(tensor=1, data=12, expert=True)
    if not row["attention_dp"] and engines > 1:
        return Parallelism(tensor=tensor // engines, data=engines, expert=expert_ways > 1)
    if row["engine"] == "vllm" and data > 1 and tensor == data:
        return Parallelism(tensor=1, data=data, expert=True)
    return Parallelism(tensor=tensor, data=data, expert=expert_ways > 1)


def _impossible(measured: MeasuredPoint) -> str:
    """Return why a row contradicts the hardware, or an empty string."""
    from deepseek_operator.performance.features import prefill_of, tpot_terms

    terms = tpot_terms(measured.point, prefill_of(measured.point))
    least = terms["dense_weights"] + terms["kv_cache"] + terms["expert_weights"]
    if measured.tpot_seconds * POSSIBLE_BANDWIDTH < least:
        return (
            f"{measured.tpot_seconds * 1e3:.1f} ms per token, and weights and cache take {least * 1e3:.1f} ms at the "
            "memory's full bandwidth: the split is not the one that ran"
        )
    return ""


def _tflops(product: Gpu, precision: str) -> float:
    """Return the dense matrix rate that a precision multiplies at (4-bit integers are multiplied in bfloat16)."""
    rate = {"bf16": product.bf16_tflops, "fp8": product.fp8_tflops, "fp4": product.fp4_tflops}.get(precision)
    return rate or product.bf16_tflops or 0.0


def _kv_bytes(model: MeasuredModel, tensor: int) -> float:
    """Return 16-bit bytes per cached token on one GPU, averaged over layers that cache all and layers that do not."""
    shape = model.shape
    if isinstance(shape.attention, LatentAttention):
        index = shape.attention.index_head_dim + 4 if shape.attention.index_topk else 0
        return float(shape.num_layers * (2 * 576 + index))
    attention = shape.attention
    assert isinstance(attention, GroupedQueryAttention)  # noqa: S101 - no other kind was measured
    heads = max(1, attention.num_kv_heads // tensor)
    return 4.0 * shape.num_layers * model.cached_share * heads * attention.head_dim


def _shape(each: Mapping[str, Any]) -> ModelShape:
    attention: GroupedQueryAttention | LatentAttention
    if "latent" in each:
        attention = LatentAttention(kv_lora_rank=512, qk_rope_head_dim=64, **each["latent"])
    else:
        attention = GroupedQueryAttention(**each["grouped"])
    return ModelShape(
        architecture="",
        model_type="",
        num_layers=each["layers"],
        hidden_size=each["hidden"],
        vocab_size=each["vocab"],
        max_position_embeddings=131_072,
        intermediate_size=each["mlp"],
        tie_word_embeddings=False,
        attention=attention,
        experts=MixtureOfExperts(**each["experts"]) if "experts" in each else None,
    )
