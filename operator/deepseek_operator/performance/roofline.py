"""Speed of one replica from bytes, operations and a few fitted coefficients.

TPOT and TTFT are sums of the terms of ``features.py``, each times a non-negative coefficient that was fitted once on
measured points (``coefficients.json``, written by ``hack/fit_roofline.py``; its source is named there). Measured
points exist for five NVIDIA products; on a product that the fit has not seen the stated error is the median error of
fits that left a whole product out. TTFT is hard to predict because it contains queueing: its error is far larger.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.performance.features import ServingPoint, prefill_of, tpot_terms, ttft_terms, unfitted_seconds
from deepseek_operator.performance.prediction import Prediction, PredictionSource


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """The fit: a weight per term, and its median errors in percent on seen and unseen GPU products."""

    tpot: Mapping[str, float]
    ttft: Mapping[str, float]
    gpus: frozenset[str]
    tpot_error_percent: int
    ttft_error_percent: int
    tpot_error_percent_unseen_gpu: int
    ttft_error_percent_unseen_gpu: int


@cache
def coefficients() -> Coefficients:
    """Return the fitted coefficients that are shipped with the package."""
    text = resources.files(__package__).joinpath("coefficients.json").read_text(encoding="utf-8")
    data = json.loads(text)
    return Coefficients(
        tpot=data["tpot"],
        ttft=data["ttft"],
        gpus=frozenset(data["gpus"]),
        tpot_error_percent=data["tpot_error_percent"],
        ttft_error_percent=data["ttft_error_percent"],
        tpot_error_percent_unseen_gpu=data["tpot_error_percent_unseen_gpu"],
        ttft_error_percent_unseen_gpu=data["ttft_error_percent_unseen_gpu"],
    )


def can_predict(gpu: Gpu) -> bool:
    """Whether the catalogue knows the product's memory bandwidth and matrix rate."""
    return bool(gpu.memory_bandwidth_gb_per_second and (gpu.bf16_tflops or gpu.fp16_tflops))


def matrix_tflops(gpu: Gpu, bits: int) -> float | None:
    """Return the dense rate at which matrices with that many bits per operand are multiplied.

    Args:
        gpu: the product.
        bits: of both operands: 16, 8 or 4. A format without native units is widened to 16 bits first, so its
            rate is the 16-bit one (weight-only kernels pass 16).

    Returns:
        Teraflops, or None when the catalogue does not know them.
    """
    wide = gpu.bf16_tflops or gpu.fp16_tflops
    if bits <= 4:
        return gpu.fp4_tflops or wide
    if bits <= 8:
        return gpu.fp8_tflops or wide
    return wide


def predict(point: ServingPoint) -> Prediction | None:
    """Return the mean TTFT, mean TPOT and throughput of a replica with ``point.batch`` requests in flight.

    Args:
        point: one replica and its steady load; ``point.batch`` requests are always in flight (closed loop).

    Returns:
        Whole milliseconds, rounded up; None when the GPU's bandwidth or matrix rate is not known, so that a service
        level cannot be checked. ``error_percent`` is the larger of the two median errors.

    Source: roofline terms as in ``features.py``; coefficients fitted on InferenceX runs (aiconfigurator-core 0.12.0).
    Measured error: median 11 % of TPOT and 39 % of TTFT on the fitted points; 12 % and 41 % on a product that was left
    out. No measured point has pipeline stages, PCIe-only GPUs or an Ampere or Ada product: there the band is a hope.
    """
    if not can_predict(point.gpu) or not math.isfinite(point.precision.tflops) or point.precision.tflops <= 0:
        return None
    fit = coefficients()
    prefill, extra = prefill_of(point), unfitted_seconds(point)
    tpot = _weighted(tpot_terms(point, prefill), fit.tpot) + extra
    ttft = _weighted(ttft_terms(point, prefill, tpot), fit.ttft) + extra
    request_seconds = ttft + tpot * max(0, point.output_tokens - 1)
    seen = point.gpu.id in fit.gpus
    tpot_error = fit.tpot_error_percent if seen else fit.tpot_error_percent_unseen_gpu
    ttft_error = fit.ttft_error_percent if seen else fit.ttft_error_percent_unseen_gpu
    return Prediction(
        ttft_milliseconds=math.ceil(ttft * 1000),
        tpot_milliseconds=math.ceil(tpot * 1000),
        tokens_per_second=int(point.batch * point.output_tokens / request_seconds),
        source=PredictionSource.ROOFLINE,
        error_percent=max(tpot_error, ttft_error),
        tpot_error_percent=tpot_error,
        ttft_error_percent=ttft_error,
    )


def _weighted(terms: Mapping[str, float], weights: Mapping[str, float]) -> float:
    return sum(weights[name] * seconds for name, seconds in terms.items())
