"""Memory of training and fine-tuning: the composition of states, activations and buffers.

These are formulas. The states are exact for what the optimizer and ZeRO define; activations follow published sums for
fused kernels. Nothing here was fitted to a run, which is what ``error_percent`` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.stages import Stage, stages
from deepseek_operator.memory.training.adapters import (
    LoraSettings,
    adapter_activation_bytes,
    adapter_matrices,
    nf4_bytes,
)
from deepseek_operator.memory.training.parameters import (
    RankMatrix,
    largest_linear_parameters,
    largest_unit_parameters,
    rank_matrices,
)
from deepseek_operator.memory.training.result import TrainingEstimate, TrainingRank
from deepseek_operator.memory.training.settings import (
    ActivationCheckpointing,
    TrainingDtype,
    TrainingSettings,
    refuse_impossible,
)
from deepseek_operator.memory.training.stage_activations import stage_activations
from deepseek_operator.memory.training.states import States, trained_states
from deepseek_operator.units import GIB, ceil_div, format_gib

RUNTIME_BYTES = GIB
"""CUDA context, cuBLAS workspace and communicators of one process.

Source: recorded start-ups of vLLM on one GPU, 0.5-0.6 GiB of context and 0.3 GiB outside torch
(``engine_overheads.json``), rounded up.
"""

BUCKET_ELEMENTS = 500_000_000
"""Gradients that ZeRO collects before it reduces them (DeepSpeed ``reduce_bucket_size``, default 5e8)."""

GATHERED_UNITS = 2
"""Layers whose weights ZeRO-3 holds whole at a time: the one in use and the one fetched ahead (FSDP prefetch)."""

STATES_ERROR_PERCENT = 5
"""Allocator rounding and fragmentation, copies in buckets."""

ACTIVATIONS_ERROR_PERCENT = 40
"""Between fused kernels and plain PyTorch the same layer differs by about that much; temporaries are not counted."""

MAX_REMEDY_GPUS = 16_384
"""The largest cluster that a refusal proposes (the largest published training runs)."""


def training_estimate(
    shape: ModelShape, settings: TrainingSettings, parallelism: Parallelism, total_memory_bytes: int
) -> TrainingEstimate:
    """Return the memory of training every parameter of a model (``estimate --mode training``).

    Args:
        shape: the model; its multi-token-prediction layers are not trained, and a checkpoint in FP8 is trained in
            ``settings.dtype``.
        settings: what the run is told.
        parallelism: the split of the whole run; ``data`` is the number of data-parallel ranks, over which ZeRO divides.
        total_memory_bytes: memory of one GPU, above 0.

    Raises:
        InvalidSpecError: settings that no run can have; the text names the option.
        UnsupportedModelError: the architecture's activations are not covered.
        UnknownOptimizerError: no such optimizer.
    """
    return _estimate(shape, settings, None, parallelism, total_memory_bytes)


def lora_estimate(
    shape: ModelShape,
    settings: TrainingSettings,
    lora: LoraSettings,
    parallelism: Parallelism,
    total_memory_bytes: int,
) -> TrainingEstimate:
    """Return the memory of training LoRA adapters beside frozen weights (``estimate --mode lora``).

    Args:
        shape: the model; frozen weights have ``settings.dtype``, or NF4 when ``lora.quantize_base``.
        settings: what the run is told; ``master_weights`` and ``fp32_gradients`` do not matter, because adapters are
            FP32 themselves.
        lora: rank, modules and quantization.
        parallelism: as for ``training_estimate``.
        total_memory_bytes: memory of one GPU, above 0.

    The activations are an upper bound: a frozen layer without an adapter needs not keep its input.

    Raises:
        InvalidSpecError: as ``training_estimate``; also for a module that the model does not have.
        UnsupportedModelError: the architecture's activations are not covered.
        UnknownOptimizerError: no such optimizer.
    """
    return _estimate(shape, settings, lora, parallelism, total_memory_bytes)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A question without its GPU."""

    shape: ModelShape
    settings: TrainingSettings
    lora: LoraSettings | None
    split: Parallelism

    def ranks(self) -> tuple[TrainingRank, ...]:
        return tuple(self._rank(stage) for stage in stages(self.shape, self.split.pipeline))

    def trainable_parameters(self) -> int:
        """Parameters that are trained, counted once over all ranks."""
        (whole,) = stages(self.shape, 1)
        one = Parallelism()
        if self.lora is None:
            return _count(rank_matrices(self.shape, whole, one))
        return _count(adapter_matrices(self.shape, whole, one, self.lora))

    def _rank(self, stage: Stage) -> TrainingRank:
        states = self._states(stage)
        active = stage_activations(self.shape, stage, self.split, self.settings, self._adapter_bytes())
        return TrainingRank(
            stage=stage.index,
            parameters_bytes=states.parameters_bytes,
            master_weights_bytes=states.master_weights_bytes,
            gradients_bytes=states.gradients_bytes,
            optimizer_bytes=states.optimizer_bytes,
            activations_bytes=active.total_bytes,
            buffers_bytes=self._buffers_bytes(stage),
            runtime_bytes=RUNTIME_BYTES,
            host_bytes=states.host_bytes,
        )

    def _states(self, stage: Stage) -> States:
        matrices = rank_matrices(self.shape, stage, self.split)
        if self.lora is None:
            return trained_states(matrices, self.settings)
        adapters = adapter_matrices(self.shape, stage, self.split, self.lora)
        states = trained_states(adapters, replace(self.settings, dtype=TrainingDtype.FLOAT32))
        frozen = sum(self._frozen_bytes(matrix) for matrix in matrices)
        if self.settings.offload_parameters:
            return replace(states, host_bytes=states.host_bytes + frozen)
        return replace(states, parameters_bytes=states.parameters_bytes + frozen)

    def _frozen_bytes(self, matrix: RankMatrix) -> int:
        size = matrix.parameters * self.settings.dtype.element_bytes
        if self.lora is not None and self.lora.quantize_base and matrix.is_linear:
            size = matrix.count * nf4_bytes(matrix.rows * matrix.columns, self.lora.double_quantization)
        return ceil_div(size, matrix.copies_over_data) if self.settings.zero_stage == 3 else size

    def _adapter_bytes(self) -> tuple[int, int]:
        if self.lora is None:
            return (0, 0)
        tokens = self.settings.tokens
        dense = adapter_activation_bytes(self.shape, self.split, self.lora, tokens, is_moe=False)
        if self.shape.experts is None:
            return (dense, 0)
        return (dense, adapter_activation_bytes(self.shape, self.split, self.lora, tokens, is_moe=True))

    def _buffers_bytes(self, stage: Stage) -> int:
        settings, buffers = self.settings, 0
        element = settings.dtype.element_bytes
        moves = self.split.data > 1 or settings.offload_optimizer
        trained = _count(rank_matrices(self.shape, stage, self.split))
        if self.lora is not None:
            trained = _count(adapter_matrices(self.shape, stage, self.split, self.lora))
        if settings.zero_stage and moves:
            buffers += min(BUCKET_ELEMENTS, trained) * settings.gradient_element_bytes
        if settings.zero_stage == 3 and (self.split.data > 1 or settings.offload_parameters):
            unit = largest_unit_parameters(self.shape, stage, self.split)
            buffers += GATHERED_UNITS * unit * element
            buffers += unit * settings.gradient_element_bytes if self.lora is None else 0
        if self.lora is not None and self.lora.quantize_base:
            buffers += largest_linear_parameters(self.shape, stage, self.split) * element
        return buffers


def _estimate(
    shape: ModelShape,
    settings: TrainingSettings,
    lora: LoraSettings | None,
    split: Parallelism,
    total_memory_bytes: int,
) -> TrainingEstimate:
    refuse_impossible(settings, shape.max_position_embeddings)
    _refuse_split(shape, split)
    run = _Run(shape=shape, settings=settings, lora=lora, split=split)
    ranks = run.ranks()
    worst = max(ranks, key=lambda rank: rank.total_bytes)
    (whole,) = stages(shape, 1)
    fits = worst.total_bytes <= total_memory_bytes
    return TrainingEstimate(
        settings=settings,
        lora=lora,
        parallelism=split,
        parameters=_count(rank_matrices(shape, whole, Parallelism())),
        trainable_parameters=run.trainable_parameters(),
        ranks=ranks,
        total_memory_bytes=total_memory_bytes,
        fits=fits,
        limit="" if fits else _limit(run, worst, total_memory_bytes),
        error_percent=_error_percent(worst),
    )


def _refuse_split(shape: ModelShape, split: Parallelism) -> None:
    """Raise for what would leave a rank without work; what else must divide is the planner's question."""
    if split.pipeline > shape.num_layers:
        raise InvalidSpecError(
            "pipeline-parallel-size", f"{split.pipeline} is more than the {shape.num_layers} layers; use fewer"
        )
    ranks = split.tensor * split.data
    if split.expert and (shape.experts is None or ranks > shape.experts.num_experts):
        experts = shape.experts.num_experts if shape.experts else 0
        raise InvalidSpecError(
            "enable-expert-parallel", f"{experts} routed experts cannot be dealt out over {ranks} ranks; leave it off"
        )


def _limit(run: _Run, worst: TrainingRank, total_memory_bytes: int) -> str:
    """Return what a rank needs, what it has, and the nearest run that fits."""
    where = f"on a rank of stage {worst.stage}" if run.split.pipeline > 1 else "on each GPU"
    parts = (
        ("parameters", worst.parameters_bytes),
        ("master weights", worst.master_weights_bytes),
        ("gradients", worst.gradients_bytes),
        ("optimizer", worst.optimizer_bytes),
        ("activations", worst.activations_bytes),
        ("buffers and runtime", worst.buffers_bytes + worst.runtime_bytes),
    )
    listed = ", ".join(f"{name} {format_gib(size)}" for name, size in parts if size)
    remedy = "no ZeRO stage, checkpointing or offload of this split would fit, so use larger GPUs or more tensor ranks"
    for words, other in _milder(run):
        needed = max(rank.total_bytes for rank in other.ranks())
        if needed <= total_memory_bytes:
            remedy = f"{words} would need {format_gib(needed)}"
            break
    return (
        f"training needs {format_gib(worst.total_bytes)} {where} ({listed}), but it has "
        f"{format_gib(total_memory_bytes)}; {remedy}"
    )


def _milder(run: _Run) -> Iterator[tuple[str, _Run]]:
    """Yield runs that need less, those that change least first."""
    full = ActivationCheckpointing.FULL
    lighter = run
    if run.settings.activation_checkpointing is not full:
        lighter = replace(run, settings=replace(run.settings, activation_checkpointing=full))
        yield "full activation checkpointing", lighter
    suffix = " with full activation checkpointing" if lighter is not run else ""
    data = run.split.data
    while run.split.tensor * run.split.pipeline * data <= MAX_REMEDY_GPUS and not run.split.expert:
        divided = replace(lighter.settings, zero_stage=3)
        wider = replace(lighter, settings=divided, split=replace(run.split, data=data))
        yield f"ZeRO stage 3 over {wider.split.world_size} GPUs{suffix}", wider
        data *= 2
    offloaded = replace(lighter.settings, zero_stage=3, offload_optimizer=True, offload_parameters=True)
    yield f"ZeRO stage 3 with states in host memory{suffix}", replace(lighter, settings=offloaded)


def _count(matrices: tuple[RankMatrix, ...]) -> int:
    return sum(matrix.parameters for matrix in matrices)


def _error_percent(rank: TrainingRank) -> int:
    """Return the band of a total whose parts are known differently well; parts are added as if all erred one way."""
    loose = rank.activations_bytes + rank.buffers_bytes
    firm = rank.total_bytes - loose
    return max(1, ceil_div(loose * ACTIVATIONS_ERROR_PERCENT + firm * STATES_ERROR_PERCENT, rank.total_bytes))
