"""Parameters, gradients and optimizer states of one rank, divided by ZeRO and moved to the host where asked.

Source: Rajbhandari et al. 2020, "ZeRO" (arXiv 1910.02054): with mixed-precision Adam a parameter takes 2 bytes, its
gradient 2, and the optimizer 12 (FP32 weight, two moments); stage 1 divides the 12 by the data-parallel ranks, stage
2 the gradient too, stage 3 all. Offload: Ren et al. 2021, "ZeRO-Offload" (arXiv 2101.06840), and DeepSpeed
``estimate_zero2_model_states_mem_needs``: 16 bytes per parameter on the host, gradients there in FP32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deepseek_operator.catalog.optimizers import Optimizer, optimizer
from deepseek_operator.memory.training.parameters import RankMatrix
from deepseek_operator.memory.training.settings import TrainingDtype, TrainingSettings
from deepseek_operator.units import ceil_div

FP32_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class States:
    """Bytes of one rank on the GPU, and ``host_bytes`` of what was moved away."""

    parameters_bytes: int
    master_weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    host_bytes: int


def trained_states(matrices: Sequence[RankMatrix], settings: TrainingSettings) -> States:
    """Return the states of matrices that are all trained.

    Args:
        matrices: of one rank.
        settings: optimizer, precision, ZeRO stage and offload.
    """
    kept = optimizer(settings.optimizer)
    stage = settings.zero_stage
    parameters = sum(_divided(m, m.parameters * settings.dtype.element_bytes, stage >= 3) for m in matrices)
    gradients = sum(_divided(m, m.parameters * settings.gradient_element_bytes, stage >= 2) for m in matrices)
    states = sum(_divided(m, optimizer_state_bytes(m, kept, settings), stage >= 1) for m in matrices)
    master = 0
    if settings.has_master_weights:
        master = sum(_divided(m, m.parameters * FP32_BYTES, stage >= 1) for m in matrices)
    host = 0
    if settings.offload_optimizer:
        host, states, master = states + master, 0, 0
        if stage >= 2:
            host += sum(_divided(m, m.parameters * FP32_BYTES, True) for m in matrices)
            gradients = 0
    if settings.offload_parameters:
        host, parameters = host + parameters, 0
    return States(
        parameters_bytes=parameters,
        master_weights_bytes=master,
        gradients_bytes=gradients,
        optimizer_bytes=states,
        host_bytes=host,
    )


def optimizer_state_bytes(matrix: RankMatrix, kept: Optimizer, settings: TrainingSettings) -> int:
    """Return what an optimizer remembers of equal matrices before ZeRO divides it.

    Moments have the precision of the weights that are stepped: FP32 for a master copy, 16 bits for 16-bit weights
    without one (``torch.zeros_like``). A factored moment needs whole matrices; ZeRO flattens tensors, so that there
    it is kept per parameter.
    """
    elements = matrix.rows * matrix.columns
    if kept.factored:
        is_matrix = matrix.columns > 1 and not settings.zero_stage
        return matrix.count * FP32_BYTES * (matrix.rows + matrix.columns if is_matrix else elements)
    if kept.block_size and elements >= kept.smallest_quantized_tensor:
        one = ceil_div(elements * kept.bits_per_state, 8) + FP32_BYTES * ceil_div(elements, kept.block_size)
    else:
        is_16_bit = settings.dtype is not TrainingDtype.FLOAT32 and not settings.master_weights and not kept.block_size
        one = elements * (settings.dtype.element_bytes if is_16_bit else FP32_BYTES)
    return matrix.count * kept.states_per_parameter * one


def _divided(matrix: RankMatrix, size: int, is_divided: bool) -> int:
    """Return a rank's share of the bytes of a matrix that ``copies_over_data`` ranks hold."""
    return ceil_div(size, matrix.copies_over_data) if is_divided else size
