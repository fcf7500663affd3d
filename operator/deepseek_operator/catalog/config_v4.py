"""The shapes of V4 and V4.1 from the fields of their ``config.json``.

V4 keeps all fields at the top; V4.1 nests the decoder's under ``text_config`` and the image encoder's under
``vision_config``. Defaults of absent fields are those of vLLM 0.32.0 (``transformers_utils/configs/deepseek_v4.py``
and ``models/deepseek_v4``), because no other engine reads these classes yet.
"""

from __future__ import annotations

from dataclasses import replace

from deepseek_operator.catalog.config_fields import ConfigFields
from deepseek_operator.catalog.shapes import (
    BlockDraft,
    CompressedAttention,
    Engram,
    MixtureOfExperts,
    ModelShape,
    StoredPrecision,
    VisionTower,
    VisionTowerKind,
)

DRAFT_LAYERS = 3
"""Layers of a DSpark draft whose config does not count them (vLLM 0.32.0 ``models/deepseek_v4/nvidia/dspark.py``)."""

V4_RATIOS = (0, 4, 128)
"""Tokens per compressed state that V4 has kernels for (vLLM 0.32.0 ``models/deepseek_v4/compressor.py``)."""

V41_RATIOS = (0, 1, 2)
"""The same of V4.1 (vLLM 0.32.0 ``models/deepseek_v41/attention.py``)."""

UE8M0_SCALE_BITS = 8
FLOAT32_SCALE_BITS = 32
FP8_EXPERT_BLOCK = (1, 128)
"""Scale blocks of experts with ``expert_dtype`` fp8, inferred from the published size of V4-Flash-Base (274.5 GiB)."""

V4_IMAGE_MARKERS = 4
V41_IMAGE_MARKERS = 3
"""Learned vectors around an image: start, end, newline, and in V4 also a pad.

Source: vLLM 0.32.0 ``models/deepseek_v4/common/vl_model.py`` and ``models/deepseek_v41/nvidia/vl_model.py``.
"""


def v4_shape(fields: ConfigFields, dtype: StoredPrecision) -> ModelShape:
    """Return the shape of a ``DeepseekV4ForCausalLM``.

    Args:
        fields: the whole config.
        dtype: precision of unquantized weights.

    Raises:
        UnsupportedModelError: a field is missing, of the wrong type or out of range; the text names it.
    """
    tower = _flat_vision(fields)
    return _shape(
        fields,
        fields,
        dtype,
        model_type="deepseek_v4",
        attention=_attention(fields, V4_RATIOS),
        experts=_experts(fields, has_images=tower is not None),
        vision=tower,
        hyper_connection_head=True,
    )


def v41_shape(fields: ConfigFields, dtype: StoredPrecision) -> ModelShape:
    """Return the shape of a ``DeepseekV41ForCausalLM``, image encoder and look-up tables included.

    Args:
        fields: the whole config, with ``text_config`` inside.
        dtype: precision of unquantized weights.

    Raises:
        UnsupportedModelError: a field is missing, of the wrong type or out of range; the text names it.
    """
    text = fields.required_object("text_config")
    tower = _nested_vision(fields)
    return _shape(
        fields,
        text,
        dtype,
        model_type="deepseek_v41",
        attention=_shared_attention(text),
        experts=_experts(text, has_images=tower is not None),
        vision=tower,
        engram=_engram(text),
    )


def with_stored_experts(shape: ModelShape, fields: ConfigFields) -> ModelShape:
    """Return the shape with how a quantized checkpoint stores its experts and scales; unchanged for another.

    Args:
        shape: of V4 or V4.1, with what ``quantization_config`` says of the linear layers.
        fields: the whole config. ``expert_dtype`` stands at its top (V4) or inside ``quantization_config`` (V4.1).

    Raises:
        UnsupportedModelError: another method than fp8 in blocks, modules left unquantized, or unknown experts.

    Source: vLLM 0.32.0 ``models/deepseek_v4/quant_config.py``: fp4 is what an absent ``expert_dtype`` means.
    """
    quantization = fields.nested("quantization_config")
    if quantization is None or shape.experts is None:
        return shape
    if shape.quantization_block is None:
        raise quantization.refuse("quant_method", "fp8 with a weight_block_size, the only format of V4 that is covered")
    for name in ("ignored_layers", "modules_to_not_convert"):
        if quantization.sequence(name):
            raise quantization.refuse(name, "an empty list, because V4 with unquantized modules is not covered")
    if quantization.has("moe_quant_algo"):
        raise quantization.refuse("moe_quant_algo", "no such field, because experts in that format are not covered")
    named = quantization if quantization.has("expert_dtype") else fields
    in_fp4 = named.word("expert_dtype", ("fp4", "fp8"), "fp4") == "fp4"
    has_ue8m0 = quantization.text("scale_fmt", "") == "ue8m0"
    return replace(
        shape,
        experts=replace(shape.experts, stored_fp4=in_fp4, stored_block=None if in_fp4 else FP8_EXPERT_BLOCK),
        quantization_scale_bits=UE8M0_SCALE_BITS if has_ue8m0 else FLOAT32_SCALE_BITS,
    )


def _shape(
    fields: ConfigFields,
    text: ConfigFields,
    dtype: StoredPrecision,
    *,
    model_type: str,
    attention: CompressedAttention,
    experts: MixtureOfExperts,
    vision: VisionTower | None,
    engram: Engram | None = None,
    hyper_connection_head: bool = False,
) -> ModelShape:
    draft = _block_draft(text, experts)
    return ModelShape(
        architecture=fields.single_text_of_list("architectures"),
        model_type=fields.text("model_type", model_type),
        num_layers=text.integer("num_hidden_layers"),
        hidden_size=text.integer("hidden_size"),
        vocab_size=text.integer("vocab_size"),
        max_position_embeddings=text.integer("max_position_embeddings"),
        intermediate_size=experts.expert_intermediate_size,
        tie_word_embeddings=any(part.boolean("tie_word_embeddings", default=False) for part in (fields, text)),
        attention=attention,
        experts=experts,
        stored_precision=dtype,
        num_draft_layers=0 if draft else text.integer_or("num_nextn_predict_layers", 0, smallest=0),
        block_draft=draft,
        hyper_connection_streams=text.integer("hc_mult"),
        hyper_connection_head=hyper_connection_head,
        engram=engram,
        vision=vision,
    )


def _attention(text: ConfigFields, ratios: tuple[int, ...]) -> CompressedAttention:
    text.must_be_off("attention_bias")
    if text.integer_or("num_key_value_heads", 1) != 1:
        raise text.refuse("num_key_value_heads", "1, because all heads share one key-value state")
    num_layers = text.integer("num_hidden_layers")
    given = text.integers("compress_ratios")
    if len(given) < num_layers or not set(given) <= set(ratios):
        listed = ", ".join(map(str, ratios))
        raise text.refuse("compress_ratios", f"one of {listed} for each of the {num_layers} layers")
    num_heads, groups = text.integer("num_attention_heads"), text.integer("o_groups")
    if num_heads % groups:
        raise text.refuse("o_groups", f"a divisor of num_attention_heads ({num_heads})")
    head_dim = text.integer("head_dim")
    rope_dim = text.integer("qk_rope_head_dim")
    if rope_dim > head_dim:
        raise text.refuse("qk_rope_head_dim", f"at most head_dim ({head_dim})")
    return CompressedAttention(
        num_heads=num_heads,
        head_dim=head_dim,
        qk_rope_head_dim=rope_dim,
        q_lora_rank=text.integer("q_lora_rank"),
        o_lora_rank=text.integer("o_lora_rank"),
        o_groups=groups,
        sliding_window=text.integer("sliding_window"),
        compress_ratios=given[:num_layers],
        index_num_heads=text.integer("index_n_heads"),
        index_head_dim=text.integer("index_head_dim"),
        index_topk=text.integer("index_topk"),
        kv_source_layers=_source_layers(text, "kv_source_layer_ids", given[:num_layers]),
        index_source_layers=_source_layers(text, "index_source_layer_ids", given[:num_layers]),
    )


def _shared_attention(text: ConfigFields) -> CompressedAttention:
    attention = _attention(text, V41_RATIOS)
    first = next((layer for layer, ratio in enumerate(attention.compress_ratios) if ratio), None)
    for name, sources in (
        ("kv_source_layer_ids", attention.kv_source_layers),
        ("index_source_layer_ids", attention.index_source_layers),
    ):
        if first is not None and (not sources or sources[0] > first):
            raise text.refuse(name, f"a list that starts at or before layer {first}, the first with a compressed cache")
    if not set(attention.kv_source_layers) <= set(attention.index_source_layers):
        raise text.refuse("index_source_layer_ids", "a list with every layer of kv_source_layer_ids")
    return attention


def _source_layers(text: ConfigFields, name: str, ratios: tuple[int, ...]) -> tuple[int, ...]:
    """Return the layers that own a cache or an indexer, ascending; empty where the config does not speak of them."""
    if not text.has(name):
        return ()
    layers = tuple(sorted(set(text.integers(name))))
    if any(layer >= len(ratios) or not ratios[layer] for layer in layers):
        raise text.refuse(name, "layers whose entry in compress_ratios is not 0")
    return layers


def _experts(text: ConfigFields, *, has_images: bool) -> MixtureOfExperts:
    num_experts, per_token = text.integer("n_routed_experts"), text.integer("num_experts_per_tok")
    num_layers = text.integer("num_hidden_layers")
    num_hash_layers = text.integer_or("num_hash_layers", 0, smallest=0)
    if per_token > num_experts:
        raise text.refuse("num_experts_per_tok", f"at most n_routed_experts ({num_experts})")
    if num_hash_layers > num_layers:
        raise text.refuse("num_hash_layers", f"at most num_hidden_layers ({num_layers})")
    return MixtureOfExperts(
        num_experts=num_experts,
        num_experts_per_token=per_token,
        num_shared_experts=text.required_null_or_integer("n_shared_experts", smallest=0) or 0,
        expert_intermediate_size=text.integer("moe_intermediate_size"),
        num_dense_layers=0,
        router_bias=text.text("topk_method", "") == "noaux_tc",
        num_hash_layers=num_hash_layers,
        router_image_bias=has_images,
    )


def _block_draft(text: ConfigFields, experts: MixtureOfExperts) -> BlockDraft | None:
    if not text.has("dspark_block_size"):
        return None
    targets = text.integers("dspark_target_layer_ids")
    num_layers = text.integer("num_hidden_layers")
    if not targets or max(targets) >= num_layers:
        raise text.refuse("dspark_target_layer_ids", f"one or more layers below num_hidden_layers ({num_layers})")
    # V4 counts the draft's layers nowhere; V4.1 in the field that V4 left at its older draft's single layer.
    counted = text.integer_or("num_nextn_predict_layers", DRAFT_LAYERS) if text.has("kv_source_layer_ids") else 0
    return BlockDraft(
        num_layers=text.integer_or("n_mtp_layers", counted or DRAFT_LAYERS),
        target_layers=targets,
        block_size=text.integer("dspark_block_size"),
        markov_rank=text.integer("dspark_markov_rank"),
        num_experts=text.integer_or("dspark_n_routed_experts", experts.num_experts),
        num_experts_per_token=text.integer_or("dspark_num_experts_per_tok", experts.num_experts_per_token),
    )


def _engram(text: ConfigFields) -> Engram | None:
    if not text.has("engram_layer_ids"):
        return None
    layers = text.integers("engram_layer_ids")
    num_layers = text.integer("num_hidden_layers")
    if len(set(layers)) < len(layers) or any(layer >= num_layers for layer in layers):
        raise text.refuse("engram_layer_ids", f"different layers below num_hidden_layers ({num_layers})")
    rows = text.integers("engram_num_embeddings", smallest=1)
    if len(rows) != len(layers):
        raise text.refuse("engram_num_embeddings", f"one number for each of the {len(layers)} engram_layer_ids")
    return Engram(
        layers=layers,
        num_embeddings=rows,
        num_heads=text.integer("engram_n_heads"),
        head_dim=text.integer("engram_head_dim"),
        max_ngram_size=text.integer("engram_max_ngram_size", smallest=2),
    )


def _flat_vision(fields: ConfigFields) -> VisionTower | None:
    if not fields.integer_or("vision_n_layers", 0, smallest=0):
        return None
    return VisionTower(
        kind=VisionTowerKind.DEEPSEEK_V4,
        num_layers=fields.integer("vision_n_layers"),
        hidden_size=fields.integer("vision_dim"),
        intermediate_size=fields.integer("vision_inter_dim"),
        patch_size=fields.integer("vision_patch_size"),
        num_heads=_heads(fields, "vision_n_heads", "vision_dim"),
        downsample_ratio=fields.integer("vision_downsample_ratio"),
        num_marker_vectors=V4_IMAGE_MARKERS,
    )


def _nested_vision(fields: ConfigFields) -> VisionTower | None:
    vision = fields.nested("vision_config")
    if vision is None:
        return None
    return VisionTower(
        kind=VisionTowerKind.DEEPSEEK_V4,
        num_layers=vision.integer("num_hidden_layers"),
        hidden_size=vision.integer("hidden_size"),
        intermediate_size=vision.integer("intermediate_size"),
        patch_size=vision.integer("patch_size"),
        num_heads=_heads(vision, "num_attention_heads", "hidden_size"),
        downsample_ratio=vision.integer("downsample_ratio"),
        num_marker_vectors=V41_IMAGE_MARKERS,
    )


def _heads(fields: ConfigFields, heads: str, width: str) -> int:
    if fields.integer(width) % fields.integer(heads):
        raise fields.refuse(heads, f"a divisor of {width} ({fields.integer(width)})")
    return fields.integer(heads)
