"""Widespread rules about memory, put right with this model's own numbers; ``estimate --explain`` prints them."""

from __future__ import annotations

from collections.abc import Mapping

from deepseek_operator.catalog.linear_formats import LinearFormat
from deepseek_operator.catalog.shapes import LatentAttention, ModelShape
from deepseek_operator.memory.estimate import MemoryEstimate
from deepseek_operator.memory.offload_need import request_cache_bytes
from deepseek_operator.memory.stated_weights import stated_bytes
from deepseek_operator.memory.tensors import Component
from deepseek_operator.memory.weights import parameter_counts
from deepseek_operator.units import GIB, format_tokens

GB = 10**9
"""The decimal unit of data sheets and of most published figures; 1 GiB is 1.074 GB."""

PRECISIONS: Mapping[str, LinearFormat] = {
    "FP32": LinearFormat(weight_bits=32),
    "FP16": LinearFormat(weight_bits=16),
    "FP8/INT8": LinearFormat(weight_bits=8),
    "4-bit": LinearFormat(weight_bits=4),
}
"""Bits of an element in the precisions that people compare; scales of groups come on top."""

ADAM_BYTES = {"weight": 2, "gradient": 2, "FP32 weight": 4, "two moments": 8}
"""Bytes per parameter of mixed-precision Adam (Rajbhandari et al. 2020, arXiv 1910.02054, section 3.1)."""


def rules_of_thumb(shape: ModelShape, answer: MemoryEstimate) -> tuple[str, ...]:
    """Return one line per rule that bears on this model.

    Args:
        shape: the model that was estimated.
        answer: its estimate, for the KV cache and the split.
    """
    total = sum(parameter_counts(shape).values())
    return (
        precision_line(total),
        sharding_line(total, answer.parallelism.world_size),
        *_expert_lines(shape),
        *_cache_lines(shape, answer),
        training_line(total),
    )


def precision_line(parameters: int) -> str:
    """Return the weights of so many parameters in every common precision.

    >>> precision_line(13_000_000_000)[:99]
    'weights by precision = 13,000,000,000 parameters x bits / 8: FP32 52.0 GB (48.4 GiB), FP16 26.0 GB '
    """
    sizes = ", ".join(
        f"{name} {_gb(size)} ({size / GIB:.1f} GiB)"
        for name, size in ((name, stated_bytes(parameters, bits)) for name, bits in PRECISIONS.items())
    )
    return (
        f"weights by precision = {parameters:,} parameters x bits / 8: {sizes}; from FP16, 8 bits halve and 4 bits "
        "quarter, scales of 4-bit formats add 3 to 13 %"
    )


def sharding_line(parameters: int, gpus: int) -> str:
    """Return the share of one GPU, if nothing were repeated.

    >>> sharding_line(67_000_000_000, 8)
    'FP16 weights over GPUs = 134.0 GB / 8 = 16.75 GB each, if nothing were repeated on them'
    """
    whole = stated_bytes(parameters, PRECISIONS["FP16"])
    return (
        f"FP16 weights over GPUs = {_gb(whole)} / {gpus} = {whole / gpus / GB:.2f} GB each, if nothing were repeated "
        "on them"
    )


def active_parameters(shape: ModelShape) -> int:
    """Return the parameters that one token passes through, input embedding included.

    Of the routed experts only ``num_experts_per_token`` of ``num_experts`` count, of look-up tables in host memory
    (V4.1) nothing: a token reads a few of their rows.
    """
    counts = {name: count for name, count in parameter_counts(shape).items() if name is not Component.ENGRAM_TABLES}
    routed = counts.get(Component.ROUTED_EXPERTS, 0)
    if shape.experts is None:
        return sum(counts.values())
    return sum(counts.values()) - routed + routed * shape.experts.num_experts_per_token // shape.experts.num_experts


def training_line(parameters: int) -> str:
    """Return what mixed-precision Adam keeps per parameter, and in all."""
    parts = ", ".join(f"{name} {size} B" for name, size in ADAM_BYTES.items())
    per_parameter = sum(ADAM_BYTES.values())
    optimizer = ADAM_BYTES["FP32 weight"] + ADAM_BYTES["two moments"]
    return (
        f"training all parameters with mixed-precision Adam = {per_parameter} B each ({parts}) = "
        f"{_gb(per_parameter * parameters)}, {_gb(optimizer * parameters)} of them optimizer, before activations"
    )


def _expert_lines(shape: ModelShape) -> tuple[str, ...]:
    experts = shape.experts
    if experts is None:
        return ()
    total, active = sum(parameter_counts(shape).values()), active_parameters(shape)
    return (
        f"experts: a token passes through {experts.num_experts_per_token} of {experts.num_experts} per layer, "
        f"{active:,} of {total:,} parameters ({100 * active / total:.1f} %): computing falls to that share, "
        "memory does not, because all experts stay resident unless they are offloaded",
    )


def _cache_lines(shape: ModelShape, answer: MemoryEstimate) -> tuple[str, ...]:
    rank, context = answer.worst_rank, answer.settings.max_model_len
    request, weights = request_cache_bytes(answer, rank.stage), rank.weights_bytes
    if not request:
        return ()
    lines = [
        f"KV cache and weights have no fixed ratio: one request of {format_tokens(context)} takes {_gb(request)} "
        f"beside {_gb(weights)} of weights on a rank ({request / weights:.3g} x), and every further token in flight "
        f"{answer.kv_cache_bytes_per_token:,} B",
    ]
    if isinstance(shape.attention, LatentAttention):
        lines.append(
            f"latent attention stores {latent_ratio(shape.attention):.0f} x less than separate keys and values of its "
            f"{shape.attention.num_heads} heads would take"
        )
    return tuple(lines)


def latent_ratio(attention: LatentAttention) -> float:
    """Return how many times more separate keys and values of all heads would store than the latent state."""
    key = attention.qk_nope_head_dim + attention.qk_rope_head_dim
    separate = attention.num_heads * (key + attention.v_head_dim)
    return separate / (attention.kv_lora_rank + attention.qk_rope_head_dim)


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / GB:.1f} GB"
