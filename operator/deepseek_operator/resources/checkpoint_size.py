"""How much a model takes on a disk."""

from __future__ import annotations

from deepseek_operator.api.served_model import served_model
from deepseek_operator.api.to_request import model_shape
from deepseek_operator.api.v1alpha1 import DeepSeekDeploymentSpec
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.quantized_format import quantized_weights
from deepseek_operator.memory.weights import checkpoint_bytes
from deepseek_operator.planner.result import Plan

LOADED_MARGIN_PERCENT = 5
"""By how much a quantized checkpoint may be smaller than what an engine holds of it, for padding and repacking.

Source: judgement; the measured error of the loaded bytes is 0.5 % (``memory.weights.stage_weights``).
"""


def checkpoint_size(spec: DeepSeekDeploymentSpec, plan: Plan) -> int:
    """Return the least bytes that the weights of the served checkpoint take on a disk.

    To the byte for a checkpoint as it was published. One that ``spec.precision.checkpoint`` names is known by its
    format alone: what an engine would hold of it, less a margin.

    Args:
        spec: of the object.
        plan: its accepted plan, which may run a fallback.
    """
    shape = model_shape(served_model(spec, plan))
    if not spec.precision.checkpoint:
        return checkpoint_bytes(shape)
    (stage,) = quantized_weights(shape, Parallelism(), plan.quantization, None)
    return stage.total_bytes * (100 - LOADED_MARGIN_PERCENT) // 100


def refuse_small_cache(spec: DeepSeekDeploymentSpec, plan: Plan) -> None:
    """Refuse a new cache that cannot hold the checkpoint, before anything is made.

    Raises:
        InvalidSpecError: ``spec.model.cache.sizeBytes`` is too small; the text has both numbers.
    """
    cache = spec.model.cache
    if cache is None or cache.size_bytes is None:
        return
    needed = checkpoint_size(spec, plan)
    if cache.size_bytes < needed:
        name = spec.precision.checkpoint or plan.model_name
        raise InvalidSpecError(
            "spec.model.cache.sizeBytes",
            f"{cache.size_bytes:,} bytes do not hold {name}, whose weights take {needed:,}; "
            "write more than that, because a file system keeps some percent for itself",
        )
