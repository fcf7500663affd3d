"""The shape of a model as planning needs it: what ``config.json`` says, under the field's own names.

Values only; reading a config lies in ``catalog/hf_config.py``, bytes lie in ``memory/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StoredPrecision(StrEnum):
    """How the checkpoint stores the weights that quantization may touch."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FP8_BLOCK = "fp8-block"


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
class MixtureOfExperts:
    """Routed and shared experts of the layers after the first ``num_dense_layers``."""

    num_experts: int
    num_experts_per_token: int
    num_shared_experts: int
    expert_intermediate_size: int
    num_dense_layers: int
    router_bias: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Everything about a model that its memory and speed depend on.

    Args:
        architecture: the class name of ``config.json``, such as ``DeepseekV3ForCausalLM``.
        max_position_embeddings: longest context in tokens.
        intermediate_size: width of a dense MLP.
        stored_precision: how matrix weights are stored.
        quantization_block: rows and columns that share one scale when ``stored_precision`` is FP8_BLOCK.
        num_draft_layers: multi-token-prediction layers in the checkpoint (not loaded unless asked for).
    """

    architecture: str
    model_type: str
    num_layers: int
    hidden_size: int
    vocab_size: int
    max_position_embeddings: int
    intermediate_size: int
    tie_word_embeddings: bool
    attention: GroupedQueryAttention | LatentAttention
    experts: MixtureOfExperts | None = None
    mlp_bias: bool = False
    stored_precision: StoredPrecision = StoredPrecision.BFLOAT16
    quantization_block: tuple[int, int] | None = None
    num_draft_layers: int = 0
