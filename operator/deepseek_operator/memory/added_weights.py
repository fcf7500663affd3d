"""What lies on a rank beside the model's own weights: buffers of LoRA adapters, and a second model that drafts."""

from __future__ import annotations

from deepseek_operator.catalog.quantizations import NATIVE
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.lora import lora_bytes
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.quantized_format import quantized_weights
from deepseek_operator.memory.settings import EngineSettings


def added_weights(
    shape: ModelShape,
    parallelism: Parallelism,
    settings: EngineSettings,
    compute_capability: tuple[int, int] | None,
) -> tuple[int, ...]:
    """Return the bytes on a rank of every pipeline stage, first stage first.

    A draft model is cut like the model by tensor parallelism, shares no table with it and lies on the last stage.

    Args:
        shape: the model.
        parallelism: how one replica is split.
        settings: says which adapters and which draft model.
        compute_capability: of the GPU.

    Source: vLLM 0.32 ``config/speculative.py`` (``draft_tensor_parallel_size`` is the model's by default, its pipeline
    has one stage; its weights keep the format of its own checkpoint).
    """
    adapters = lora_bytes(shape, parallelism, settings)
    if settings.draft_model is None:
        return adapters
    alone = Parallelism(tensor=parallelism.tensor, data=parallelism.data, expert=parallelism.expert)
    (draft,) = quantized_weights(settings.draft_model, alone, NATIVE, compute_capability)
    return (*adapters[:-1], adapters[-1] + draft.total_bytes)
