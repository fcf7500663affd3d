"""From the fields of a Hugging Face ``config.json`` to a ``ModelShape``; nothing is read from a network.

A class has an entry in ``_READERS`` when planning knows its memory. Where an absent field has a default here, it is
the one of the model's own configuration class (transformers 5.23.0, ``models/*/configuration_*.py``; the class
DeepseekForCausalLM is not in transformers and follows V2). Fields whose class default is the size of one particular
model must be present.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deepseek_operator.catalog.config_fields import ConfigFields
from deepseek_operator.catalog.config_quantization import with_stored_quantization
from deepseek_operator.catalog.config_v4 import v4_shape, v41_shape, with_stored_experts
from deepseek_operator.catalog.config_vision import VISION_ARCHITECTURES, vision_language_shape
from deepseek_operator.catalog.shapes import (
    GroupedQueryAttention,
    LatentAttention,
    MixtureOfExperts,
    ModelShape,
    StoredPrecision,
)
from deepseek_operator.errors import UnsupportedModelError, shortened

_DTYPES = {
    "bfloat16": StoredPrecision.BFLOAT16,
    "float16": StoredPrecision.FLOAT16,
    "float32": StoredPrecision.FLOAT32,
}


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """How one architecture is read."""

    model_type: str
    attention: Callable[[ConfigFields], GroupedQueryAttention | LatentAttention]
    has_experts: bool = False
    router_bias_by_default: bool = False


def shape_from_config(config: Mapping[str, object]) -> ModelShape:
    """Return the shape of a model from its ``config.json``.

    Args:
        config: the parsed file, with the field names of Hugging Face. It is not changed.

    Raises:
        UnsupportedModelError: the architecture is not covered, or a field is missing, of the wrong type or out of
            range; the text names the architecture or the field and what was expected.

    >>> shape = shape_from_config({
    ...     "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 30,
    ...     "num_attention_heads": 32, "intermediate_size": 11008, "vocab_size": 102400,
    ...     "max_position_embeddings": 4096, "torch_dtype": "bfloat16"})
    >>> shape.attention.num_kv_heads, shape.attention.head_dim
    (32, 128)
    """
    fields = ConfigFields(config)
    architecture = fields.single_text_of_list("architectures")
    if architecture in VISION_ARCHITECTURES:
        return vision_language_shape(config, architecture, _language_shape)
    return _language_shape(fields)


def _language_shape(fields: ConfigFields) -> ModelShape:
    architecture = fields.single_text_of_list("architectures")
    if architecture in _SHAPE_READERS:
        unquantized = _SHAPE_READERS[architecture](fields, _dtype(fields))
        return with_stored_experts(with_stored_quantization(unquantized, fields), fields)
    reader = _READERS.get(architecture)
    if reader is None:
        raise UnsupportedModelError(
            f"model architecture {shortened(architecture)!r} cannot be planned; covered are "
            f"{', '.join(supported_architectures())}"
        )
    num_layers = fields.integer("num_hidden_layers")
    experts = _experts(fields, reader, num_layers) if reader.has_experts else None
    shape = ModelShape(
        architecture=architecture,
        model_type=fields.text("model_type", reader.model_type),
        num_layers=num_layers,
        hidden_size=fields.integer("hidden_size"),
        vocab_size=fields.integer("vocab_size"),
        max_position_embeddings=fields.integer("max_position_embeddings"),
        intermediate_size=fields.integer("intermediate_size"),
        tie_word_embeddings=fields.boolean("tie_word_embeddings", default=False),
        attention=reader.attention(fields),
        experts=experts,
        mlp_bias=fields.boolean("mlp_bias", default=False),
        stored_precision=_dtype(fields),
        num_draft_layers=fields.integer_or("num_nextn_predict_layers", 0, smallest=0),
    )
    return with_stored_quantization(shape, fields)


def supported_architectures() -> tuple[str, ...]:
    """Return the class names that can be planned, sorted."""
    return tuple(sorted((*_READERS, *_SHAPE_READERS, *VISION_ARCHITECTURES)))


def _dtype(fields: ConfigFields) -> StoredPrecision:
    """Return the precision of unquantized weights; a quantized checkpoint need not say it."""
    name = "dtype" if fields.has("dtype") else "torch_dtype"
    precision = _DTYPES.get(fields.text(name, "bfloat16" if fields.has("quantization_config") else ""))
    if precision is None:
        raise fields.refuse(name, "bfloat16, float16 or float32")
    return precision


def _grouped_heads(
    fields: ConfigFields, *, num_kv_heads: int | None, default_head_dim: int | None = None
) -> tuple[int, int, int]:
    """Return attention heads, key-value heads (as many when ``num_kv_heads`` is None) and the size of a head."""
    num_heads = fields.integer("num_attention_heads")
    num_kv_heads = num_kv_heads or num_heads
    if num_heads % num_kv_heads:
        raise fields.refuse("num_key_value_heads", f"a divisor of num_attention_heads ({num_heads})")
    if fields.has("head_dim"):
        return num_heads, num_kv_heads, fields.integer("head_dim")
    hidden_size = fields.integer("hidden_size")
    if default_head_dim is None and hidden_size % num_heads:
        raise fields.refuse(
            "head_dim", f"a whole number, because hidden_size {hidden_size} is no multiple of {num_heads} heads"
        )
    return num_heads, num_kv_heads, default_head_dim or hidden_size // num_heads


def _llama_attention(fields: ConfigFields) -> GroupedQueryAttention:
    kv_heads = fields.integer("num_key_value_heads") if fields.has("num_key_value_heads") else None
    num_heads, num_kv_heads, head_dim = _grouped_heads(fields, num_kv_heads=kv_heads)
    bias = fields.boolean("attention_bias", default=False)
    return GroupedQueryAttention(
        num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=head_dim, bias=bias, output_bias=bias
    )


def _qwen2_attention(fields: ConfigFields) -> GroupedQueryAttention:
    """Qwen2's class gives q, k and v a bias without a field that says so."""
    fields.must_be_off("use_sliding_window")
    num_heads, num_kv_heads, head_dim = _grouped_heads(
        fields, num_kv_heads=fields.required_null_or_integer("num_key_value_heads")
    )
    return GroupedQueryAttention(num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=head_dim, bias=True)


def _qwen3_attention(fields: ConfigFields) -> GroupedQueryAttention:
    """Qwen3's class normalises q and k per head without a field that says so; its default head size is 128."""
    fields.must_be_off("use_sliding_window")
    num_heads, num_kv_heads, head_dim = _grouped_heads(
        fields, num_kv_heads=fields.required_null_or_integer("num_key_value_heads"), default_head_dim=128
    )
    bias = fields.boolean("attention_bias", default=False)
    return GroupedQueryAttention(
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        bias=bias,
        output_bias=bias,
        qk_norm=True,
    )


def _latent_attention(fields: ConfigFields) -> LatentAttention:
    fields.must_be_off("attention_bias")
    if not fields.boolean("use_mla", default=True):
        raise fields.refuse("use_mla", "true, because this class without latent attention is not covered")
    return LatentAttention(
        num_heads=fields.integer("num_attention_heads"),
        q_lora_rank=fields.required_null_or_integer("q_lora_rank"),
        kv_lora_rank=fields.integer("kv_lora_rank"),
        qk_nope_head_dim=fields.integer("qk_nope_head_dim"),
        qk_rope_head_dim=fields.integer("qk_rope_head_dim"),
        v_head_dim=fields.integer("v_head_dim"),
    )


def _v2_attention(fields: ConfigFields) -> GroupedQueryAttention | LatentAttention:
    """Return plain heads for a V2 model whose latent head sizes are both 0 (VL2-tiny, OCR), else latent attention.

    Source: vLLM 0.32 ``models/deepseek_v2.py`` l.1281 (``use_mha``) and ``DeepseekAttention``: no biases, a head is
    ``hidden_size / num_attention_heads`` wide.
    """
    sizes = ("qk_nope_head_dim", "qk_rope_head_dim")
    if not all(fields.has(name) and fields.integer(name, smallest=0) == 0 for name in sizes):
        return _latent_attention(fields)
    fields.must_be_off("attention_bias")
    fields.must_be_off("use_mla")
    num_heads = fields.integer("num_attention_heads")
    num_kv_heads = fields.integer_or("num_key_value_heads", num_heads)
    hidden_size = fields.integer("hidden_size")
    if num_heads % num_kv_heads or hidden_size % num_heads:
        raise fields.refuse("num_attention_heads", f"a divisor of hidden_size and a multiple of {num_kv_heads}")
    return GroupedQueryAttention(num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=hidden_size // num_heads)


def _indexed_latent_attention(fields: ConfigFields) -> LatentAttention:
    dense = _latent_attention(fields)
    if dense.q_lora_rank is None:
        raise fields.refuse("q_lora_rank", "a whole number, because the indexer reads the compressed query")
    return LatentAttention(
        num_heads=dense.num_heads,
        q_lora_rank=dense.q_lora_rank,
        kv_lora_rank=dense.kv_lora_rank,
        qk_nope_head_dim=dense.qk_nope_head_dim,
        qk_rope_head_dim=dense.qk_rope_head_dim,
        v_head_dim=dense.v_head_dim,
        index_num_heads=fields.integer("index_n_heads"),
        index_head_dim=fields.integer("index_head_dim"),
        index_topk=fields.integer("index_topk"),
    )


def _experts(fields: ConfigFields, reader: _Reader, num_layers: int) -> MixtureOfExperts | None:
    """Return the routed experts; None for a model of this class that has none (``n_routed_experts`` null)."""
    if fields.required_null_or_integer("n_routed_experts") is None:
        return None
    if fields.integer_or("moe_layer_freq", 1) != 1:
        raise fields.refuse("moe_layer_freq", "1, because experts on every n-th layer are not covered")
    num_experts = fields.integer("n_routed_experts")
    num_experts_per_token = fields.integer("num_experts_per_tok")
    if num_experts_per_token > num_experts:
        raise fields.refuse("num_experts_per_tok", f"at most n_routed_experts ({num_experts})")
    num_dense_layers = fields.integer("first_k_dense_replace", smallest=0)
    if num_dense_layers > num_layers:
        raise fields.refuse("first_k_dense_replace", f"at most num_hidden_layers ({num_layers})")
    topk_method = fields.text("topk_method", "noaux_tc" if reader.router_bias_by_default else "greedy")
    return MixtureOfExperts(
        num_experts=num_experts,
        num_experts_per_token=num_experts_per_token,
        num_shared_experts=fields.required_null_or_integer("n_shared_experts", smallest=0) or 0,
        expert_intermediate_size=fields.integer("moe_intermediate_size"),
        num_dense_layers=num_dense_layers,
        router_bias=topk_method == "noaux_tc",
    )


_READERS: Mapping[str, _Reader] = {
    "DeepseekForCausalLM": _Reader(model_type="deepseek", attention=_llama_attention, has_experts=True),
    "DeepseekV2ForCausalLM": _Reader(model_type="deepseek_v2", attention=_v2_attention, has_experts=True),
    "DeepseekV32ForCausalLM": _Reader(
        model_type="deepseek_v32",
        attention=_indexed_latent_attention,
        has_experts=True,
        router_bias_by_default=True,
    ),
    "DeepseekV3ForCausalLM": _Reader(
        model_type="deepseek_v3", attention=_latent_attention, has_experts=True, router_bias_by_default=True
    ),
    "LlamaForCausalLM": _Reader(model_type="llama", attention=_llama_attention),
    "Qwen2ForCausalLM": _Reader(model_type="qwen2", attention=_qwen2_attention),
    "Qwen3ForCausalLM": _Reader(model_type="qwen3", attention=_qwen3_attention),
}

_SHAPE_READERS: Mapping[str, Callable[[ConfigFields, StoredPrecision], ModelShape]] = {
    "DeepseekV4ForCausalLM": v4_shape,
    "DeepseekV41ForCausalLM": v41_shape,
}
