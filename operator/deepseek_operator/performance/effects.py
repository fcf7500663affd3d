"""What a measured model, GPU or engine does beside the roofline: factors on its latency, fitted with shrinkage.

The logarithm of the ratio of measured to roofline is a sum of small corrections, one block per set of factors
(the engine; the model on that engine; the GPU at that precision ...). Nothing is added for a level that was not
measured, so a product, a model or a release that nobody measured gets the roofline and the corrections that it shares
with others. Blocks of an engine release also have a slope over the load: some measured releases ran with speculative
decoding, which the data do not say and which helps less the more requests are served at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.shapes import GroupedQueryAttention, ModelShape
from deepseek_operator.performance.features import ServingPoint

ModelSignature = tuple[int, int, int, int]
"""Layers, hidden size, vocabulary and experts: equal for checkpoints that run at the same speed."""


@dataclass(frozen=True, kw_only=True)
class EffectBlock:
    """Corrections for each measured combination of some factors.

    Args:
        factors: names as in `factors_of`.
        covariates: names as in `covariates_of`, one coefficient each.
        values: levels of the factors joined by ``|``, to their coefficients (natural logarithm).
    """

    factors: tuple[str, ...]
    covariates: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]


def signature(shape: ModelShape) -> ModelSignature:
    """Return what identifies models of the same speed."""
    experts = shape.experts.num_experts if shape.experts else 0
    return shape.num_layers, shape.hidden_size, shape.vocab_size, experts


def factors_of(point: ServingPoint, models: Mapping[ModelSignature, str]) -> dict[str, str]:
    """Return the levels of every factor of a point.

    Args:
        point: one replica under load.
        models: labels of the measured models; another model has the empty label, which no block has.
    """
    shape, split = point.shape, point.parallelism
    return {
        "engine": point.engine,
        "release": f"{point.engine} {point.engine_release}",
        "family": _family(shape),
        "model": models.get(signature(shape), ""),
        "gpu": point.gpu.id,
        "precision": _precision(point.gpu, point.precision.bytes_per_parameter, point.precision.tflops),
        "data_parallel": str(split.data > 1),
        "expert_parallel": str(split.expert),
    }


def covariates_of(point: ServingPoint) -> dict[str, float]:
    """Return the numbers that slopes multiply; each is 0 in the middle of the measured range and about 1 at its ends.

    The middle: 32 requests in flight, 4 tensor-parallel ranks, prompts of 2,048 tokens.
    """
    return {
        "one": 1.0,
        "load": math.log2(point.batch / 32) / 3,
        "tensor": math.log2(point.parallelism.tensor / 4) / 1.5,
        "prompt": math.log2(point.input_tokens / 2048) / 2,
    }


def correction(blocks: Sequence[EffectBlock], levels: Mapping[str, str], covariates: Mapping[str, float]) -> float:
    """Return the factor on the roofline's latency; 1.0 where nothing was measured.

    >>> block = EffectBlock(factors=("engine",), covariates=("one", "load"), values={"vllm": (0.0, 0.5)})
    >>> correction([block], {"engine": "vllm"}, {"one": 1.0, "load": 0.0})
    1.0
    >>> correction([block], {"engine": "another"}, {"one": 1.0, "load": 1.0})
    1.0
    """
    return correction_of(slopes(blocks, levels), covariates)


def correction_of(coefficients: Mapping[str, float], covariates: Mapping[str, float]) -> float:
    """Return the factor from the coefficient of each covariate.

    >>> correction_of({"one": 0.0, "load": 0.0}, {"one": 1.0, "load": 3.0})
    1.0
    """
    return math.exp(sum(value * covariates[name] for name, value in coefficients.items()))


def slopes(blocks: Sequence[EffectBlock], levels: Mapping[str, str]) -> dict[str, float]:
    """Return the coefficient of each covariate, summed over the blocks that know the levels.

    >>> block = EffectBlock(factors=("engine",), covariates=("one", "load"), values={"vllm": (0.25, 0.5)})
    >>> slopes([block, block], {"engine": "vllm"})
    {'one': 0.5, 'load': 1.0}
    """
    found: dict[str, float] = {}
    for block in blocks:
        known = block.values.get("|".join(levels[name] for name in block.factors))
        if known is not None:
            for value, name in zip(known, block.covariates, strict=True):
                found[name] = found.get(name, 0.0) + value
    return found


def _family(shape: ModelShape) -> str:
    if not isinstance(shape.attention, GroupedQueryAttention):
        return "latent"
    return "mixture" if shape.experts else "dense"


def _precision(gpu: Gpu, bytes_per_parameter: float, tflops: float) -> str:
    """Return how matrices are stored and multiplied: 16 bits, FP8, FP4, or 4-bit integers widened to 16 bits."""
    if bytes_per_parameter >= 1.5:
        return "bf16"
    if bytes_per_parameter >= 0.9:
        return "fp8"
    return "fp4" if gpu.fp4_tflops == tflops else "int4"
