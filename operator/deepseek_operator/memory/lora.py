"""LoRA adapters that an engine serves: the buffers on each rank, and the copies in host memory.

The engine makes buffers for ``max_loras`` adapters of ``max_lora_rank`` beside every linear layer when it starts,
whichever layers an adapter changes. The input side (A) of a matrix that is cut by rows is whole on every rank, and so
is the output side (B) of one that is cut by columns.

Source: vLLM 0.32 ``lora/layers/base_linear.py`` and ``lora/layers/fused_moe.py`` ``create_lora_weights``
(``fully_sharded_loras`` is off by default), ``lora/layers/logits_processor.py``; read, not run on a GPU.
"""

from __future__ import annotations

from functools import lru_cache

from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings
from deepseek_operator.memory.stages import stages
from deepseek_operator.memory.tensors import Component, Group, Slice, Storage, WeightTensor, allocated_bytes
from deepseek_operator.memory.weights import stage_tensors

ELEMENT_BYTES = 2
"""``lora_dtype`` is the 16-bit type of the activations by default."""

_VOCABULARY = frozenset({Component.EMBEDDINGS, Component.LM_HEAD})
_ADAPTED = frozenset({Storage.LINEAR})


def lora_bytes(shape: ModelShape, parallelism: Parallelism, settings: EngineSettings) -> tuple[int, ...]:
    """Return the buffers of all adapters on a rank of every pipeline stage, first stage first; 0 without adapters.

    >>> from deepseek_operator.catalog.models import shape
    >>> told = EngineSettings(release="0.32.0", gpu_memory_utilization_percent=92, max_model_len=4096, max_num_seqs=8,
    ...     max_num_batched_tokens=2048, max_loras=1, max_lora_rank=16)
    >>> lora_bytes(shape("deepseek-ai/deepseek-llm-7b-chat"), Parallelism(), told)
    (81772544,)
    """
    if not settings.max_loras:
        return (0,) * parallelism.pipeline
    return _buffers(shape, parallelism, settings.max_loras, settings.max_lora_rank)


def lora_host_bytes(shape: ModelShape, settings: EngineSettings) -> int:
    """Return the copies of all adapters that each worker keeps in host memory.

    They are whole on every worker. Routed experts are left out: adapters of mixture models hardly ever touch them.

    Source: vLLM 0.32 ``lora/lora_model.py`` (loaded to the CPU, pinned), ``config/lora.py`` (``max_cpu_loras`` is
    ``max_loras`` by default).
    """
    if not settings.max_loras:
        return 0
    (stage,) = stages(shape, 1)
    tensors = [row for row in stage_tensors(shape, stage) if row[0].group is not Group.ROUTED_EXPERTS]
    adapted = sum(repeats * _elements(tensor.whole()) for tensor, repeats in tensors if _is_adapted(tensor))
    return settings.max_loras * settings.max_lora_rank * ELEMENT_BYTES * adapted


@lru_cache(maxsize=1024)
def _buffers(shape: ModelShape, parallelism: Parallelism, max_loras: int, rank: int) -> tuple[int, ...]:
    made = []
    for stage in stages(shape, parallelism.pipeline):
        total = 0
        for tensor, repeats in stage_tensors(shape, stage):
            if _is_adapted(tensor):
                size = max_loras * rank * ELEMENT_BYTES * _elements(tensor.rank_slice(parallelism))
                total += repeats * allocated_bytes(size)
        made.append(total)
    return tuple(made)


def _is_adapted(tensor: WeightTensor) -> bool:
    return not tensor.derived and (tensor.storage in _ADAPTED or tensor.component in _VOCABULARY)


def _elements(held: Slice) -> int:
    """Return the elements of A and B per unit of rank: every fused matrix has its own pair."""
    return held.copies * sum(rows + columns for rows, columns in held.parts)
