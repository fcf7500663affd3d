"""The quantization ladder: what each rung costs in bits, which GPUs run it and what the engine calls it.

Names map one to one between the custom resource and the engine's ``--quantization``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction

from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.shapes import StoredPrecision
from deepseek_operator.errors import UnknownQuantizationError

NATIVE = "Native"
"""Name of the rung that runs the checkpoint as it is stored."""

_STORED_FORMATS = {
    StoredPrecision.BFLOAT16: frozenset({"bf16"}),
    StoredPrecision.FLOAT16: frozenset({"fp16"}),
    StoredPrecision.FLOAT32: frozenset({"bf16", "fp16"}),
    StoredPrecision.FP8_BLOCK: frozenset({"fp8-w8a8", "fp8-w8a16"}),
    StoredPrecision.FP8: frozenset({"fp8-w8a8", "fp8-w8a16"}),
    StoredPrecision.MXFP8: frozenset({"mxfp8-w8a8"}),
    StoredPrecision.INT8: frozenset({"int8-w8a8"}),
    StoredPrecision.AWQ: frozenset({"awq"}),
    StoredPrecision.GPTQ: frozenset({"gptq"}),
    StoredPrecision.GPTQ_REORDERED: frozenset({"gptq-desc-act"}),
    StoredPrecision.NVFP4: frozenset({"nvfp4-w4a4", "nvfp4-w4a16"}),
    StoredPrecision.MXFP4: frozenset({"mxfp4-w4a16"}),
    StoredPrecision.BITSANDBYTES: frozenset({"bitsandbytes"}),
    StoredPrecision.SPARSE_24: frozenset({"sparse-24"}),
}
"""Formats of which a GPU needs one to run a checkpoint as stored (float32 is loaded in half precision).

Source: vLLM 0.32.0; an FP8 block checkpoint falls to the weight-only Marlin kernel before compute capability 8.9.
bitsandbytes, 2:4 sparse and GPTQ with desc_act run on none: 0.32 moved the first to a plugin and dropped the others.
"""


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """One rung.

    Args:
        name: in the custom resource.
        vllm_name: value of ``--quantization``; empty when the flag is left out.
        weight_bits: bits of one stored weight; 0 for ``Native``.
        scale_bits_per_group: bits of scales and zero points that ``group_size`` weights share.
        group_size: weights in a group; 0 when scales belong to whole rows or matrices and are negligible.
        quality: ``Lossless``, ``NearLossless`` or ``Economy``.
        needs_checkpoint: whether a quantized checkpoint must exist (else the engine quantizes while loading).
        formats: a GPU must list one of these; empty for ``Native``, where the stored precision decides.
        native_formats: those of ``formats`` whose arithmetic the GPU has, so that it is not slower than half
            precision.
        notes: what else to know.
        source: where the row comes from.
    """

    name: str
    vllm_name: str
    weight_bits: int
    scale_bits_per_group: int
    group_size: int
    quality: str
    needs_checkpoint: bool
    formats: frozenset[str]
    native_formats: frozenset[str]
    notes: str
    source: str

    @property
    def bits_per_weight(self) -> Fraction | None:
        """Exact bits of one weight of a quantized matrix with its share of the scales; None for ``Native``.

        >>> quantization("AWQ").bits_per_weight
        Fraction(133, 32)
        >>> quantization("NVFP4").bits_per_weight
        Fraction(9, 2)
        """
        if self.weight_bits == 0:
            return None
        per_group = Fraction(self.scale_bits_per_group, self.group_size) if self.group_size else Fraction(0)
        return self.weight_bits + per_group


@functools.cache
def quantizations() -> tuple[Quantization, ...]:
    """Return the rungs, mildest first."""
    rows = read_json("quantizations.json")["quantizations"]
    if not isinstance(rows, list):
        raise TypeError("quantizations.json holds no list")
    return tuple(
        Quantization(
            **{
                **row,
                "formats": frozenset(row["formats"]),
                "native_formats": frozenset(row["native_formats"]),
            }
        )
        for row in rows
    )


def quantization(name: str) -> Quantization:
    """Return a rung by its name in the custom resource.

    Raises:
        UnknownQuantizationError: no such name; the text lists them.
    """
    for rung in quantizations():
        if rung.name == name:
            return rung
    raise _unknown(name, [rung.name for rung in quantizations()])


def quantization_by_vllm_name(vllm_name: str) -> Quantization:
    """Return a rung by the value of the engine's ``--quantization``; the empty string is ``Native``.

    Raises:
        UnknownQuantizationError: vLLM may know it, but its memory is not planned; the text lists what is.

    >>> quantization_by_vllm_name("fp8_per_tensor").name
    'FP8'
    """
    for rung in quantizations():
        if rung.vllm_name == vllm_name:
            return rung
    raise _unknown(vllm_name, [rung.vllm_name for rung in quantizations() if rung.vllm_name])


def required_formats(rung: Quantization, stored: StoredPrecision) -> frozenset[str]:
    """Return the formats of which a GPU needs one.

    Args:
        rung: the rung.
        stored: how the unquantized checkpoint stores its weights; it decides for ``Native``.
    """
    return _STORED_FORMATS[stored] if rung.name == NATIVE else rung.formats


def runs_on(gpu: Gpu, rung: Quantization, stored: StoredPrecision) -> bool:
    """Return whether the engine accepts the rung on the GPU; a gate passed, not a kernel tried."""
    return bool(required_formats(rung, stored) & gpu.formats)


def _unknown(name: str, known: list[str]) -> UnknownQuantizationError:
    return UnknownQuantizationError("quantization", name, (), f"known are {', '.join(known)}")
