"""What a training run is told, and the refusals of what cannot run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deepseek_operator.catalog.optimizers import optimizer
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.units import format_tokens

MAX_MICRO_BATCH_SIZE = 65_536
MAX_GRADIENT_ACCUMULATION_STEPS = 1_048_576
MAX_SEQUENCE_LENGTH = 1_000_000_000
"""Plausibility limits: larger is a typing error."""


class TrainingDtype(StrEnum):
    """Element type of weights and activations."""

    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"

    @property
    def element_bytes(self) -> int:
        """Bytes of one element."""
        return 4 if self is TrainingDtype.FLOAT32 else 2


class ActivationCheckpointing(StrEnum):
    """What the forward pass keeps for the backward pass.

    ``selective`` recomputes the attention core alone (scores, softmax, dropout), ``full`` keeps the input of every
    layer and recomputes the rest.
    """

    NONE = "none"
    SELECTIVE = "selective"
    FULL = "full"


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What a training run is told. The option of ``estimate --mode training`` stands behind each field.

    Args:
        micro_batch_size: sequences of one forward pass of one data-parallel rank (``--micro-batch-size``).
        sequence_length: tokens of a sequence (``--sequence-length``).
        gradient_accumulation_steps: forward passes of one optimizer step (``--gradient-accumulation-steps``); with
            pipeline stages it bounds how many are in flight.
        optimizer: name in ``catalog.optimizers`` (``--optimizer``).
        dtype: of weights and activations (``--training-dtype``).
        master_weights: an FP32 copy of 16-bit weights that the optimizer steps (``--no-master-weights``).
        fp32_gradients: 16-bit training that accumulates gradients in FP32, as Megatron-LM's ``main_grad``
            (``--fp32-gradients``).
        activation_checkpointing: what is recomputed (``--activation-checkpointing``).
        flash_attention: attention without a stored score matrix (``--no-flash-attention``).
        dropout: dropout after softmax, attention and MLP, as GPT-3 had; DeepSeek, Llama and Qwen have none
            (``--dropout``).
        fused_kernels: one kernel each for normalization, gated activation and loss (Megatron-LM, Transformer Engine,
            Liger, ``torch.compile``); False is plain PyTorch, which keeps FP32 copies (``--no-fused-kernels``).
        sequence_parallel: norms and residuals are cut by tensor parallelism too (``--sequence-parallel``).
        zero_stage: 0 nothing, 1 optimizer states, 2 gradients too, 3 parameters too are divided by data parallelism
            (``--zero-stage``).
        offload_optimizer: optimizer states, master weights and, from stage 2, gradients lie in host memory
            (``--offload-optimizer``).
        offload_parameters: 16-bit parameters lie in host memory, stage 3 only (``--offload-parameters``).
    """

    micro_batch_size: int = 1
    sequence_length: int = 4096
    gradient_accumulation_steps: int = 1
    optimizer: str = "adamw"
    dtype: TrainingDtype = TrainingDtype.BFLOAT16
    master_weights: bool = True
    fp32_gradients: bool = False
    activation_checkpointing: ActivationCheckpointing = ActivationCheckpointing.NONE
    flash_attention: bool = True
    dropout: bool = False
    fused_kernels: bool = True
    sequence_parallel: bool = False
    zero_stage: int = 0
    offload_optimizer: bool = False
    offload_parameters: bool = False

    @property
    def has_master_weights(self) -> bool:
        """Whether there is an FP32 copy; FP32 weights are their own."""
        return self.master_weights and self.dtype is not TrainingDtype.FLOAT32

    @property
    def gradient_element_bytes(self) -> int:
        """Bytes of one stored gradient."""
        return 4 if self.fp32_gradients else self.dtype.element_bytes

    @property
    def tokens(self) -> int:
        """Tokens of one forward pass of one data-parallel rank."""
        return self.micro_batch_size * self.sequence_length


def refuse_impossible(settings: TrainingSettings, max_position_embeddings: int) -> None:
    """Raise for settings that no run can have.

    Args:
        settings: what the run is told.
        max_position_embeddings: longest context of the model in tokens.

    Raises:
        InvalidSpecError: a number is out of range or two settings contradict each other; the text names the option
            and what to write instead.
        UnknownOptimizerError: no such optimizer; the text lists them.
    """
    _in_range("micro-batch-size", settings.micro_batch_size, 1, MAX_MICRO_BATCH_SIZE)
    _in_range("sequence-length", settings.sequence_length, 1, MAX_SEQUENCE_LENGTH)
    _in_range("gradient-accumulation-steps", settings.gradient_accumulation_steps, 1, MAX_GRADIENT_ACCUMULATION_STEPS)
    _in_range("zero-stage", settings.zero_stage, 0, 3)
    optimizer(settings.optimizer)
    if settings.sequence_length > max_position_embeddings:
        raise InvalidSpecError(
            "sequence-length",
            f"{format_tokens(settings.sequence_length)} are above the model's {max_position_embeddings:,}; use "
            "fewer, or a config with a larger max_position_embeddings",
        )
    if settings.offload_optimizer and not settings.zero_stage:
        raise InvalidSpecError("offload-optimizer", "needs zero-stage 1, 2 or 3, because ZeRO moves the states")
    if settings.offload_parameters and settings.zero_stage < 3:
        raise InvalidSpecError("offload-parameters", f"needs zero-stage 3 and not {settings.zero_stage}")


def _in_range(option: str, value: int, smallest: int, largest: int) -> None:
    if not smallest <= value <= largest:
        raise InvalidSpecError(option, f"{value} is no number from {smallest} to {largest:,}")
