"""Bytes that one GPU reads and operations that it does in one pass over the model: the roofline's inputs.

Parameter counts follow the layer definitions of the public ``config.json`` fields (projections of attention,
gated MLPs of three matrices, routed and shared experts, output head). Norms and router biases are left out: they
are below 0.1 % of the bytes. V4 and V4.1 take them from the tensors that ``memory`` knows, because much of their
layers is neither cut by tensor parallelism nor quantized.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from deepseek_operator.catalog.shapes import CompressedAttention, GroupedQueryAttention, LatentAttention, ModelShape
from deepseek_operator.memory.feed_forward_tensors import FP4_EXPERTS
from deepseek_operator.memory.layer_tensors import layer_tensors
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.stages import kinds_of_stage, stages
from deepseek_operator.memory.tensors import Axis, Group, Storage
from deepseek_operator.performance.compressed_attention import (
    AttentionWork,
    decode_attention,
    prefill_attention,
    stored_elements_per_token,
)

BF16_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class MatrixParameters:
    """Parameters by how a pass over the model uses them.

    Args:
        dense: attention, dense MLPs, shared experts and routers of all layers: read in every pass.
        per_expert: one routed expert of one layer.
        expert_layers: layers with routed experts.
        output_head: the vocabulary projection, kept in bfloat16 by every quantization.
        replicated: read whole by every rank, and quantizable (V4, V4.1).
        unquantized: read whole by every rank, in a precision of its own.
        unquantized_bytes: bytes of the latter.
    """

    dense: int
    per_expert: int
    expert_layers: int
    output_head: int
    replicated: int = 0
    unquantized: int = 0
    unquantized_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one GPU does in one pass over all layers (of all pipeline stages, one after another)."""

    dense_bytes: float
    expert_bytes: float
    kv_bytes: float
    linear_flops: float
    attention_flops: float
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
    if isinstance(shape.attention, CompressedAttention):
        return _compressed_matrices(shape)
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


def _compressed_matrices(shape: ModelShape) -> MatrixParameters:
    """Return the weights of V4 and V4.1 from their tensors, without look-up tables: a pass reads a few rows."""
    counts = {"dense": 0, "replicated": 0, "unquantized": 0, "unquantized_bytes": 0}
    (whole,) = stages(shape, 1)
    for kind, layers in kinds_of_stage(shape, whole):
        for tensor in layer_tensors(shape, kind):
            if tensor.group is Group.ROUTED_EXPERTS or tensor.storage is Storage.INT64:
                continue
            parameters = layers * tensor.parameters
            if tensor.storage is Storage.LINEAR:
                counts["replicated" if tensor.axis is Axis.NONE else "dense"] += parameters
            else:
                counts["unquantized"] += parameters
                counts["unquantized_bytes"] += parameters * (4 if tensor.storage is Storage.FLOAT32 else BF16_BYTES)
    experts = shape.experts
    return MatrixParameters(
        per_expert=3 * shape.hidden_size * experts.expert_intermediate_size if experts else 0,
        expert_layers=shape.num_layers if experts else 0,
        output_head=shape.hidden_size * shape.vocab_size,
        **counts,
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
    attention = _decode_attention(shape, float(context_tokens))
    return _weight_work(
        shape,
        parallelism,
        bytes_per_parameter=bytes_per_parameter,
        tokens_in_step=tokens_in_step,
        tokens_per_group=tokens_per_group,
        sampled_tokens=tokens_per_group,
        kv_bytes=tokens_per_group * _tokens_read(shape, attention) * kv_bytes_per_token,
        attention=attention.times(tokens_per_group),
    )


@lru_cache(maxsize=1024)
def prefill_work(shape: ModelShape, parallelism: Parallelism, *, bytes_per_parameter: float, input_tokens: int) -> Work:
    """Return one GPU's work to read one prompt; causal attention counts half of the pairs.

    Experts also serve the prompts that the other data-parallel engines read meanwhile.
    """
    return _weight_work(
        shape,
        parallelism,
        bytes_per_parameter=bytes_per_parameter,
        tokens_in_step=float(input_tokens * parallelism.data),
        tokens_per_group=float(input_tokens),
        sampled_tokens=1.0,
        kv_bytes=0.0,
        attention=_prefill_attention(shape, input_tokens),
    )


def _decode_attention(shape: ModelShape, context_tokens: float) -> AttentionWork:
    """Return the work of one query; ``read_elements`` counts tokens where the cache keeps one entry per token."""
    attention = shape.attention
    if isinstance(attention, CompressedAttention):
        return decode_attention(shape, attention, context_tokens)
    read = context_tokens
    if isinstance(attention, LatentAttention) and attention.index_topk:
        read = min(read, float(attention.index_topk))
    return AttentionWork(flops=_flops_per_pair(shape) * read, index_flops=0.0, read_elements=read)


def _prefill_attention(shape: ModelShape, input_tokens: int) -> AttentionWork:
    attention = shape.attention
    if isinstance(attention, CompressedAttention):
        return prefill_attention(shape, attention, input_tokens)
    pairs = input_tokens * (input_tokens + 1) / 2
    return AttentionWork(flops=_flops_per_pair(shape) * pairs, index_flops=0.0, read_elements=pairs)


def _tokens_read(shape: ModelShape, attention: AttentionWork) -> float:
    """Return what a query reads, in tokens' worth of the growing cache."""
    if isinstance(shape.attention, CompressedAttention):
        stored = stored_elements_per_token(shape, shape.attention)
        return attention.read_elements / stored if stored else 0.0
    return attention.read_elements


def _flops_per_pair(shape: ModelShape) -> float:
    """Operations for one query token against one cached token over all layers: scores and weighted values."""
    attention = shape.attention
    if isinstance(attention, LatentAttention):
        widths = attention.qk_nope_head_dim + attention.qk_rope_head_dim + attention.v_head_dim
    else:
        widths = 2 * attention.head_dim
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
    attention: AttentionWork,
) -> Work:
    parameters = matrix_parameters(shape)
    tensor = parallelism.tensor
    expert_ranks = tensor * parallelism.data
    expert_bytes = 0.0
    expert_flops = 0.0
    if shape.experts is not None:
        touched = experts_touched(shape.experts.num_experts, shape.experts.num_experts_per_token, tokens_in_step)
        layer_parameters = parameters.per_expert * parameters.expert_layers
        expert_bytes = touched * layer_parameters * _expert_bytes(shape, bytes_per_parameter) / expert_ranks
        expert_flops = 2.0 * tokens_in_step * shape.experts.num_experts_per_token * layer_parameters / expert_ranks
    dense_flops = 2.0 * tokens_per_group * parameters.dense + 2.0 * sampled_tokens * parameters.output_head
    replicated_flops = 2.0 * tokens_per_group * (parameters.replicated + parameters.unquantized)
    replicated_bytes = parameters.replicated * bytes_per_parameter + parameters.unquantized_bytes
    all_reduces = 2 * shape.num_layers
    ring_share = 2.0 * (tensor - 1) / tensor
    return Work(
        dense_bytes=(parameters.dense * bytes_per_parameter + parameters.output_head * BF16_BYTES) / tensor
        + replicated_bytes,
        expert_bytes=expert_bytes,
        kv_bytes=kv_bytes,
        linear_flops=dense_flops / tensor + expert_flops + replicated_flops,
        attention_flops=attention.flops / tensor + attention.index_flops,
        all_reduce_bytes=all_reduces * ring_share * tokens_per_group * shape.hidden_size * BF16_BYTES,
    )


def _expert_bytes(shape: ModelShape, bytes_per_parameter: float) -> float:
    """Return the stored bytes of a routed expert's weight; fp4 experts stay so unless something smaller is chosen."""
    if shape.experts is None or not shape.experts.stored_fp4:
        return bytes_per_parameter
    return min(bytes_per_parameter, float(FP4_EXPERTS.bits_per_weight) / 8)
