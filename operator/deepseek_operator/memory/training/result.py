"""The answer of ``training_estimate`` and ``lora_estimate``."""

from __future__ import annotations

from dataclasses import dataclass

from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.training.adapters import LoraSettings
from deepseek_operator.memory.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class TrainingRank:
    """Bytes of one GPU of a pipeline stage (ranks of a stage are alike).

    Args:
        parameters_bytes: weights, frozen ones included.
        master_weights_bytes: their FP32 copy.
        gradients_bytes: of what is trained.
        optimizer_bytes: moments.
        activations_bytes: peak of what the backward pass needs.
        buffers_bytes: weights gathered by ZeRO-3, communication buckets, a dequantized matrix (QLoRA).
        runtime_bytes: CUDA context, libraries and communicators.
        host_bytes: host memory that this rank's offloaded states take.
    """

    stage: int
    parameters_bytes: int
    master_weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    buffers_bytes: int
    runtime_bytes: int
    host_bytes: int

    @property
    def states_bytes(self) -> int:
        """Parameters, master weights, gradients and moments on the GPU."""
        return self.parameters_bytes + self.master_weights_bytes + self.gradients_bytes + self.optimizer_bytes

    @property
    def total_bytes(self) -> int:
        """Everything on the GPU."""
        return self.states_bytes + self.activations_bytes + self.buffers_bytes + self.runtime_bytes


@dataclass(frozen=True, kw_only=True)
class TrainingEstimate:
    """Memory of one training run.

    Args:
        parallelism: ``data`` counts the copies that see different batches, ``world_size`` the GPUs.
        lora: None when every parameter is trained.
        parameters: of the model without draft layers.
        trainable_parameters: of those, or of the adapters.
        ranks: one entry per pipeline stage, first stage first.
        total_memory_bytes: memory of one GPU.
        fits: whether the largest rank is within it.
        limit: when it is not, one sentence with the numbers and the nearest run that would fit; else empty.
        error_percent: half width of the expected band of the largest rank's total. These are formulas, checked
            against the published ones and not against a run: frameworks differ in what they fuse, keep and bucket.
    """

    settings: TrainingSettings
    lora: LoraSettings | None
    parallelism: Parallelism
    parameters: int
    trainable_parameters: int
    ranks: tuple[TrainingRank, ...]
    total_memory_bytes: int
    fits: bool
    limit: str
    error_percent: int

    @property
    def gpus(self) -> int:
        """GPUs of the whole run."""
        return self.parallelism.world_size

    @property
    def worst_rank(self) -> TrainingRank:
        """The rank that needs most; the first of equals."""
        return max(self.ranks, key=lambda rank: rank.total_bytes)

    @property
    def host_bytes(self) -> int:
        """Host memory that the offloaded states of all ranks take together."""
        ranks_per_stage = self.parallelism.tensor * self.parallelism.data
        return ranks_per_stage * sum(rank.host_bytes for rank in self.ranks)
