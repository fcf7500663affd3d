"""Speed of one replica from bytes, operations and fitted coefficients.

TPOT and TTFT are sums of the terms of ``features.py``, each times a non-negative coefficient, times a correction for
the model, the GPU and the engine where they were measured (``effects.py``). ``hack/fit_roofline.py`` fits both and
names the source. TTFT is hard to predict because it contains queueing: its error is far larger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.performance.chunked_prefill import further_steps
from deepseek_operator.performance.coefficients import Coefficients, coefficients
from deepseek_operator.performance.effects import covariates_of, factors_of
from deepseek_operator.performance.features import (
    ServingPoint,
    prefill_of,
    prefills_per_token,
    tpot_terms,
    ttft_terms,
    unfitted_seconds,
)
from deepseek_operator.performance.network import between_nodes_seconds, prompt_network_seconds
from deepseek_operator.performance.prediction import Prediction, PredictionSource
from deepseek_operator.performance.second_source import SecondSource, blended_seconds, is_asked, transferred


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


def predict(
    point: ServingPoint, fit: Coefficients | None = None, second: SecondSource | None = None
) -> Prediction | None:
    """Return the mean TTFT, mean TPOT and throughput of a replica with ``point.batch`` requests in flight.

    Args:
        point: one replica and its steady load; ``point.batch`` requests are always in flight (closed loop).
        fit: other coefficients than those of the package.
        second: a source of measured kernel times, blended into TPOT where ``second_source.py`` says so.

    Returns:
        Whole milliseconds, rounded up; None when the GPU's bandwidth or matrix rate is not known, so that a service
        level cannot be checked. ``error_percent`` is the larger of the two bands.

    Source: roofline terms as in ``features.py``, corrections as in ``effects.py``, fitted on InferenceX runs
    (aiconfigurator-core 0.12.0). The errors on configurations and products that a fit had not seen stand in
    ``docs/accuracy.md``. No measured point has pipeline stages, PCIe-only GPUs or an Ampere or Ada product.
    """
    seconds = predict_seconds(point, fit or coefficients())
    if seconds is None:
        return None
    ttft, tpot, source = seconds
    opinion = second.opinion(point) if second is not None and is_asked(point) else None
    tpot = tpot if opinion is None else blended_seconds(tpot, opinion)
    request_seconds = ttft + tpot * max(0, point.output_tokens - 1)
    bands = fit or coefficients()
    tpot_error, ttft_error = bands.tpot.band_percent[source], bands.ttft.band_percent[source]
    return Prediction(
        ttft_milliseconds=math.ceil(ttft * 1000),
        tpot_milliseconds=math.ceil(tpot * 1000),
        tokens_per_second=int(point.batch * point.output_tokens / request_seconds),
        source=source if opinion is None else transferred(source),
        blended_with="" if second is None or opinion is None else second.name,
        error_percent=max(tpot_error, ttft_error),
        tpot_error_percent=tpot_error,
        ttft_error_percent=ttft_error,
    )


def predict_seconds(point: ServingPoint, fit: Coefficients) -> tuple[float, float, PredictionSource] | None:
    """Return mean TTFT and TPOT in seconds and where they come from; None as in `predict`."""
    if not can_predict(point.gpu) or not math.isfinite(point.precision.tflops) or point.precision.tflops <= 0:
        return None
    levels, covariates = factors_of(point, fit.models), covariates_of(point)
    prefill = prefill_of(point)
    roofline = _weighted(tpot_terms(point, prefill), fit.tpot.weights)
    first = _weighted(ttft_terms(point, prefill, roofline), fit.ttft.weights)
    tpot = roofline * fit.tpot.factor(levels, covariates) + step_latency_seconds(point)
    sent = prompt_network_seconds(point)
    tpot += sent * prefills_per_token(point)
    alone = unfitted_seconds(point) + sent
    ttft = first * fit.ttft.factor(levels, covariates) + alone + further_steps(point) * tpot
    return ttft, tpot, fit.source(levels)


def step_latency_seconds(point: ServingPoint) -> float:
    """Return what no measurement covers of one decode step: links without a fast one, stages and other nodes."""
    return unfitted_seconds(point) + between_nodes_seconds(point, point.batch / point.parallelism.pipeline)


def _weighted(terms: Mapping[str, float], weights: Mapping[str, float]) -> float:
    return sum(weights[name] * seconds for name, seconds in terms.items())
