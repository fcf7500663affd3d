"""Names of the linear layers that a checkpoint may quantize or leave alone, as its config names them.

The engine fuses some of them (``qkv_proj``); the parts of a fused module must all have the same format.
Source: vLLM 0.32.0 ``models/llama.py`` and ``models/deepseek_v2.py`` (``packed_modules_mapping``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from deepseek_operator.catalog.shapes import LatentAttention, ModelShape
from deepseek_operator.errors import UnsupportedModelError

EXPERTS = "mlp.experts"
"""The engine's module of all routed experts of a layer."""

_PARTS: Mapping[str, tuple[str, ...]] = {
    "self_attn.qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attn.fused_qkv_a_proj": ("self_attn.q_a_proj", "self_attn.kv_a_proj_with_mqa"),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.shared_experts.gate_up_proj": ("mlp.shared_experts.gate_proj", "mlp.shared_experts.up_proj"),
    EXPERTS: ("mlp.experts.0.gate_proj", "mlp.experts.0.up_proj", "mlp.experts.0.down_proj"),
}
"""Names in the checkpoint of what the engine fuses; the first expert stands for all."""


def unquantized_modules(shape: ModelShape, is_ignored: Callable[[str], bool], field: str) -> frozenset[tuple[str, int]]:
    """Return the (engine's module, layer) pairs that a checkpoint does not quantize, draft layers included.

    Args:
        shape: the model.
        is_ignored: whether the full name of a checkpoint's module, such as ``model.layers.0.mlp.down_proj``, is left
            unquantized.
        field: of the config, for the refusal.

    Raises:
        UnsupportedModelError: some but not all parts of a fused module are left out; the engine refuses that.
    """
    found = set()
    num_dense = shape.num_layers if shape.experts is None else shape.experts.num_dense_layers
    for layer in range(shape.num_layers + shape.num_draft_layers):
        for module in _modules(shape, is_dense=layer < num_dense or shape.experts is None):
            prefix = f"model.layers.{layer}."
            names = [prefix + part for part in _PARTS.get(module, (module,))]
            ignored = [is_ignored(prefix + module) or is_ignored(name) for name in names]
            if any(ignored) and not all(ignored):
                raise UnsupportedModelError(
                    f"model config field {field} names some but not all of {', '.join(names)}; expected all or none, "
                    "because the engine fuses them"
                )
            if all(ignored):
                found.add((module, layer))
    return frozenset(found)


def _modules(shape: ModelShape, *, is_dense: bool) -> tuple[str, ...]:
    names = _attention_modules(shape)
    if is_dense:
        return (*names, "mlp.gate_up_proj", "mlp.down_proj")
    names = (*names, EXPERTS)
    if shape.experts is not None and shape.experts.num_shared_experts:
        names = (*names, "mlp.shared_experts.gate_up_proj", "mlp.shared_experts.down_proj")
    return names


def _attention_modules(shape: ModelShape) -> tuple[str, ...]:
    attention = shape.attention
    if not isinstance(attention, LatentAttention):
        return ("self_attn.qkv_proj", "self_attn.o_proj")
    query = (
        ("self_attn.q_proj", "self_attn.kv_a_proj_with_mqa")
        if attention.q_lora_rank is None
        else ("self_attn.fused_qkv_a_proj", "self_attn.q_b_proj")
    )
    indexer = ("self_attn.indexer.wq_b", "self_attn.indexer.wk") if attention.index_num_heads else ()
    return (*query, "self_attn.kv_b_proj", "self_attn.o_proj", *indexer)
