"""LoRA adapters: the linear modules of a layer under their own names, and the matrices that are trained beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deepseek_operator.catalog.shapes import LatentAttention, ModelShape
from deepseek_operator.errors import InvalidSpecError, near_matches, shortened
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.stages import Stage
from deepseek_operator.memory.tensors import Component
from deepseek_operator.memory.training.activations import covered_attention
from deepseek_operator.memory.training.parameters import RankMatrix
from deepseek_operator.units import ceil_div

ALL_LINEAR = "all-linear"
"""Every linear module of the layers, not the output head: PEFT's own name for it."""

ADAPTER_BYTES = 4
"""PEFT keeps adapter weights in FP32 (``autocast_adapter_dtype``), so that they need no master copy."""

NF4_BLOCK = 64
NF4_SCALES_PER_BLOCK = 256
"""Weights that share a scale, and scales that share a second one (Dettmers et al. 2023, QLoRA, arXiv 2305.14314,
section 3): 32 / 64 = 0.5 bits per weight, with double quantization 8 / 64 + 32 / (64 x 256) = 0.127 bits."""


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """What a LoRA run adds to ``TrainingSettings``. The option of ``--mode lora`` stands behind each field.

    Args:
        rank: inner width of every adapter (``--lora-rank``).
        target_modules: names of linear modules, or ``all-linear`` (``--lora-target-modules``, separated by commas).
        adapt_routed_experts: adapters in each routed expert too (``--lora-routed-experts``); transformers 5 fuses the
            experts into one parameter that module names do not match, older model code has one module each.
        quantize_base: QLoRA, the frozen linear weights are stored in NF4 (``--qlora``).
        double_quantization: the scales of NF4 are quantized too (``--no-double-quantization``).
    """

    rank: int = 16
    target_modules: tuple[str, ...] = (ALL_LINEAR,)
    adapt_routed_experts: bool = False
    quantize_base: bool = False
    double_quantization: bool = True


@dataclass(frozen=True, kw_only=True)
class LinearModule:
    """Equal linear modules of one layer.

    Args:
        name: of the module, without its path.
        rows: output features.
        columns: input features.
        count: how many a layer has (routed experts: all of them).
        uses_per_token: how many of them one token passes through.
        cuts_rows: tensor parallelism cuts the output; else the input; None leaves the module whole.
        is_routed: an expert's.
    """

    name: str
    rows: int
    columns: int
    count: int = 1
    uses_per_token: int = 1
    cuts_rows: bool | None = True
    is_routed: bool = False

    @property
    def parameters(self) -> int:
        """Parameters of all of them."""
        return self.count * self.rows * self.columns


def linear_modules(shape: ModelShape, *, is_moe: bool) -> tuple[LinearModule, ...]:
    """Return the linear modules of one layer, as the model's code names them.

    Source: transformers 5.23.0 ``models/{llama,qwen2,qwen3,deepseek_v2,deepseek_v3}/modeling_*.py``; the router is
    no linear module there.
    """
    return (*_attention_modules(shape), *_feed_forward_modules(shape, is_moe=is_moe))


def targets(shape: ModelShape, settings: LoraSettings, *, is_moe: bool) -> tuple[LinearModule, ...]:
    """Return the modules of one layer that get an adapter.

    Raises:
        InvalidSpecError: a name that no layer has, or a rank outside 1 to the hidden size; the text lists names.
    """
    if not 1 <= settings.rank <= shape.hidden_size:
        raise InvalidSpecError(
            "lora-rank", f"{settings.rank} is no number from 1 to the hidden size {shape.hidden_size}"
        )
    _refuse_unknown_modules(shape, settings)
    return tuple(
        module
        for module in linear_modules(shape, is_moe=is_moe)
        if (settings.adapt_routed_experts or not module.is_routed)
        and (ALL_LINEAR in settings.target_modules or module.name in settings.target_modules)
    )


def adapter_matrices(
    shape: ModelShape, stage: Stage, split: Parallelism, settings: LoraSettings
) -> tuple[RankMatrix, ...]:
    """Return A (rank x input) and B (output x rank) of every adapter on one rank of a stage.

    Source: Hu et al. 2021, "LoRA" (arXiv 2106.09685), section 4.1. Where tensor parallelism cuts a module's output it
    cuts B, where it cuts the input it cuts A; the other matrix is on every rank.
    """
    return tuple(
        matrix
        for is_moe, layers in ((False, stage.num_dense_layers), (True, stage.num_moe_layers))
        if layers
        for module in targets(shape, settings, is_moe=is_moe)
        for matrix in _pair(module, layers, split, settings.rank)
    )


def adapter_activation_bytes(
    shape: ModelShape, split: Parallelism, settings: LoraSettings, tokens: int, *, is_moe: bool
) -> int:
    """Return what the adapters of one layer keep for their backward pass: A's input and output in FP32."""
    per_token = sum(
        module.uses_per_token
        * (ceil_div(module.columns, split.tensor if module.cuts_rows is False else 1) + settings.rank)
        for module in targets(shape, settings, is_moe=is_moe)
    )
    return tokens * per_token * ADAPTER_BYTES


def nf4_bytes(elements: int, double_quantization: bool) -> int:
    """Return the bytes of a matrix in 4-bit NormalFloat with its scales.

    >>> nf4_bytes(4096 * 4096, double_quantization=True) * 8 / 4096**2
    4.126953125
    """
    blocks = ceil_div(elements, NF4_BLOCK)
    scales = 4 * blocks
    if double_quantization:
        scales = blocks + 4 * ceil_div(blocks, NF4_SCALES_PER_BLOCK)
    return ceil_div(elements, 2) + scales


def _attention_modules(shape: ModelShape) -> tuple[LinearModule, ...]:
    attention, hidden = covered_attention(shape), shape.hidden_size
    if not isinstance(attention, LatentAttention):
        query, key_value = attention.num_heads * attention.head_dim, attention.num_kv_heads * attention.head_dim
        return (
            LinearModule(name="q_proj", rows=query, columns=hidden),
            LinearModule(name="k_proj", rows=key_value, columns=hidden),
            LinearModule(name="v_proj", rows=key_value, columns=hidden),
            LinearModule(name="o_proj", rows=hidden, columns=query, cuts_rows=False),
        )
    latent, rank = attention.kv_lora_rank, attention.q_lora_rank
    query = attention.num_heads * (attention.qk_nope_head_dim + attention.qk_rope_head_dim)
    up = attention.num_heads * (attention.qk_nope_head_dim + attention.v_head_dim)
    queries: tuple[LinearModule, ...] = (LinearModule(name="q_proj", rows=query, columns=hidden),)
    if rank is not None:
        queries = (
            LinearModule(name="q_a_proj", rows=rank, columns=hidden, cuts_rows=None),
            LinearModule(name="q_b_proj", rows=query, columns=rank),
        )
    compressed = latent + attention.qk_rope_head_dim
    return (
        *queries,
        LinearModule(name="kv_a_proj_with_mqa", rows=compressed, columns=hidden, cuts_rows=None),
        LinearModule(name="kv_b_proj", rows=up, columns=latent),
        LinearModule(name="o_proj", rows=hidden, columns=attention.num_heads * attention.v_head_dim, cuts_rows=False),
    )


def _feed_forward_modules(shape: ModelShape, *, is_moe: bool) -> tuple[LinearModule, ...]:
    experts = shape.experts
    if not is_moe or experts is None:
        return _gated(shape.hidden_size, shape.intermediate_size)
    width = experts.expert_intermediate_size
    shared = _gated(shape.hidden_size, experts.num_shared_experts * width) if experts.num_shared_experts else ()
    routed = tuple(
        LinearModule(
            name=module.name,
            rows=module.rows,
            columns=module.columns,
            count=experts.num_experts,
            uses_per_token=experts.num_experts_per_token,
            cuts_rows=module.cuts_rows,
            is_routed=True,
        )
        for module in _gated(shape.hidden_size, width)
    )
    return (*shared, *routed)


def _gated(hidden_size: int, intermediate_size: int) -> tuple[LinearModule, ...]:
    return (
        LinearModule(name="gate_proj", rows=intermediate_size, columns=hidden_size),
        LinearModule(name="up_proj", rows=intermediate_size, columns=hidden_size),
        LinearModule(name="down_proj", rows=hidden_size, columns=intermediate_size, cuts_rows=False),
    )


def _refuse_unknown_modules(shape: ModelShape, settings: LoraSettings) -> None:
    kinds = (False,) if shape.experts is None else (False, True)
    names = sorted({module.name for is_moe in kinds for module in linear_modules(shape, is_moe=is_moe)})
    if not settings.target_modules:
        raise InvalidSpecError("lora-target-modules", f"is empty; give {ALL_LINEAR} or some of {', '.join(names)}")
    for name in settings.target_modules:
        if name not in names and name != ALL_LINEAR:
            near = near_matches(name, names)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise InvalidSpecError(
                "lora-target-modules",
                f"{shortened(name)!r} is no module of this model; {hint}known are {', '.join(names)} and {ALL_LINEAR}",
            )


def _pair(module: LinearModule, layers: int, split: Parallelism, rank: int) -> Iterator[RankMatrix]:
    dealt = module.is_routed and split.expert
    count = ceil_div(module.count, split.tensor * split.data) if dealt else module.count
    tensor = 1 if dealt else split.tensor
    rows = ceil_div(module.rows, tensor) if module.cuts_rows else module.rows
    columns = ceil_div(module.columns, tensor) if module.cuts_rows is False else module.columns
    for out_features, in_features in ((rank, columns), (rows, rank)):
        yield RankMatrix(
            component=Component.ROUTED_EXPERTS if module.is_routed else Component.ATTENTION,
            rows=out_features,
            columns=in_features,
            count=layers * count,
            is_linear=False,
            copies_over_data=1 if dealt else split.data,
        )
