"""Weights of one feed-forward block: a dense MLP, or a router with routed and shared experts."""

from __future__ import annotations

from deepseek_operator.catalog.linear_modules import EXPERTS
from deepseek_operator.catalog.shapes import MixtureOfExperts
from deepseek_operator.memory.tensors import Axis, Component, Group, LinearFormat, Storage, WeightTensor


def dense_mlp_tensors(hidden_size: int, intermediate_size: int, bias: bool) -> tuple[WeightTensor, ...]:
    """Return gate and up (one fused tensor) and down projection of a dense MLP."""
    names = ("mlp.gate_up_proj", "mlp.down_proj")
    weights = _gated(Component.DENSE_MLP, names, hidden_size, intermediate_size, Group.TENSOR)
    if not bias:
        return weights
    up, down = (
        WeightTensor(component=Component.DENSE_MLP, row_parts=rows, axis=axis, storage=Storage.MODEL)
        for rows, axis in (
            (((intermediate_size, 1), (intermediate_size, 1)), Axis.ROWS),
            (((hidden_size, 1),), Axis.NONE),
        )
    )
    return (*weights, up, down)


FP4_EXPERTS = LinearFormat(weight_bits=4, group_rows=1, group_columns=32, scale_bits=8)
"""e2m1 with one ue8m0 scale per 32 elements: 4.25 bits (V4 checkpoints; vLLM 0.32.0 ``quantization/mxfp4.py``)."""

FP4_EXPERT_TILE = 128
"""Multiple to which the engine rounds up a rank's share of the width of fp4 experts.

Source: vLLM 0.32.0 ``fused_moe/oracle/mxfp4.py`` ``mxfp4_round_up_hidden_size_and_intermediate_size``: DeepGEMM,
Marlin, TRT-LLM and CUTLASS alike.
"""


def mixture_tensors(
    experts: MixtureOfExperts,
    hidden_size: int,
    *,
    table_rows: int = 0,
    scale_bits: int = 32,
    shared_unit: int = 1,
) -> tuple[WeightTensor, ...]:
    """Return router, routed and shared experts of one layer.

    The router is replicated; V3's correction bias counts as a parameter because the checkpoint stores it.

    Args:
        experts: their number and widths, and how they are stored.
        hidden_size: width of the residual stream.
        table_rows: vocabulary of a layer that chooses experts by a table (V4); 0 for one that scores them.
        scale_bits: bits of a scale of FP8 experts with blocks of their own.
        shared_unit: rows that a cut of the shared experts keeps together; V4 fills the last share up with zeros.
    """
    width = experts.expert_intermediate_size
    routed = _gated(
        Component.ROUTED_EXPERTS,
        (EXPERTS, EXPERTS),
        hidden_size,
        width,
        Group.ROUTED_EXPERTS,
        copies=experts.num_experts,
        stored=_stored_format(experts, scale_bits),
        unit=FP4_EXPERT_TILE if experts.stored_fp4 else 1,
    )
    tensors = [*_router(experts, hidden_size, table_rows), *routed]
    if experts.num_shared_experts:
        shared = experts.num_shared_experts * width
        names = ("mlp.shared_experts.gate_up_proj", "mlp.shared_experts.down_proj")
        tensors += _gated(Component.SHARED_EXPERTS, names, hidden_size, shared, Group.SHARED_EXPERTS, unit=shared_unit)
    return tuple(tensors)


def _stored_format(experts: MixtureOfExperts, scale_bits: int) -> LinearFormat | None:
    """Return how the checkpoint stores the routed experts where that is not as its other layers."""
    if experts.stored_fp4:
        return FP4_EXPERTS
    if experts.stored_block is None:
        return None
    rows, columns = experts.stored_block
    return LinearFormat(weight_bits=8, group_rows=rows, group_columns=columns, scale_bits=scale_bits)


def _router(experts: MixtureOfExperts, hidden_size: int, table_rows: int) -> tuple[WeightTensor, ...]:
    """The projection, a correction bias for texts and one for images, and the table of a hash layer.

    Source: vLLM 0.32.0 ``models/deepseek_v4/nvidia/model.py`` ``DeepseekV4MoE``: hash layers have a bias only in
    checkpoints that read images. The table is int64 in the checkpoint and with the expert-parallel kernels, else
    int32: 3 MB less per layer than counted here.
    """
    projection = WeightTensor(
        component=Component.ROUTER,
        row_parts=((experts.num_experts, 1),),
        columns=hidden_size,
        storage=Storage.MODEL,
    )
    has_text_bias = experts.router_bias and (not table_rows or experts.router_image_bias)
    bias = WeightTensor(component=Component.ROUTER, row_parts=((experts.num_experts, 1),), storage=Storage.FLOAT32)
    table = WeightTensor(
        component=Component.ROUTER_HASH_TABLE,
        row_parts=((table_rows, 1),),
        columns=experts.num_experts_per_token,
        storage=Storage.INT64,
    )
    biases = (bias,) * (has_text_bias + experts.router_image_bias)
    return (projection, *biases, table) if table_rows else (projection, *biases)


def _gated(
    component: Component,
    modules: tuple[str, str],
    hidden_size: int,
    intermediate_size: int,
    group: Group,
    copies: int = 1,
    stored: LinearFormat | None = None,
    unit: int = 1,
) -> tuple[WeightTensor, ...]:
    gate_and_up = WeightTensor(
        component=component,
        row_parts=((intermediate_size, unit), (intermediate_size, unit)),
        columns=hidden_size,
        axis=Axis.ROWS,
        group=group,
        copies=copies,
        module=modules[0],
        stored=stored,
    )
    down = WeightTensor(
        component=component,
        row_parts=((hidden_size, 1),),
        columns=intermediate_size,
        column_unit=unit,
        axis=Axis.COLUMNS,
        group=group,
        copies=copies,
        module=modules[1],
        stored=stored,
    )
    return (gate_and_up, down)
