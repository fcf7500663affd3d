"""Activations that one layer keeps for the backward pass.

The anchor is Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models" (arXiv
2205.05198), table 2: a GPT layer of s tokens, batch b, hidden size h and a heads keeps ``s b h (34 + 5 a s / h)`` bytes
in 16 bits, ``s b h (10 + 24 / t + 5 a s / (h t))`` under tensor parallelism t, ``s b h / t (34 + 5 a s / h)`` with
sequence parallelism, ``34 s b h / t`` with selective and ``2 s b h`` with full recomputation.
Their terms are written here per token and per tensor, so that the same sum holds for other layers. With an element
of e bytes (e = 2 gives the paper's numbers):

=====================================  ==================  ============================================
tensor                                 elements per token  cut by tensor parallelism
=====================================  ==================  ============================================
input of each of the two norms         2 h                 with sequence parallelism only
input of QKV and of the MLP            2 h                 with sequence parallelism only
queries, keys, values                  (a + 2 kv) d        yes (MHA: 3 h)
input of the output projection         a d_v               yes (MHA: h)
input and output of the activation     2 f                 yes (GPT: f = 4 h); gated: 3 f (gate, up, product)
dropout masks, one byte each           2 h                 with sequence parallelism only
scores without flash attention         a s                 yes; softmax output, and with dropout its mask (1
                                                           byte) and its output: 5 a s bytes, else 2 a s
=====================================  ==================  ============================================

GPT: ``e (2 h + 2 h + 3 h + h + 8 h) + 2 h = 34 h`` bytes per token. Flash attention (Dao et al. 2022, arXiv
2205.14135) keeps the softmax statistics, 4 bytes per head and token, in place of the scores. Latent attention trains
in its multi-head form: on top of queries, keys and values it keeps the compressed query and key-value states before
and after their norms, on every rank. A mixture of experts keeps the router's probabilities, ``k`` copies of each
token as the experts' input, their gated activations, and ``k`` outputs that wait for their weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepseek_operator.catalog.shapes import GroupedQueryAttention, LatentAttention, MixtureOfExperts, ModelShape
from deepseek_operator.errors import UnsupportedModelError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.training.settings import TrainingSettings
from deepseek_operator.units import ceil_div

SOFTMAX_STATISTICS_BYTES = 4
"""Log-sum-exp of one head and token in FP32 (Dao et al. 2022, algorithm 2)."""

ROUTER_BYTES_PER_EXPERT = 8
"""Logits and probabilities of one expert and token in FP32 (Megatron-LM ``moe_router_dtype``, DeepSeek-V3 gate)."""


@dataclass(frozen=True, kw_only=True)
class LayerActivations:
    """Bytes that one layer keeps on one rank.

    Args:
        linear_bytes: what grows with the tokens.
        score_bytes: the attention scores, which grow with tokens x sequence length; 0 with flash attention.
        input_bytes: the input of the layer, all that full checkpointing keeps.
    """

    linear_bytes: int
    score_bytes: int
    input_bytes: int

    @property
    def total_bytes(self) -> int:
        """Bytes without checkpointing."""
        return self.linear_bytes + self.score_bytes


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Elements per token of one layer: on every rank, cut by tensor parallelism, and bytes beside elements."""

    replicated: int = 0
    divided: int = 0
    divided_bytes: int = 0

    def __add__(self, other: Widths) -> Widths:
        return Widths(
            replicated=self.replicated + other.replicated,
            divided=self.divided + other.divided,
            divided_bytes=self.divided_bytes + other.divided_bytes,
        )


def covered_attention(shape: ModelShape) -> GroupedQueryAttention | LatentAttention:
    """Return the attention of a model that these formulas describe.

    Raises:
        UnsupportedModelError: they do not; the text names the architecture and what is not covered.
    """
    attention: object = shape.attention
    if not isinstance(attention, GroupedQueryAttention | LatentAttention):
        uncovered = "its attention over compressed states is"
    elif isinstance(attention, LatentAttention) and attention.index_num_heads:
        uncovered = "its indexer, whose scores grow with the square of the sequence, is"
    elif shape.hyper_connection_streams:
        uncovered = "its parallel residual streams are"
    elif shape.engram is not None:
        uncovered = "its look-up tables in host memory are"
    elif shape.vision is not None:
        uncovered = "its image encoder is"
    else:
        return attention
    raise UnsupportedModelError(
        f"training memory of {shape.architecture} is not known, because {uncovered} not covered by the formulas; "
        "its memory for serving is planned without --mode"
    )


def layer_activations(
    shape: ModelShape, split: Parallelism, settings: TrainingSettings, *, is_moe: bool
) -> LayerActivations:
    """Return what one decoder layer keeps on one rank for one micro-batch, without checkpointing.

    Args:
        shape: a covered model (``covered_attention``).
        split: how it is cut; only the tensor ranks matter here. Experts that are dealt out receive as many tokens
            as they give away (balanced routing), so that expert parallelism changes nothing but the width.
        settings: batch, sequence and kernels.
        is_moe: whether the layer has routed experts.

    Source: see the module; anchored to Korthikanti et al. 2022 in the tests.
    """
    widths = attention_widths(shape, split, settings)
    if is_moe and shape.experts is not None:
        widths += _mixture_widths(shape.experts, shape.hidden_size, settings)
    else:
        widths += mlp_widths(shape.intermediate_size, settings, gated=True)
    return layer_bytes(shape.hidden_size, shape.attention.num_heads, widths, split, settings)


def layer_bytes(
    hidden_size: int, num_heads: int, widths: Widths, split: Parallelism, settings: TrainingSettings
) -> LayerActivations:
    """Return the bytes of a layer from the elements of its two blocks.

    Args:
        hidden_size: width of the residual stream.
        num_heads: attention heads.
        widths: what ``attention_widths`` and ``mlp_widths`` say.
        split: how the layer is cut.
        settings: batch, sequence and kernels.
    """
    element, tensor, tokens = settings.dtype.element_bytes, split.tensor, settings.tokens
    norms = 2 * hidden_size * (element if settings.fused_kernels else 4 + element)
    inputs = 2 * hidden_size * element
    masks = 2 * hidden_size if settings.dropout else 0
    residual_ways = tensor if settings.sequence_parallel else 1
    linear = (
        ceil_div(tokens * (norms + inputs + masks), residual_ways)
        + tokens * widths.replicated * element
        + ceil_div(tokens * (widths.divided * element + widths.divided_bytes), tensor)
    )
    return LayerActivations(
        linear_bytes=linear,
        score_bytes=_score_bytes(num_heads, split, settings),
        input_bytes=ceil_div(tokens * hidden_size * element, residual_ways),
    )


def attention_widths(shape: ModelShape, split: Parallelism, settings: TrainingSettings) -> Widths:
    """Return the elements per token that attention keeps beside the inputs of its block."""
    attention = covered_attention(shape)
    statistics = SOFTMAX_STATISTICS_BYTES * attention.num_heads if settings.flash_attention else 0
    if isinstance(attention, LatentAttention):
        return _latent_widths(attention) + Widths(divided_bytes=statistics)
    kv_heads = max(attention.num_kv_heads, split.tensor)
    query_and_output = 2 * attention.num_heads * attention.head_dim
    key_value = 2 * kv_heads * attention.head_dim
    normed = (attention.num_heads + kv_heads) * attention.head_dim if attention.qk_norm else 0
    return Widths(divided=query_and_output + key_value + normed, divided_bytes=statistics)


def mlp_widths(intermediate_size: int, settings: TrainingSettings, *, gated: bool) -> Widths:
    """Return the elements per token that an MLP keeps beside its input; ``gated`` as Llama, else as GPT.

    Plain PyTorch also keeps the activation's output, which the product with ``up`` needs.
    """
    if not gated:
        return Widths(divided=2 * intermediate_size)
    return Widths(divided=(3 if settings.fused_kernels else 4) * intermediate_size)


def _latent_widths(attention: LatentAttention) -> Widths:
    query_head = attention.qk_nope_head_dim + attention.qk_rope_head_dim
    compressed = 2 * attention.kv_lora_rank + attention.qk_rope_head_dim + 2 * (attention.q_lora_rank or 0)
    per_head = 2 * query_head + 2 * attention.v_head_dim
    return Widths(replicated=compressed, divided=attention.num_heads * per_head)


def _mixture_widths(experts: MixtureOfExperts, hidden_size: int, settings: TrainingSettings) -> Widths:
    """Routed copies stay whole on every tensor rank unless sequence parallelism deals them out."""
    copies = experts.num_experts_per_token
    routed = 2 * copies * hidden_size
    width = copies * experts.expert_intermediate_size
    width += experts.num_shared_experts * experts.expert_intermediate_size
    gated = mlp_widths(width, settings, gated=True)
    router = Widths(divided_bytes=ROUTER_BYTES_PER_EXPERT * experts.num_experts)
    if settings.sequence_parallel:
        return gated + router + Widths(divided=routed)
    return gated + router + Widths(replicated=routed)


def _score_bytes(num_heads: int, split: Parallelism, settings: TrainingSettings) -> int:
    """Return the bytes of the softmax output, the dropout mask, and what is multiplied with the values.

    Plain PyTorch takes the softmax in FP32 and keeps both it and its cast to 16 bits.
    """
    if settings.flash_attention:
        return 0
    element = settings.dtype.element_bytes
    softmax = element if settings.fused_kernels else 4
    cast = element if softmax != element or settings.dropout else 0
    mask = 1 if settings.dropout else 0
    return ceil_div(num_heads * settings.tokens * settings.sequence_length * (softmax + mask + cast), split.tensor)
