"""The shape of a model as planning needs it: what ``config.json`` says, under the field's own names.

Values only; reading a config lies in ``catalog/hf_config.py``, bytes lie in ``memory/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deepseek_operator.catalog.hashed_once import hashed_once
from deepseek_operator.catalog.linear_formats import FormatException, LinearFormat


class StoredPrecision(StrEnum):
    """How the checkpoint stores the weights that quantization may touch; which kernels run it follows from this."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FP8_BLOCK = "fp8-block"
    FP8 = "fp8"
    """One scale per matrix or per output channel."""
    MXFP8 = "mxfp8"
    INT8 = "int8"
    AWQ = "awq"
    GPTQ = "gptq"
    """Also the weight-only integers of compressed-tensors, which the same kernels run."""
    GPTQ_REORDERED = "gptq-desc-act"
    """With columns in the order of their activations."""
    NVFP4 = "nvfp4"
    MXFP4 = "mxfp4"
    BITSANDBYTES = "bitsandbytes"
    SPARSE_24 = "sparse-24"


@dataclass(frozen=True, kw_only=True)
class GroupedQueryAttention:
    """Attention with separate keys and values (MHA, GQA and MQA are one law).

    ``bias`` is that of q, k and v; ``output_bias`` that of the output projection (Llama and Qwen3 switch both with
    ``attention_bias``, Qwen2 has only the first). ``qk_norm`` adds one vector of ``head_dim`` each for q and k.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False


@dataclass(frozen=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention (V2, V3, R1); ``index_*`` are 0 unless the model has the V3.2 indexer."""

    num_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    index_num_heads: int = 0
    index_head_dim: int = 0
    index_topk: int = 0


@dataclass(frozen=True, kw_only=True)
class CompressedAttention:
    """Attention over compressed states and a sliding window (V4, V4.1).

    Args:
        head_dim: width of a head and of the one key-value state that all heads share; the last ``qk_rope_head_dim``
            elements carry the position.
        o_groups: groups in which the output is projected down to ``o_lora_rank`` each before the last projection.
        sliding_window: newest tokens that every layer sees uncompressed.
        compress_ratios: tokens per compressed state of each decoder layer, first layer first; 0 for a layer with the
            window alone.
        kv_source_layers: layers that own a growing cache, which the layers after them share; empty when each
            compressed layer has its own (V4).
        index_source_layers: layers that own an indexer, likewise; empty when each layer of ratio 4 has one (V4).
    """

    num_heads: int
    head_dim: int
    qk_rope_head_dim: int
    q_lora_rank: int
    o_lora_rank: int
    o_groups: int
    sliding_window: int
    compress_ratios: tuple[int, ...]
    index_num_heads: int
    index_head_dim: int
    index_topk: int
    kv_source_layers: tuple[int, ...] = ()
    index_source_layers: tuple[int, ...] = ()


Attention = GroupedQueryAttention | LatentAttention | CompressedAttention
"""Every attention that planning knows; a new member must be answered wherever this type is read."""


@dataclass(frozen=True, kw_only=True)
class MixtureOfExperts:
    """Routed and shared experts of the layers after the first ``num_dense_layers``.

    Args:
        num_hash_layers: first layers, which choose experts by a table over the vocabulary and have no correction bias.
        stored_fp4: experts are e2m1 with one 8-bit scale per 32 elements, whatever the other linear layers are.
        stored_block: rows and columns that share a scale in FP8 experts whose blocks differ from the other layers'.
        router_image_bias: every router has a second correction bias, for tokens of images.
    """

    num_experts: int
    num_experts_per_token: int
    num_shared_experts: int
    expert_intermediate_size: int
    num_dense_layers: int
    router_bias: bool = False
    num_hash_layers: int = 0
    stored_fp4: bool = False
    stored_block: tuple[int, int] | None = None
    router_image_bias: bool = False


@dataclass(frozen=True, kw_only=True)
class Engram:
    """Look-up tables over n-grams of tokens that the engine keeps in host memory (V4.1).

    Args:
        layers: decoder layers that read a table.
        num_embeddings: rows of each table, one entry per layer.
        num_heads: hash heads.
        head_dim: width of a row in elements.
        max_ngram_size: longest n-gram in tokens.
    """

    layers: tuple[int, ...]
    num_embeddings: tuple[int, ...]
    num_heads: int
    head_dim: int
    max_ngram_size: int


@dataclass(frozen=True, kw_only=True)
class BlockDraft:
    """A DSpark draft: layers that propose a block of tokens at once (V4-0731, V4.1).

    ``num_experts`` and ``num_experts_per_token`` are the model's own unless the config says otherwise.
    """

    num_layers: int
    target_layers: tuple[int, ...]
    block_size: int
    markov_rank: int
    num_experts: int
    num_experts_per_token: int


class VisionTowerKind(StrEnum):
    """Image encoders of the DeepSeek models."""

    SIGLIP = "siglip"
    SAM_CLIP = "sam-clip"
    SAM_QWEN2 = "sam-qwen2"
    DEEPSEEK_V4 = "deepseek-v4"


@dataclass(frozen=True, kw_only=True)
class VisionTower:
    """Image encoder and projector, replicated or cut as the engine does; zeros where the kind has no such field.

    ``num_marker_vectors`` learned vectors stand around the tokens of an image.
    """

    kind: VisionTowerKind
    num_layers: int
    hidden_size: int
    intermediate_size: int
    patch_size: int
    projector: str = ""
    projector_input: int = 0
    num_heads: int = 0
    downsample_ratio: int = 0
    image_size: int = 0
    num_marker_vectors: int = 0


@hashed_once
@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Everything about a model that its memory and speed depend on.

    Args:
        architecture: the class name of ``config.json``, such as ``DeepseekV3ForCausalLM``.
        max_position_embeddings: longest context in tokens.
        intermediate_size: width of a dense MLP; that of an expert in a model without dense layers.
        stored_precision: how matrix weights are stored.
        quantization_block: rows and columns that share one scale when ``stored_precision`` is FP8_BLOCK.
        quantization_scale_bits: bits of such a scale: 32 (V3) or 8 (``ue8m0`` of V4).
        stored_linear: how linear layers are stored; None follows from ``stored_precision``.
        format_exceptions: modules that the checkpoint stores in another way, such as those it left unquantized.
        num_draft_layers: multi-token-prediction layers in the checkpoint (not loaded unless asked for).
        block_draft: a DSpark draft in the checkpoint (not loaded unless asked for).
        hyper_connection_streams: parallel residual streams (``hc_mult``); 0 for the usual single one.
        hyper_connection_head: whether learned weights merge the streams before the last norm (V4).
        engram: look-up tables in host memory.
        vision: image encoder.
        stated_parameters: weights are counted by this number and not by the widths, for a stand-in of which only the
            size is known (``catalog/generic_model.py``); 0 for a model with a config.
    """

    architecture: str
    model_type: str
    num_layers: int
    hidden_size: int
    vocab_size: int
    max_position_embeddings: int
    intermediate_size: int
    tie_word_embeddings: bool
    attention: Attention
    experts: MixtureOfExperts | None = None
    mlp_bias: bool = False
    stored_precision: StoredPrecision = StoredPrecision.BFLOAT16
    quantization_block: tuple[int, int] | None = None
    quantization_scale_bits: int = 32
    stored_linear: LinearFormat | None = None
    format_exceptions: tuple[FormatException, ...] = ()
    num_draft_layers: int = 0
    block_draft: BlockDraft | None = None
    hyper_connection_streams: int = 0
    hyper_connection_head: bool = False
    engram: Engram | None = None
    vision: VisionTower | None = None
    stated_parameters: int = 0
