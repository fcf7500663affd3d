"""A training estimate as formulas with the numbers put in, for people who want to check it."""

from __future__ import annotations

from dataclasses import replace

from deepseek_operator.catalog.optimizers import optimizer
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.stages import stages
from deepseek_operator.memory.training.activations import layer_activations
from deepseek_operator.memory.training.adapters import LoraSettings
from deepseek_operator.memory.training.estimate import ACTIVATIONS_ERROR_PERCENT, STATES_ERROR_PERCENT
from deepseek_operator.memory.training.result import TrainingEstimate, TrainingRank
from deepseek_operator.memory.training.settings import ActivationCheckpointing, TrainingSettings
from deepseek_operator.memory.training.stage_activations import stage_activations
from deepseek_operator.units import GIB, format_tokens

HOST_BUFFER_FACTOR = 1.5
"""Host memory to provide per byte of offloaded states.

Source: DeepSpeed ``estimate_zero3_model_states_mem_needs``, ``additional_buffer_factor``.
"""


def training_explanation(shape: ModelShape, answer: TrainingEstimate) -> tuple[str, ...]:
    """Return one line per formula, for the rank that needs most.

    Args:
        shape: the model that was estimated.
        answer: its estimate.
    """
    rank = answer.worst_rank
    return (
        _who_line(answer, rank),
        _parameters_line(answer, rank),
        _trained_line(answer, rank),
        *_activation_lines(shape, answer, rank),
        "buffers = weights gathered by ZeRO-3, gradient buckets and dequantized matrices = "
        f"{_gib(rank.buffers_bytes)}; CUDA context and communicators = {_gib(rank.runtime_bytes)}",
        *_host_lines(answer),
        f"total = {_gib(rank.total_bytes)} of {_gib(answer.total_memory_bytes)} on each of {answer.gpus} GPUs",
        f"error: ± {answer.error_percent} %; these are formulas and no measurement: states ± {STATES_ERROR_PERCENT} % "
        f"(fragmentation), activations and buffers ± {ACTIVATIONS_ERROR_PERCENT} % (frameworks differ in what they "
        "fuse and keep)",
    )


def _who_line(answer: TrainingEstimate, rank: TrainingRank) -> str:
    trained = f"{answer.trainable_parameters:,} of {answer.parameters:,} parameters"
    if answer.lora is not None:
        share = 100 * answer.trainable_parameters / answer.parameters
        trained = f"{answer.trainable_parameters:,} adapter parameters ({share:.2g} % of {answer.parameters:,})"
    return f"{trained} are trained with {answer.settings.optimizer}; the rank that needs most is in stage {rank.stage}"


def _parameters_line(answer: TrainingEstimate, rank: TrainingRank) -> str:
    settings, lora = answer.settings, answer.lora
    held = f"{settings.dtype.element_bytes} B per parameter"
    if lora is not None:
        held = _frozen(settings, lora) + ", and adapters at 4 B"
    divided = f", divided by {answer.parallelism.data} data-parallel ranks" if settings.zero_stage == 3 else ""
    place = ", in host memory" if settings.offload_parameters else ""
    return f"parameters = {held}{divided}{place} = {_gib(rank.parameters_bytes)}"


def _frozen(settings: TrainingSettings, lora: LoraSettings) -> str:
    if not lora.quantize_base:
        return f"frozen weights at {settings.dtype.element_bytes} B"
    bits = "4.127" if lora.double_quantization else "4.5"
    return f"frozen linear weights in NF4 at {bits} bits, embeddings and norms at {settings.dtype.element_bytes} B"


def _trained_line(answer: TrainingEstimate, rank: TrainingRank) -> str:
    settings, kept = answer.settings, optimizer(answer.settings.optimizer)
    gradient = 4 if answer.lora is not None else settings.gradient_element_bytes
    master = "FP32 master weights 4 B" if settings.has_master_weights and answer.lora is None else "no master weights"
    return (
        f"per trained parameter: gradient {gradient} B, {master}, {kept.name}: {kept.notes}; ZeRO stage "
        f"{settings.zero_stage} over {answer.parallelism.data} data-parallel ranks: gradients = "
        f"{_gib(rank.gradients_bytes)}, master weights = {_gib(rank.master_weights_bytes)}, optimizer = "
        f"{_gib(rank.optimizer_bytes)}"
    )


def _activation_lines(shape: ModelShape, answer: TrainingEstimate, rank: TrainingRank) -> tuple[str, ...]:
    settings, split = answer.settings, answer.parallelism
    stage = stages(shape, split.pipeline)[rank.stage]
    layer = layer_activations(shape, split, settings, is_moe=stage.num_moe_layers > 0)
    active = stage_activations(shape, stage, split, settings)
    per_token = layer.linear_bytes / settings.tokens
    lines = [
        f"activations of a layer = {settings.micro_batch_size} x {format_tokens(settings.sequence_length)} x "
        f"{per_token:,.0f} B ({per_token / shape.hidden_size:.1f} x hidden size {shape.hidden_size}) + scores "
        f"{_gib(layer.score_bytes)} = {_gib(layer.total_bytes)} (after Korthikanti et al. 2022)",
        f"activations = micro-batches in flight {active.micro_batches_in_flight} x {_gib(active.kept_bytes)} kept by "
        f"{stage.num_layers} layers + max(layer being recomputed {_gib(active.recomputed_bytes)}, loss "
        f"{_gib(active.loss_bytes)}) = {_gib(active.total_bytes)}",
    ]
    if answer.lora is not None:
        lines.append(f"with what the adapters keep of their inputs = {_gib(rank.activations_bytes)}")
    return (*lines, *_checkpointing_lines(shape, answer))


def _checkpointing_lines(shape: ModelShape, answer: TrainingEstimate) -> tuple[str, ...]:
    """Say what checkpointing takes away from this very run, and what it costs."""
    checkpointing = answer.settings.activation_checkpointing
    if checkpointing is ActivationCheckpointing.NONE:
        return ()
    saved = activations_saved_percent(shape, answer)
    cost = {
        ActivationCheckpointing.SELECTIVE: "2 to 3 % more compute (Korthikanti et al. 2022, table 4)",
        ActivationCheckpointing.FULL: "one more forward pass, a third more compute",
    }[checkpointing]
    return (f"{checkpointing} checkpointing takes {saved} % of the activations away, for {cost}",)


def activations_saved_percent(shape: ModelShape, answer: TrainingEstimate) -> int:
    """Return by how much checkpointing lowers the activations of the rank that needs most, in whole percent."""
    stage = stages(shape, answer.parallelism.pipeline)[answer.worst_rank.stage]
    without = replace(answer.settings, activation_checkpointing=ActivationCheckpointing.NONE)
    kept = stage_activations(shape, stage, answer.parallelism, answer.settings).total_bytes
    whole = stage_activations(shape, stage, answer.parallelism, without).total_bytes
    return round(100 * (whole - kept) / whole)


def _host_lines(answer: TrainingEstimate) -> tuple[str, ...]:
    if not answer.host_bytes:
        return ()
    return (
        f"host memory = offloaded states of all ranks = {_gib(answer.host_bytes)}; provide {HOST_BUFFER_FACTOR:g} x "
        f"that, {_gib(round(HOST_BUFFER_FACTOR * answer.host_bytes))}, for pinned buffers (DeepSpeed's own factor)",
    )


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
