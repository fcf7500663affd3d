"""The ``compressed-tensors`` method of ``quantization_config``: what each combination of its fields stores.

Source: vLLM 0.32.0 ``quantization/compressed_tensors/compressed_tensors.py`` (``_get_scheme_from_parts``) and its
``schemes``.
"""

from __future__ import annotations

from deepseek_operator.catalog import known_formats
from deepseek_operator.catalog.config_fields import ConfigFields
from deepseek_operator.catalog.linear_formats import LinearFormat, SideTable
from deepseek_operator.catalog.module_patterns import regex_or_exact
from deepseek_operator.catalog.shapes import StoredPrecision
from deepseek_operator.catalog.stored_quantization import StoredQuantization, group_size
from deepseek_operator.errors import UnsupportedModelError

_SHAPE = SideTable(bits=2 * 64, rows=None, columns=None)
"""``weight_shape``: the two dimensions before packing, kept with every matrix."""
_SPARSE = "sparse-24-bitmask"


def read_compressed_tensors(fields: ConfigFields) -> StoredQuantization:
    """Return how a compressed-tensors checkpoint stores its linear layers.

    Raises:
        UnsupportedModelError: a field says something that the engine does not run or whose bytes are not known.
    """
    ignored = regex_or_exact(fields, "ignore")
    sparse = _sparsity(fields)
    if fields.has("transform_config") and fields.mapping("transform_config"):
        raise fields.refuse("transform_config", "no such field, because transforms of weights are not covered")
    groups = [_weights(group, sparse=sparse) for group in _linear_groups(fields, sparse=sparse)]
    if sparse and not groups:
        groups = [(StoredPrecision.SPARSE_24, known_formats.sparse_24(16))]
    if len(set(groups)) != 1:
        raise fields.refuse("config_groups", "one format for all linear layers, because mixtures are not covered")
    precision, linear = groups[0]
    return StoredQuantization(precision=precision, linear=linear, is_ignored=ignored)


def _sparsity(fields: ConfigFields) -> bool:
    if not fields.mapping("sparsity_config"):
        return False
    return fields.required_object("sparsity_config").word("format", ("dense", _SPARSE)) == _SPARSE


def _linear_groups(fields: ConfigFields, *, sparse: bool) -> list[ConfigFields]:
    if sparse and not fields.mapping("config_groups"):
        return []
    groups = []
    for group in fields.nested_objects("config_groups"):
        targets = group.sequence("targets")
        if len(targets) == 1 and isinstance(targets[0], str) and targets[0].endswith("Attention"):
            continue  # the engine takes quantized attention as a matter of the KV cache
        if targets != ("Linear",):
            raise group.refuse("targets", '["Linear"], because single modules as targets are not covered')
        groups.append(group)
    if not groups:
        raise fields.refuse("config_groups", "a group whose targets are Linear")
    return groups


def _weights(group: ConfigFields, *, sparse: bool) -> tuple[StoredPrecision, LinearFormat]:
    weights = group.required_object("weights")
    kind = weights.word("type", ("float", "int"))
    bits = weights.choice("num_bits", (4, 8))
    strategy = weights.word("strategy", ("tensor", "channel", "block", "group", "tensor_group"), "tensor")
    symmetric = weights.boolean("symmetric", default=True)
    if sparse:
        if bits != 8:
            raise weights.refuse("num_bits", "8 in a sparse checkpoint")
        return StoredPrecision.SPARSE_24, known_formats.sparse_24(8)
    if kind == "int" and not group.has("input_activations"):
        return StoredPrecision.GPTQ, _packed(weights, bits, strategy, symmetric)
    if not symmetric:
        raise weights.refuse(
            "symmetric", "true, because the engine runs asymmetric weights only without input_activations"
        )
    if kind == "int":
        return StoredPrecision.INT8, _whole(weights, _eight(weights, bits), strategy)
    if bits == 8:
        return _float8(weights, strategy)
    return _float4(weights, strategy)


def _float8(weights: ConfigFields, strategy: str) -> tuple[StoredPrecision, LinearFormat]:
    if strategy == "block":
        return StoredPrecision.FP8_BLOCK, known_formats.in_blocks(*weights.pair("block_structure"))
    if strategy == "group":
        weights.choice("group_size", (32,))
        return StoredPrecision.MXFP8, known_formats.microscaling(8)
    return StoredPrecision.FP8, _whole(weights, 8, strategy)


def _float4(weights: ConfigFields, strategy: str) -> tuple[StoredPrecision, LinearFormat]:
    if strategy == "tensor_group":
        weights.choice("group_size", (16,))
        return StoredPrecision.NVFP4, known_formats.nvfp4()
    if strategy == "group":
        weights.choice("group_size", (32,))
        return StoredPrecision.MXFP4, known_formats.microscaling(4)
    raise weights.refuse("strategy", "group or tensor_group for 4-bit floats")


def _packed(weights: ConfigFields, bits: int, strategy: str, symmetric: bool) -> LinearFormat:
    if weights.has("actorder") and _is_reordered(weights):
        raise weights.refuse("actorder", "null, static or weight, because the engine no longer runs the others")
    if strategy not in ("channel", "group"):
        raise weights.refuse("strategy", "channel or group for weight-only integers")
    columns = group_size(weights) if strategy == "group" else None
    packed = known_formats.packed_integers(bits, columns, zero_points=not symmetric)
    return LinearFormat(
        weight_bits=packed.weight_bits,
        group_rows=packed.group_rows,
        group_columns=packed.group_columns,
        scale_bits=packed.scale_bits,
        side_tables=(*packed.side_tables, _SHAPE),
    )


def _is_reordered(weights: ConfigFields) -> bool:
    try:
        return weights.text("actorder", "") not in ("static", "weight", "")
    except UnsupportedModelError:  # older checkpoints write true or false
        return weights.boolean("actorder", default=False)


def _whole(weights: ConfigFields, bits: int, strategy: str) -> LinearFormat:
    if strategy == "channel":
        return known_formats.per_channel(bits)
    if strategy == "tensor":
        return known_formats.per_tensor(bits)
    raise weights.refuse("strategy", "tensor or channel for these weights")


def _eight(weights: ConfigFields, bits: int) -> int:
    if bits != 8:
        raise weights.refuse("num_bits", "8, because 4-bit integers with quantized activations are not covered")
    return bits
