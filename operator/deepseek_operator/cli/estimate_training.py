"""The memory of training and of LoRA: options to settings, and the answer as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deepseek_operator.catalog.linear_formats import SIXTEEN_BIT
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.cli.estimate_question import LORA, EstimateQuestion, Subject, choice, positive
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.training.adapters import LoraSettings
from deepseek_operator.memory.training.estimate import lora_estimate, training_estimate
from deepseek_operator.memory.training.explanation import training_explanation
from deepseek_operator.memory.training.result import TrainingEstimate
from deepseek_operator.memory.training.settings import ActivationCheckpointing, TrainingDtype, TrainingSettings
from deepseek_operator.planner.parallelism import illegal


@dataclass(frozen=True, kw_only=True)
class TrainingAnswer:
    """The estimate with what it was made of."""

    shape: ModelShape
    memory: TrainingEstimate
    approximation: str = ""

    @property
    def fits(self) -> bool:
        """Whether the largest rank is within its GPU."""
        return self.memory.fits

    def explanation(self) -> tuple[str, ...]:
        """Return the formulas with the numbers put in, one a line."""
        return training_explanation(self.shape, self.memory)

    def print(self) -> None:
        """Print the answer for people."""
        from deepseek_operator.cli.estimate_text import print_training

        print_training(self)

    def as_json(self) -> dict[str, Any]:
        """Return the answer under its documented keys; ``limit`` is null when it fits."""
        memory = self.memory
        return {
            "fits": memory.fits,
            "perRank": [
                {
                    "stage": rank.stage,
                    "weightsBytes": rank.parameters_bytes,
                    "masterWeightsBytes": rank.master_weights_bytes,
                    "gradientsBytes": rank.gradients_bytes,
                    "optimizerBytes": rank.optimizer_bytes,
                    "activationsBytes": rank.activations_bytes,
                    "buffersBytes": rank.buffers_bytes,
                    "nonTorchBytes": rank.runtime_bytes,
                    "totalBytes": rank.total_bytes,
                    "hostBytes": rank.host_bytes,
                }
                for rank in memory.ranks
            ],
            "parameters": memory.parameters,
            "trainableParameters": memory.trainable_parameters,
            "gpus": memory.gpus,
            "gpuMemoryBytes": memory.total_memory_bytes,
            "hostMemoryBytes": memory.host_bytes,
            "errorPercent": {"totalBytes": memory.error_percent},
            "limit": memory.limit or None,
            "performance": None,
            **({"approximation": self.approximation} if self.approximation else {}),
        }


def answer_training(question: EstimateQuestion, subject: Subject) -> TrainingAnswer:
    """Return the memory of training a model, or adapters for it.

    Raises:
        DeepSeekOperatorError: the question cannot be answered; the text says which option to change.
    """
    shape, split = subject.shape, subject.split
    if reason := illegal(shape, split, linear=SIXTEEN_BIT):
        raise InvalidSpecError("", reason)
    settings = _settings(question)
    if question.mode == LORA:
        memory = lora_estimate(shape, settings, _lora(question), split, subject.memory_bytes)
    else:
        memory = training_estimate(shape, settings, split, subject.memory_bytes)
    return TrainingAnswer(shape=shape, memory=memory, approximation=subject.approximation)


def _settings(question: EstimateQuestion) -> TrainingSettings:
    """Return what the run is told; what is not asked for keeps the settings' own default."""
    default = TrainingSettings()

    def given(name: str, value: int | None, otherwise: int) -> int:
        return otherwise if value is None else positive(name, value)

    return TrainingSettings(
        micro_batch_size=given("micro-batch-size", question.micro_batch_size, default.micro_batch_size),
        sequence_length=given("sequence-length", question.sequence_length, default.sequence_length),
        gradient_accumulation_steps=given(
            "gradient-accumulation-steps", question.gradient_accumulation_steps, default.gradient_accumulation_steps
        ),
        optimizer=question.optimizer or default.optimizer,
        dtype=choice("training-dtype", question.training_dtype or default.dtype, TrainingDtype),
        master_weights=not question.no_master_weights,
        fp32_gradients=question.fp32_gradients,
        activation_checkpointing=choice(
            "activation-checkpointing",
            question.activation_checkpointing or default.activation_checkpointing,
            ActivationCheckpointing,
        ),
        flash_attention=not question.no_flash_attention,
        dropout=question.dropout,
        fused_kernels=not question.no_fused_kernels,
        sequence_parallel=question.sequence_parallel,
        zero_stage=default.zero_stage if question.zero_stage is None else question.zero_stage,
        offload_optimizer=question.offload_optimizer,
        offload_parameters=question.offload_parameters,
    )


def _lora(question: EstimateQuestion) -> LoraSettings:
    default = LoraSettings()
    if question.no_double_quantization and not question.qlora:
        raise InvalidSpecError("no-double-quantization", "needs qlora, because only NF4 has scales to quantize")
    modules = tuple(name.strip() for name in question.lora_target_modules.split(",") if name.strip())
    return LoraSettings(
        rank=default.rank if question.lora_rank is None else positive("lora-rank", question.lora_rank),
        target_modules=modules or default.target_modules,
        adapt_routed_experts=question.lora_routed_experts,
        quantize_base=question.qlora,
        double_quantization=not question.no_double_quantization,
    )
