"""From ``quantization_config`` of a ``config.json`` to how the checkpoint stores its weights.

Read are the methods of vLLM 0.32.0 whose bytes are known (``layers/quantization``, each class's ``from_config``) and
bitsandbytes. Everything else is refused by the name of the field; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from deepseek_operator.catalog import known_formats
from deepseek_operator.catalog.compressed_tensors import read_compressed_tensors
from deepseek_operator.catalog.config_fields import ConfigFields
from deepseek_operator.catalog.linear_formats import SIXTEEN_BIT, Coverage, FormatException, LinearFormat
from deepseek_operator.catalog.linear_modules import EXPERTS, unquantized_modules
from deepseek_operator.catalog.module_patterns import (
    component,
    contains,
    exact,
    names,
    regex_or_exact,
    shell_or_contained,
)
from deepseek_operator.catalog.shapes import ModelShape, StoredPrecision
from deepseek_operator.catalog.stored_quantization import StoredQuantization, group_size

FIELD = "quantization_config"


def with_stored_quantization(shape: ModelShape, config: ConfigFields) -> ModelShape:
    """Return the shape with what its ``quantization_config`` says; unchanged when the config has none.

    Args:
        shape: of the model, with the dtype of its unquantized weights.
        config: the whole ``config.json``.

    Raises:
        UnsupportedModelError: a field of it is missing, wrong or says something whose bytes are not known; the text
            names the field and what was expected.
    """
    content = config.mapping(FIELD)
    if content is None:
        return shape
    fields = ConfigFields(content, path=f"{FIELD}.")
    reader = _READERS.get(fields.text("quant_method", "").lower().replace("_", "-"))
    if reader is None:
        expected = f"{', '.join(sorted(_READERS))}, or the unquantized model's config and a quantization name"
        raise fields.refuse("quant_method", expected)
    stored = reader(fields)
    unquantized = unquantized_modules(shape, stored.is_ignored, FIELD + "." + stored.ignore_field)
    exceptions = (FormatException(linear=SIXTEEN_BIT, modules=unquantized),) if unquantized else ()
    in_blocks = stored.precision is StoredPrecision.FP8_BLOCK
    return replace(
        shape,
        stored_precision=stored.precision,
        stored_linear=None if in_blocks else stored.linear,
        quantization_block=(stored.linear.group_rows or 1, stored.linear.group_columns or 1) if in_blocks else None,
        format_exceptions=exceptions,
    )


def _fp8(fields: ConfigFields) -> StoredQuantization:
    if fields.has("store_dtype"):
        raise fields.refuse("store_dtype", "no such field, because experts in another format are not covered")
    listed = "ignored_layers" if fields.has("ignored_layers") else "modules_to_not_convert"
    ignored = exact(names(fields, listed))
    if fields.has("weight_block_size"):
        linear = known_formats.in_blocks(*fields.pair("weight_block_size"))
        return StoredQuantization(
            precision=StoredPrecision.FP8_BLOCK, linear=linear, is_ignored=ignored, ignore_field=listed
        )
    if not fields.has("activation_scheme"):
        raise fields.refuse("weight_block_size", "two whole numbers such as [128, 128], or an activation_scheme")
    fields.word("activation_scheme", ("dynamic", "static"))
    return StoredQuantization(
        precision=StoredPrecision.FP8, linear=known_formats.per_tensor(8), is_ignored=ignored, ignore_field=listed
    )


def _fbgemm_fp8(fields: ConfigFields) -> StoredQuantization:
    return StoredQuantization(
        precision=StoredPrecision.FP8,
        linear=known_formats.per_channel(8),
        is_ignored=exact(names(fields, "modules_to_not_convert")),
        ignore_field="modules_to_not_convert",
    )


def _awq(fields: ConfigFields) -> StoredQuantization:
    bits = fields.choice("w_bit" if fields.has("w_bit") else "bits", (4,))
    columns = group_size(fields, "q_group_size" if fields.has("q_group_size") else "group_size")
    if not fields.boolean("zero_point", default=True):
        raise fields.refuse("zero_point", "true, because the engine reads a zero point of every group")
    if fields.boolean("lm_head", default=False):
        raise fields.refuse("lm_head", "false, because a quantized output head is not covered")
    return StoredQuantization(
        precision=StoredPrecision.AWQ,
        linear=known_formats.packed_integers(bits, columns, zero_points=True),
        is_ignored=contains(names(fields, "modules_to_not_convert")),
        ignore_field="modules_to_not_convert",
    )


def _gptq(fields: ConfigFields) -> StoredQuantization:
    bits = fields.choice("bits", (4, 8))
    columns = group_size(fields)
    if not fields.boolean("sym", default=True):
        raise fields.refuse("sym", "true, because the engine runs symmetric weights only")
    if fields.boolean("lm_head", default=False):
        raise fields.refuse("lm_head", "false, because a quantized output head is not covered")
    if fields.has("dynamic") and fields.mapping("dynamic"):
        raise fields.refuse("dynamic", "no such field, because rules for single modules are not covered")
    if fields.sequence("modules_in_block_to_quantize"):
        raise fields.refuse("modules_in_block_to_quantize", "no such field, because part of a block is not covered")
    reordered = fields.boolean("desc_act", default=False) and columns is not None
    return StoredQuantization(
        precision=StoredPrecision.GPTQ_REORDERED if reordered else StoredPrecision.GPTQ,
        linear=known_formats.gptq(bits, columns, desc_act=reordered),
    )


def _bitsandbytes(fields: ConfigFields) -> StoredQuantization:
    listed = "llm_int8_skip_modules"
    linear = known_formats.per_channel(8)
    if fields.boolean("load_in_4bit", default=False):
        fields.word("bnb_4bit_quant_type", ("nf4", "fp4"), "fp4")
        linear = known_formats.nf4(double_quantized=fields.boolean("bnb_4bit_use_double_quant", default=False))
    elif not fields.boolean("load_in_8bit", default=False):
        raise fields.refuse("load_in_4bit", "true, or load_in_8bit true")
    return StoredQuantization(
        precision=StoredPrecision.BITSANDBYTES,
        linear=linear,
        is_ignored=component(names(fields, listed)),
        ignore_field=listed,
    )


def _modelopt(fields: ConfigFields) -> StoredQuantization:
    if fields.has("quantization"):
        fields, listed = fields.required_object("quantization"), "exclude_modules"
    else:
        listed = "ignore"
    ignored = names(fields, listed)
    algorithm = fields.word("quant_algo", tuple(_MODELOPT))
    if algorithm.endswith("NVFP4"):
        fields.choice("group_size", (16,), 16)
    if not any(text.rstrip("*") in ("lm_head", "") for text in ignored):
        raise fields.refuse(listed, "a list with lm_head, because a quantized output head is not covered")
    precision, linear = _MODELOPT[algorithm]
    return StoredQuantization(
        precision=precision,
        linear=linear,
        is_ignored=shell_or_contained(ignored),
        ignore_field=listed,
    )


def _mxfp4(fields: ConfigFields) -> StoredQuantization:
    """The engine quantizes the routed experts alone and ignores the list of other modules (``mxfp4.py``)."""
    ignored = exact(names(fields, "modules_to_not_convert"))
    return StoredQuantization(
        precision=StoredPrecision.MXFP4,
        linear=known_formats.microscaling(4, Coverage.ROUTED_EXPERTS),
        is_ignored=lambda name: EXPERTS in name and ignored(name),
        ignore_field="modules_to_not_convert",
    )


def _quark(fields: ConfigFields) -> StoredQuantization:
    for field in ("layer_quant_config", "layer_type_quant_config"):
        if fields.has(field) and fields.mapping(field):
            raise fields.refuse(field, "an empty object, because formats of single layers are not covered")
    weight = fields.required_object("global_quant_config").required_object("weight")
    precision, linear = _quark_weight(weight)
    return StoredQuantization(
        precision=precision,
        linear=linear,
        is_ignored=regex_or_exact(fields, "exclude"),
        ignore_field="exclude",
    )


def _quark_weight(weight: ConfigFields) -> tuple[StoredPrecision, LinearFormat]:
    dtype = weight.word("dtype", ("fp8_e4m3", "int8", "fp4"))
    if dtype == "fp4":
        weight.word("qscheme", ("per_group",))
        weight.choice("group_size", (32,))
        weight.word("scale_format", ("e8m0",))
        return StoredPrecision.MXFP4, known_formats.microscaling(4)
    scheme = weight.word("qscheme", ("per_tensor", "per_channel") + (("per_block",) if dtype == "fp8_e4m3" else ()))
    if scheme == "per_block":
        return StoredPrecision.FP8_BLOCK, known_formats.in_blocks(*weight.pair("block_size"))
    precision = StoredPrecision.FP8 if dtype == "fp8_e4m3" else StoredPrecision.INT8
    return precision, known_formats.per_tensor(8) if scheme == "per_tensor" else known_formats.per_channel(8)


_MODELOPT: Mapping[str, tuple[StoredPrecision, LinearFormat]] = {
    "FP8": (StoredPrecision.FP8, known_formats.per_tensor(8)),
    "FP8_PER_CHANNEL_PER_TOKEN": (StoredPrecision.FP8, known_formats.per_channel(8)),
    "FP8_PB_WO": (StoredPrecision.FP8_BLOCK, known_formats.in_blocks(128, 128)),
    "NVFP4": (StoredPrecision.NVFP4, known_formats.nvfp4()),
    "W4A16_NVFP4": (StoredPrecision.NVFP4, known_formats.nvfp4()),
    "MXFP8": (StoredPrecision.MXFP8, known_formats.microscaling(8)),
}

_READERS: Mapping[str, Callable[[ConfigFields], StoredQuantization]] = {
    "awq": _awq,
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": read_compressed_tensors,
    "fbgemm-fp8": _fbgemm_fp8,
    "fp8": _fp8,
    "gptq": _gptq,
    "gptq-marlin": _gptq,
    "modelopt": _modelopt,
    "modelopt-fp4": _modelopt,
    "mxfp4": _mxfp4,
    "quark": _quark,
}
