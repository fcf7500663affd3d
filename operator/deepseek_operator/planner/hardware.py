"""Which products can run a model at all, and in which precisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deepseek_operator.catalog.gpus import Gpu, runs_sparse_attention
from deepseek_operator.catalog.hashed_once import hashed_once
from deepseek_operator.catalog.linear_formats import LinearFormat
from deepseek_operator.catalog.quantizations import (
    NATIVE,
    Quantization,
    quantization,
    quantizations,
    required_formats,
    runs_on,
)
from deepseek_operator.catalog.shapes import CompressedAttention, LatentAttention, ModelShape, StoredPrecision
from deepseek_operator.memory.weights import stored_format
from deepseek_operator.planner.request import GpuPool, PlanRequest, Quality
from deepseek_operator.planner.result import InfeasibleReason
from deepseek_operator.planner.sharing import refused_by_sharing

AUTO = "Auto"

_UNQUANTIZED = frozenset({StoredPrecision.FLOAT32, StoredPrecision.BFLOAT16, StoredPrecision.FLOAT16})
_ARITHMETIC = {
    StoredPrecision.FP8_BLOCK: ("fp8-w8a8", 8),
    StoredPrecision.FP8: ("fp8-w8a8", 8),
    StoredPrecision.MXFP8: ("mxfp8-w8a8", 8),
    StoredPrecision.INT8: ("int8-w8a8", 8),
    StoredPrecision.NVFP4: ("nvfp4-w4a4", 4),
}
"""The format of a GPU whose matrix units multiply what a checkpoint stores, and its bits; the others are widened."""
QUALITIES = tuple(Quality)
"""The quality classes, mildest first."""


@hashed_once
@dataclass(frozen=True, kw_only=True)
class Rung:
    """One precision on one product.

    Args:
        order: position in the ladder, 0 is the mildest.
        linear: how linear layers are stored, whose blocks and groups a split must not cut; None as the checkpoint does.
        weight_only: whether weights are widened to 16 bits for arithmetic, because the product lacks the units.
        multiply_bits: bits per operand of the matrix units that are used.
        bytes_per_parameter: stored bytes per quantizable weight, scales included.
    """

    name: str
    order: int
    linear: LinearFormat | None
    weight_only: bool
    multiply_bits: int
    bytes_per_parameter: float


def refusal(request: PlanRequest, pool: GpuPool) -> tuple[InfeasibleReason, str] | None:
    """Return why a product cannot run the model whatever the split, or None when it can.

    Memory that is shared with the processor or not known, vendors without upstream engine support, and attention
    kernels that do not exist are refused.
    """
    gpu = pool.gpu
    if by_sharing := refused_by_sharing(request, pool):
        return InfeasibleReason.NO_SUCH_GPU, by_sharing
    if gpu.unified_memory:
        return (
            InfeasibleReason.NO_SUCH_GPU,
            f"{gpu.id} shares its memory with the processor, so how much the engine gets is not known in advance",
        )
    if pool.usable_memory_bytes <= 0:
        return InfeasibleReason.NO_SUCH_GPU, f"the memory of {gpu.id} is not known"
    if gpu.vendor not in {"nvidia", "amd"}:
        return (
            InfeasibleReason.NO_SUCH_GPU,
            f"{gpu.id} ({gpu.vendor}) needs an engine plugin that this release does not plan or deploy",
        )
    if not gpu.formats:
        return InfeasibleReason.NO_SUCH_GPU, f"which precisions the engine runs on {gpu.id} is not known"
    if _is_sparse(request.model) and not runs_sparse_attention(gpu):
        return InfeasibleReason.NO_SUCH_GPU, f"sparse attention of this model has no kernel on {_architecture(gpu)}"
    return None


def rungs(request: PlanRequest, gpu: Gpu) -> tuple[list[Rung], list[str]]:
    """Return the precisions to try on a product, mildest first, and a sentence for each that it cannot run.

    ``Auto`` tries the rungs of the allowed quality class that the engine makes while loading. A rung that needs a
    quantized checkpoint is tried only when the request pins it, because only the user can name that checkpoint;
    ``request.assumes_checkpoints`` tries these alone.
    """
    wanted = _allowed(request) if request.quantization == AUTO else [quantization(request.quantization)]
    refused = [(rung, _unavailable(rung, request.model.stored_precision, gpu)) for rung in wanted]
    return (
        [rung_on(rung, request.model, gpu) for rung, why in refused if not why],
        [why for _, why in refused if why],
    )


def can_be_quantized(shape: ModelShape) -> bool:
    """Return whether the engine can quantize the checkpoint while loading: only 16- and 32-bit weights.

    Source: vLLM 0.32 ``config/model.py`` ``_verify_quantization`` refuses a ``--quantization`` that is not the method
    of the checkpoint's own ``quantization_config``.
    """
    return shape.stored_precision in _UNQUANTIZED


def _unavailable(rung: Quantization, stored: StoredPrecision, gpu: Gpu) -> str:
    if rung.name != NATIVE and not rung.needs_checkpoint and stored not in _UNQUANTIZED:
        return (
            f"{rung.name} is made from 16-bit weights while loading, and the checkpoint is stored in {stored} already; "
            f"leave the quantization to the planner, or pin {NATIVE}"
        )
    if runs_on(gpu, rung, stored):
        return ""
    formats = " or ".join(sorted(required_formats(rung, stored)))
    return f"{gpu.id} cannot run {rung.name} (it would need {formats})"


def _allowed(request: PlanRequest) -> list[Quantization]:
    within = QUALITIES[: QUALITIES.index(request.quality) + 1]
    rows = [rung for rung in quantizations() if Quality(rung.quality) in within]
    if request.assumes_checkpoints:
        return [rung for rung in rows if rung.needs_checkpoint]
    makes = can_be_quantized(request.model)
    return [rung for rung in rows if rung.name == NATIVE or (makes and not rung.needs_checkpoint)]


def rung_on(rung: Quantization, shape: ModelShape, gpu: Gpu) -> Rung:
    """Return how a product stores and multiplies a model in a precision that it can run."""
    ladder = [known.name for known in quantizations()]
    order = ladder.index(rung.name) if rung.name in ladder else len(ladder)
    common: dict[str, Any] = {"name": rung.name, "order": order}
    if rung.name == NATIVE:
        stored = shape.stored_precision
        native_format, native_bits = _ARITHMETIC.get(stored, ("", 16))
        has_units = native_format in gpu.formats
        return Rung(
            **common,
            linear=None,
            weight_only=stored not in _UNQUANTIZED and not has_units,
            multiply_bits=native_bits if has_units else 16,
            bytes_per_parameter=float(stored_format(shape).bits_per_weight) / 8,
        )
    weight_only = not rung.native_formats & gpu.formats
    return Rung(
        **common,
        linear=rung.linear,
        weight_only=weight_only,
        multiply_bits=16 if weight_only else rung.weight_bits,
        bytes_per_parameter=float(rung.bits_per_weight or 16) / 8,
    )


def _architecture(gpu: Gpu) -> str:
    if gpu.compute_capability is None:
        return f"{gpu.id} ({gpu.gfx_target or 'instruction set not known'})"
    major, minor = gpu.compute_capability
    return f"{gpu.id} (compute capability {major}.{minor})"


def _is_sparse(shape: ModelShape) -> bool:
    if isinstance(shape.attention, CompressedAttention):
        return True
    return isinstance(shape.attention, LatentAttention) and shape.attention.index_topk > 0
