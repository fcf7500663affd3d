"""The quantizations: what each costs in bits, which GPUs run it, what is known of its loss, what the engine calls it.

Names map one to one between the custom resource and the engine's ``--quantization``. The ladder holds what is planned;
the other formats are estimated only.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from deepseek_operator.catalog import known_formats
from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.linear_formats import Coverage, LinearFormat
from deepseek_operator.catalog.shapes import StoredPrecision
from deepseek_operator.errors import UnknownQuantizationError, near_matches

NATIVE = "Native"
"""Name of the rung that runs the checkpoint as it is stored."""
_GGUF = "gguf"
_GROUP_SIZES = ("32", "64", "128", "-1")
"""Columns per group; -1 is a whole row. Source: vLLM 0.32.0 ``marlin_utils.py`` ``MARLIN_SUPPORTED_GROUP_SIZES``."""

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
    """One format of the table.

    Args:
        name: in the custom resource and in ``estimate``; with a parameter behind a colon where one was given.
        vllm_name: value of ``--quantization``; empty when the flag is left out.
        aliases: further values of ``--quantization`` that mean the same.
        planned: whether it is a rung of the ladder, which the custom resource may name; the others are estimated only.
        linear: how linear layers are kept; None for ``Native``, and where a parameter must say it.
        quality: ``Lossless``, ``NearLossless`` or ``Economy``.
        quality_note: what is known about the loss; ``unknown`` where no source was found.
        quality_source: where that comes from; empty where nothing is known.
        needs_checkpoint: whether a quantized checkpoint must exist (else the engine quantizes while loading).
        formats: a GPU must list one of these; empty for ``Native``, where the stored precision decides, and for what
            the recorded engine release does not run at all.
        native_formats: those of ``formats`` whose arithmetic the GPU has, so that it is not slower than half
            precision.
        notes: what else to know.
        source: where the row comes from.
    """

    name: str
    vllm_name: str
    aliases: tuple[str, ...]
    planned: bool
    linear: LinearFormat | None
    quality: str
    quality_note: str
    quality_source: str
    needs_checkpoint: bool
    formats: frozenset[str]
    native_formats: frozenset[str]
    notes: str
    source: str

    @property
    def weight_bits(self) -> int:
        """Whole bits of one stored weight without scales; 0 for ``Native``."""
        return int(self.linear.weight_bits) if self.linear else 0

    @property
    def bits_per_weight(self) -> Fraction | None:
        """Exact bits of one weight of a quantized matrix with its share of the scales; None for ``Native``.

        >>> quantization("AWQ").bits_per_weight
        Fraction(133, 32)
        >>> quantization("NVFP4").bits_per_weight
        Fraction(9, 2)
        """
        return self.linear.bits_per_weight if self.linear else None


@functools.cache
def known_quantizations() -> tuple[Quantization, ...]:
    """Return the whole table: the ladder first, then what is estimated only."""
    return tuple(_from_row(row) for row in _rows())


@functools.cache
def quantizations() -> tuple[Quantization, ...]:
    """Return the rungs of the ladder, mildest first."""
    return tuple(row for row in known_quantizations() if row.planned)


def quantization(name: str) -> Quantization:
    """Return a rung by its name in the custom resource.

    Raises:
        UnknownQuantizationError: no such name; the text lists them.
    """
    for rung in quantizations():
        if rung.name == name:
            return rung
    raise _unknown(name, [rung.name for rung in quantizations()])


@functools.lru_cache(maxsize=256)
def named_quantization(name: str) -> Quantization:
    """Return a format by any of its names, with its parameter: ``awq``, ``AWQ:64``, ``gguf:4.85``, ``GGUF:Q4_K_M``.

    Args:
        name: in the custom resource or of the engine's ``--quantization``; the empty string is ``Native``. Behind a
            colon the columns of a group (32, 64, 128, or -1 for whole rows) of AWQ, GPTQ and W4A16, or the bits per
            weight or the mixture of a GGUF file.

    Raises:
        UnknownQuantizationError: no such name, or not a parameter of it; the text says what is.

    >>> named_quantization("awq:64").name, named_quantization("gguf:4.85").bits_per_weight
    ('AWQ:64', Fraction(97, 20))
    """
    base, colon, parameter = name.partition(":")
    for row, found in zip(_rows(), known_quantizations(), strict=True):
        if base in (found.name, found.vllm_name, *found.aliases) and (base or found.name == NATIVE):
            if not colon and row["layout"]["kind"] != _GGUF:
                return found
            linear = _with_parameter(row["layout"], parameter, name)
            return replace(found, name=f"{found.name}:{parameter}", linear=linear)
    known = [each for row in known_quantizations() for each in (row.name, row.vllm_name) if each]
    near = near_matches(base, known)
    raise UnknownQuantizationError("quantization", name, near, f"known are {', '.join(known)}")


def required_formats(rung: Quantization, stored: StoredPrecision) -> frozenset[str]:
    """Return the formats of which a GPU needs one.

    Args:
        rung: the rung.
        stored: how the unquantized checkpoint stores its weights; it decides for ``Native``.
    """
    return _STORED_FORMATS[stored] if rung.name == NATIVE else rung.formats


def runs_on(gpu: Gpu, rung: Quantization, stored: StoredPrecision) -> bool:
    """Return whether the engine accepts the rung on the GPU; a gate passed, not a kernel tried."""
    needed = required_formats(rung, stored)
    return not needed or bool(needed & gpu.formats)


def refusal(gpu: Gpu, rung: Quantization, stored: StoredPrecision) -> str:
    """Return why a GPU cannot run a format, with what it can run, as one sentence; empty when it can.

    >>> from deepseek_operator.catalog.gpus import gpu
    >>> refusal(gpu("t4"), quantization("INT8W8A8"), StoredPrecision.FLOAT16)
    ''
    """
    if runs_on(gpu, rung, stored):
        return ""
    needed = " or ".join(sorted(required_formats(rung, stored)))
    what = f"{stored} weights" if rung.name == NATIVE else f"{rung.name} weights"
    return f"{gpu.id} cannot run {what}: it would need {needed} and has {', '.join(sorted(gpu.formats))}"


@functools.cache
def gguf_mixtures() -> Mapping[str, Fraction]:
    """Return the mean bits per weight of each mixture of llama.cpp, measured on one model of 8 billion parameters."""
    mixtures = read_json("quantizations.json")["gguf_mixtures"]
    if not isinstance(mixtures, dict):
        raise TypeError("quantizations.json holds no mixtures")
    return {row["name"]: Fraction(row["bits_per_weight"]) for row in mixtures["rows"]}


@functools.cache
def _rows() -> list[dict[str, Any]]:
    rows = read_json("quantizations.json")["quantizations"]
    if not isinstance(rows, list):
        raise TypeError("quantizations.json holds no list")
    return rows


def _from_row(row: Mapping[str, Any]) -> Quantization:
    values = {key: value for key, value in row.items() if key != "layout"}
    values |= {key: frozenset(row[key]) for key in ("formats", "native_formats")}
    return Quantization(**values | {"aliases": tuple(row["aliases"]), "linear": _linear(row["layout"])})


def _linear(layout: Mapping[str, Any]) -> LinearFormat | None:
    """Return the format that a row describes."""
    covers = Coverage(layout.get("covers", Coverage.LINEAR))
    group_size = layout.get("group_size")
    match layout["kind"]:
        case "per-tensor":
            return known_formats.per_tensor(layout["bits"], covers)
        case "per-channel":
            return known_formats.per_channel(layout["bits"], covers)
        case "blocks":
            return known_formats.in_blocks(layout["rows"], layout["columns"])
        case "packed":
            return known_formats.packed_integers(layout["bits"], group_size, zero_points=layout["zero_points"])
        case "gptq":
            return known_formats.gptq(layout["bits"], group_size)
        case "nvfp4":
            return known_formats.nvfp4(covers)
        case "microscaling":
            return known_formats.microscaling(layout["bits"], covers)
        case "nf4":
            return known_formats.nf4(double_quantized=True)
        case "sparse-24":
            return known_formats.sparse_24(layout["bits"])
    return None


def _with_parameter(layout: Mapping[str, Any], parameter: str, name: str) -> LinearFormat | None:
    if layout["kind"] == _GGUF:
        return known_formats.gguf(_gguf_bits(parameter, name))
    if "group_size" not in layout:
        raise UnknownQuantizationError("quantization", name, (), "this format has no parameter; leave it out")
    if parameter not in _GROUP_SIZES:
        sizes = ", ".join(_GROUP_SIZES)
        raise UnknownQuantizationError("quantization", name, (), f"kernels exist for groups of {sizes} (whole rows)")
    return _linear({**layout, "group_size": None if parameter == "-1" else int(parameter)})


def _gguf_bits(parameter: str, name: str) -> Fraction:
    mixtures = gguf_mixtures()
    if parameter in mixtures:
        return mixtures[parameter]
    if re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,4})?", parameter) and 1 <= Fraction(parameter) <= 32:
        return Fraction(parameter)
    remedy = f"give bits per weight from 1 to 32, such as GGUF:4.85, or one of {', '.join(mixtures)}"
    raise UnknownQuantizationError("quantization", name, (), remedy)


def _unknown(name: str, known: list[str]) -> UnknownQuantizationError:
    return UnknownQuantizationError("quantization", name, (), f"known are {', '.join(known)}")
