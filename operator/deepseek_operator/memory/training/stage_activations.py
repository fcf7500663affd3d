"""Activations of one rank of a pipeline stage: what is kept, how often, and the peak on top.

One forward, one backward (1F1B, Narayanan et al. 2021, arXiv 2104.04473): stage i of p has up to p - i micro-batches in
flight, so the first stage keeps the most (Korthikanti et al. 2022, section 4.2.3).
"""

from __future__ import annotations

from dataclasses import dataclass

from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.stages import Stage
from deepseek_operator.memory.training.activations import LayerActivations, layer_activations
from deepseek_operator.memory.training.settings import ActivationCheckpointing, TrainingSettings
from deepseek_operator.units import ceil_div

LOGIT_BYTES = 4
"""One logit in FP32, kept for the loss and overwritten by its gradient (Korthikanti et al. 2022, section 4.3)."""

UNFUSED_LOSS_BYTES = 8
"""Beside the logits in the training dtype, plain PyTorch keeps log-softmax and its gradient, both in FP32."""


@dataclass(frozen=True, kw_only=True)
class StageActivations:
    """Bytes of the activations of one rank.

    Args:
        micro_batches_in_flight: forward passes whose backward pass is still to come.
        kept_bytes: what one of them keeps over all layers of the stage.
        recomputed_bytes: the layer that is being recomputed in the backward pass; 0 without checkpointing.
        loss_bytes: last norm, output head and loss; 0 before the last stage.
    """

    micro_batches_in_flight: int
    kept_bytes: int
    recomputed_bytes: int
    loss_bytes: int

    @property
    def total_bytes(self) -> int:
        """The peak: the loss is over before the first layer is recomputed."""
        return self.micro_batches_in_flight * self.kept_bytes + max(self.recomputed_bytes, self.loss_bytes)


def stage_activations(
    shape: ModelShape,
    stage: Stage,
    split: Parallelism,
    settings: TrainingSettings,
    adapter_bytes: tuple[int, int] = (0, 0),
) -> StageActivations:
    """Return the activations of one rank of a stage.

    Args:
        shape: a covered model.
        stage: the rank's layers.
        split: tensor and pipeline ranks.
        settings: batch, sequence, checkpointing and kernels.
        adapter_bytes: what LoRA adapters keep in a dense and in an expert layer for one micro-batch.

    Raises:
        UnsupportedModelError: the architecture is not covered.
    """
    dense = layer_activations(shape, split, settings, is_moe=False)
    kinds = [(dense, stage.num_dense_layers, adapter_bytes[0])]
    if stage.num_moe_layers:
        kinds.append((layer_activations(shape, split, settings, is_moe=True), stage.num_moe_layers, adapter_bytes[1]))
    checkpointing = settings.activation_checkpointing
    kept = sum(count * _kept(layer, extra, checkpointing) for layer, count, extra in kinds)
    if stage.is_first and settings.dropout:
        kept += settings.tokens * shape.hidden_size
    return StageActivations(
        micro_batches_in_flight=min(split.pipeline - stage.index, settings.gradient_accumulation_steps),
        kept_bytes=kept,
        recomputed_bytes=max(_recomputed(layer, extra, checkpointing) for layer, count, extra in kinds if count),
        loss_bytes=_loss_bytes(shape, split, settings) if stage.is_last else 0,
    )


def _kept(layer: LayerActivations, adapter_bytes: int, checkpointing: ActivationCheckpointing) -> int:
    if checkpointing is ActivationCheckpointing.FULL:
        return layer.input_bytes
    if checkpointing is ActivationCheckpointing.SELECTIVE:
        return layer.linear_bytes + adapter_bytes
    return layer.total_bytes + adapter_bytes


def _recomputed(layer: LayerActivations, adapter_bytes: int, checkpointing: ActivationCheckpointing) -> int:
    if checkpointing is ActivationCheckpointing.FULL:
        return layer.total_bytes + adapter_bytes
    if checkpointing is ActivationCheckpointing.SELECTIVE:
        return layer.score_bytes
    return 0


def _loss_bytes(shape: ModelShape, split: Parallelism, settings: TrainingSettings) -> int:
    """Return the last norm's and the output head's inputs, and the logits, cut over the vocabulary."""
    element = settings.dtype.element_bytes
    hidden_ways = split.tensor if settings.sequence_parallel else 1
    logit = LOGIT_BYTES if settings.fused_kernels else element + UNFUSED_LOSS_BYTES
    inputs = ceil_div(2 * settings.tokens * shape.hidden_size * element, hidden_ways)
    return inputs + ceil_div(settings.tokens * shape.vocab_size * logit, split.tensor)
