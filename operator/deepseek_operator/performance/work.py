"""Bytes that one GPU reads and operations that it does in one pass over the model: the roofline's inputs.

Parameter counts follow the layer definitions of the public ``config.json`` fields (projections of attention,
gated MLPs of three matrices, routed and shared experts, output head). Norms and router biases are left out: they
are below 0.1 % of the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from deepseek_operator.catalog.shapes import GroupedQueryAttention, LatentAttention, ModelShape
from deepseek_operator.memory.parallelism import Parallelism

BF16_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class MatrixParameters:
    """Parameters by how a pass over the model uses them.

    Args:
        dense: attention, dense MLPs, shared experts and routers of all layers: read in every pass.
        per_expert: one routed expert of one layer.
        expert_layers: layers with routed experts.
        output_head: the vocabulary projection, kept in bfloat16 by every quantization.
    """

    dense: int
    per_expert: int
    expert_layers: int
    output_head: int


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one GPU does in one pass over all layers (of all pipeline stages, one after another)."""

    dense_bytes: float
    expert_bytes: float
    kv_bytes: float
    flops: float
    all_reduce_bytes: float


def attention_parameters(attention: GroupedQueryAttention | LatentAttention, hidden_size: int) -> int:
    """Return the projection weights of one attention layer.

    >>> attention_parameters(GroupedQueryAttention(num_heads=64, num_kv_heads=8, head_dim=128), 8192)
    150994944
    """
    if isinstance(attention, GroupedQueryAttention):
        heads = 2 * attention.num_heads + 2 * attention.num_kv_heads
        return hidden_size * attention.head_dim * heads
    query_head_dim = attention.qk_nope_head_dim + attention.qk_rope_head_dim
    query_out = attention.num_heads * query_head_dim
    rank = attention.q_lora_rank
    query = hidden_size * query_out if rank is None else rank * (hidden_size + query_out)
    key_value = hidden_size * (attention.kv_lora_rank + attention.qk_rope_head_dim)
    up = attention.kv_lora_rank * attention.num_heads * (attention.qk_nope_head_dim + attention.v_head_dim)
    output = attention.num_heads * attention.v_head_dim * hidden_size
    index_query = (rank or hidden_size) * attention.index_num_heads * attention.index_head_dim
    index_key = hidden_size * (attention.index_head_dim + attention.index_num_heads)
    index = index_query + index_key if attention.index_topk else 0
    return query + key_value + up + output + index


@lru_cache(maxsize=256)
def matrix_parameters(shape: ModelShape) -> MatrixParameters:
    """Return a model's matrix weights, grouped by how a pass reads them (draft layers excluded)."""
    hidden = shape.hidden_size
    attention = shape.num_layers * attention_parameters(shape.attention, hidden)
    experts = shape.experts
    if experts is None:
        mlp = shape.num_layers * 3 * hidden * shape.intermediate_size
        return MatrixParameters(
            dense=attention + mlp, per_expert=0, expert_layers=0, output_head=hidden * shape.vocab_size
        )
    expert_layers = shape.num_layers - experts.num_dense_layers
    per_expert = 3 * hidden * experts.expert_intermediate_size
    shared = experts.num_shared_experts * per_expert + hidden * experts.num_experts
    dense_mlp = experts.num_dense_layers * 3 * hidden * shape.intermediate_size
    return MatrixParameters(
        dense=attention + dense_mlp + expert_layers * shared,
        per_expert=per_expert,
        expert_layers=expert_layers,
        output_head=hidden * shape.vocab_size,
    )


def experts_touched(num_experts: int, num_experts_per_token: int, tokens: float) -> float:
    """Return how many different experts a layer reads when that many tokens pass through it.

    Expected number of distinct experts under uniform routing, ``E x (1 - (1 - k/E)^T)``. Real routing is skewed,
    so fewer are touched at small batches.

    >>> round(experts_touched(256, 8, 1), 1), round(experts_touched(256, 8, 64), 1)
    (8.0, 222.4)
    """
    missed: float = (1.0 - num_experts_per_token / num_experts) ** tokens
    return num_experts * (1.0 - missed)


def decode_work(
    shape: ModelShape,
    parallelism: Parallelism,
    *,
    bytes_per_parameter: float,
    kv_bytes_per_token: float,
    batch: int,
    context_tokens: float,
) -> Work:
    """Return one GPU's work for one decode step.

    Args:
        shape: the model.
        parallelism: the split; pipeline stages work on ``batch / pipeline`` requests each, one after another.
        bytes_per_parameter: of quantizable matrices, scales included.
        kv_bytes_per_token: bytes that one GPU column (all stages) stores per cached token.
        batch: requests decoding at the same time in the replica, 1 or more.
        context_tokens: mean cached tokens per request.
    """
    tokens_in_step = max(1.0, batch / parallelism.pipeline)
    tokens_per_group = max(1.0, tokens_in_step / parallelism.data)
    read_tokens = float(context_tokens)
    if isinstance(shape.attention, LatentAttention) and shape.attention.index_topk:
        read_tokens = min(read_tokens, float(shape.attention.index_topk))
    return _weight_work(
        shape,
        parallelism,
        bytes_per_parameter=bytes_per_parameter,
        tokens_in_step=tokens_in_step,
        tokens_per_group=tokens_per_group,
        sampled_tokens=tokens_per_group,
        kv_bytes=tokens_per_group * read_tokens * kv_bytes_per_token,
        attention_flops=tokens_per_group * _attention_flops_per_pair(shape) * read_tokens,
    )


def prefill_work(shape: ModelShape, parallelism: Parallelism, *, bytes_per_parameter: float, input_tokens: int) -> Work:
    """Return one GPU's work to read one prompt; causal attention counts half of the pairs."""
    pairs = input_tokens * (input_tokens + 1) / 2
    return _weight_work(
        shape,
        parallelism,
        bytes_per_parameter=bytes_per_parameter,
        tokens_in_step=float(input_tokens),
        tokens_per_group=float(input_tokens),
        sampled_tokens=1.0,
        kv_bytes=0.0,
        attention_flops=_attention_flops_per_pair(shape) * pairs,
    )


def _attention_flops_per_pair(shape: ModelShape) -> float:
    """Operations for one query token against one cached token over all layers: scores and weighted values."""
    attention = shape.attention
    if isinstance(attention, GroupedQueryAttention):
        widths = 2 * attention.head_dim
    else:
        widths = attention.qk_nope_head_dim + attention.qk_rope_head_dim + attention.v_head_dim
    return 2.0 * shape.num_layers * attention.num_heads * widths


def _weight_work(
    shape: ModelShape,
    parallelism: Parallelism,
    *,
    bytes_per_parameter: float,
    tokens_in_step: float,
    tokens_per_group: float,
    sampled_tokens: float,
    kv_bytes: float,
    attention_flops: float,
) -> Work:
    parameters = matrix_parameters(shape)
    tensor = parallelism.tensor
    expert_ranks = tensor * parallelism.data
    expert_bytes = 0.0
    expert_flops = 0.0
    if shape.experts is not None:
        touched = experts_touched(shape.experts.num_experts, shape.experts.num_experts_per_token, tokens_in_step)
        layer_parameters = parameters.per_expert * parameters.expert_layers
        expert_bytes = touched * layer_parameters * bytes_per_parameter / expert_ranks
        expert_flops = 2.0 * tokens_in_step * shape.experts.num_experts_per_token * layer_parameters / expert_ranks
    dense_flops = 2.0 * tokens_per_group * parameters.dense + 2.0 * sampled_tokens * parameters.output_head
    all_reduces = 2 * shape.num_layers
    ring_share = 2.0 * (tensor - 1) / tensor
    return Work(
        dense_bytes=(parameters.dense * bytes_per_parameter + parameters.output_head * BF16_BYTES) / tensor,
        expert_bytes=expert_bytes,
        kv_bytes=kv_bytes,
        flops=(dense_flops + attention_flops) / tensor + expert_flops,
        all_reduce_bytes=all_reduces * ring_share * tokens_per_group * shape.hidden_size * BF16_BYTES,
    )
