"""Weights of one feed-forward block: a dense MLP, or a router with routed and shared experts."""

from __future__ import annotations

from deepseek_operator.catalog.linear_modules import EXPERTS
from deepseek_operator.catalog.shapes import MixtureOfExperts
from deepseek_operator.memory.tensors import Axis, Component, Group, Storage, WeightTensor


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


def mixture_tensors(experts: MixtureOfExperts, hidden_size: int) -> tuple[WeightTensor, ...]:
    """Return router, routed and shared experts of one layer.

    The router is replicated; V3's correction bias counts as a parameter because the checkpoint stores it.
    """
    width = experts.expert_intermediate_size
    router = WeightTensor(
        component=Component.ROUTER,
        row_parts=((experts.num_experts, 1),),
        columns=hidden_size,
        storage=Storage.MODEL,
    )
    tensors = [
        router,
        *_gated(
            Component.ROUTED_EXPERTS,
            (EXPERTS, EXPERTS),
            hidden_size,
            width,
            Group.ROUTED_EXPERTS,
            copies=experts.num_experts,
        ),
    ]
    if experts.router_bias:
        tensors.append(
            WeightTensor(component=Component.ROUTER, row_parts=((experts.num_experts, 1),), storage=Storage.FLOAT32)
        )
    if experts.num_shared_experts:
        shared = experts.num_shared_experts * width
        names = ("mlp.shared_experts.gate_up_proj", "mlp.shared_experts.down_proj")
        tensors.extend(_gated(Component.SHARED_EXPERTS, names, hidden_size, shared, Group.SHARED_EXPERTS))
    return tuple(tensors)


def _gated(
    component: Component,
    modules: tuple[str, str],
    hidden_size: int,
    intermediate_size: int,
    group: Group,
    copies: int = 1,
) -> tuple[WeightTensor, ...]:
    gate_and_up = WeightTensor(
        component=component,
        row_parts=((intermediate_size, 1), (intermediate_size, 1)),
        columns=hidden_size,
        axis=Axis.ROWS,
        group=group,
        copies=copies,
        module=modules[0],
    )
    down = WeightTensor(
        component=component,
        row_parts=((hidden_size, 1),),
        columns=intermediate_size,
        axis=Axis.COLUMNS,
        group=group,
        copies=copies,
        module=modules[1],
    )
    return (gate_and_up, down)
