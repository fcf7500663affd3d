"""What speculative decoding and weights in host memory do to the speed of a replica.

A step with speculative decoding verifies ``1 + k`` tokens of each request: weights are read once, the cache once per
request, and the arithmetic is that of as many tokens. It yields ``1 + a + a b + ...`` tokens by the acceptance, after
the draft has run ``k`` times (once for a draft of the block kind, never for the prompt's own n-grams). Prefills of
others interrupt as before.

Weights in host memory are read over the host link each time a step reads them; of experts only those that are routed
to. Neither is measured here: the band widens by the range of the acceptance, and by `OFFLOAD_BAND_PERCENT`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from deepseek_operator.catalog.draft_acceptance import Acceptance
from deepseek_operator.performance.coefficients import coefficients
from deepseek_operator.performance.features import (
    TPOT_TERMS,
    ServingPoint,
    prefill_of,
    prompt_queues,
    tpot_terms,
)
from deepseek_operator.performance.prediction import Prediction
from deepseek_operator.performance.roofline import predict_seconds, step_latency_seconds

OFFLOAD_BAND_PERCENT = 50
"""Half width that weights in host memory add: no run was measured. Source: judgement; reads by kernels over PCI Express
reach about half to all of its peak."""

_WEIGHTS = ("dense_weights", "expert_weights")
_DECODE = tuple(name for name in TPOT_TERMS if not name.startswith("prefill"))


@dataclass(frozen=True, kw_only=True)
class Speculation:
    """Speculative decoding of a replica.

    Args:
        tokens: drafted per step, 1 or more.
        acceptance: of them.
        draft_layers: layers of the checkpoint that draft; 0 for another draft.
        block: whether they draft all tokens in one pass.
        draft_point: the draft model under the same load; None for another draft.
    """

    tokens: int
    acceptance: Acceptance
    draft_layers: int = 0
    block: bool = False
    draft_point: ServingPoint | None = None


@dataclass(frozen=True, kw_only=True)
class HostWeights:
    """Weights in host memory.

    Args:
        share: of the weights of the fullest rank, 0 to 1.
        gb_per_second: of one GPU's host link, decimal.
        step_tokens: tokens of one scheduler step, which a prefill of many tokens takes several of.
    """

    share: float
    gb_per_second: float
    step_tokens: int


def predict_with(
    point: ServingPoint, speculation: Speculation | None = None, host: HostWeights | None = None
) -> Prediction | None:
    """Return the mean TTFT, mean TPOT and throughput of a replica with these extras; None as ``roofline.predict``.

    Args:
        point: one replica and its steady load.
        speculation: speculative decoding; None for none.
        host: weights in host memory; None for none.
    """
    fit = coefficients()
    seconds = predict_seconds(point, fit)
    if seconds is None:
        return None
    ttft, plain, source = seconds
    if host is not None:
        ttft += _host_prefill_seconds(point, host)
    mean, low, high = (
        (1.0, 1.0, 1.0) if speculation is None else speculation.acceptance.tokens_per_step(speculation.tokens)
    )
    step, interruptions = _step_seconds(point, plain, speculation, host)
    tpot = step / mean + interruptions
    spread = max(step / low + interruptions - tpot, tpot - step / high - interruptions) / tpot
    bands = [fit.tpot.band_percent[source], 100 * spread, OFFLOAD_BAND_PERCENT if host else 0]
    tpot_error = math.ceil(math.hypot(*bands))
    ttft_error = math.ceil(math.hypot(fit.ttft.band_percent[source], OFFLOAD_BAND_PERCENT if host else 0))
    request_seconds = ttft + tpot * max(0, point.output_tokens - 1)
    return Prediction(
        ttft_milliseconds=math.ceil(ttft * 1000),
        tpot_milliseconds=math.ceil(tpot * 1000),
        tokens_per_second=int(point.batch * point.output_tokens / request_seconds),
        source=source,
        error_percent=max(tpot_error, ttft_error),
        tpot_error_percent=tpot_error,
        ttft_error_percent=ttft_error,
    )


def _step_seconds(
    point: ServingPoint, plain: float, speculation: Speculation | None, host: HostWeights | None
) -> tuple[float, float]:
    """Return the seconds of one step, its draft included, and what prefills of others add to each token."""
    weights, prefill = coefficients().tpot.weights, prefill_of(point)
    terms = tpot_terms(point, prefill)
    extra = step_latency_seconds(point)
    total = sum(weights[name] * terms[name] for name in TPOT_TERMS)
    factor = (plain - extra) / total
    interruptions = factor * sum(weights[name] * terms[name] for name in TPOT_TERMS if name not in _DECODE)
    alone = factor * sum(weights[name] * terms[name] for name in _DECODE) + extra
    if speculation is None:
        return alone + _host_step_seconds(point, terms, host), interruptions
    checked = 1 + speculation.tokens
    verifying = replace(point, batch=point.batch * checked, kv_bytes_per_token=point.kv_bytes_per_token / checked)
    verified = tpot_terms(verifying, prefill)
    step = factor * sum(weights[name] * verified[name] for name in _DECODE) + extra
    step += _host_step_seconds(point, verified, host)
    return step + _draft_seconds(point, alone, speculation), interruptions


def _draft_seconds(point: ServingPoint, alone: float, speculation: Speculation) -> float:
    """Return the seconds that the draft of one step takes; ``alone`` is a step without drafting."""
    passes = 1 if speculation.block else speculation.tokens
    if speculation.draft_point is None:
        return passes * alone * speculation.draft_layers / point.shape.num_layers
    drafted = predict_seconds(speculation.draft_point, coefficients())
    return 0.0 if drafted is None else passes * drafted[1]


def _host_step_seconds(point: ServingPoint, terms: dict[str, float], host: HostWeights | None) -> float:
    if host is None:
        return 0.0
    read_bytes = sum(terms[name] for name in _WEIGHTS) * (point.gpu.memory_bandwidth_gb_per_second or math.nan) * 1e9
    return host.share * read_bytes / (host.gb_per_second * 1e9)


def _host_prefill_seconds(point: ServingPoint, host: HostWeights) -> float:
    """Return the seconds that reading weights from the host adds to a first token, those of prompts before it too."""
    work = prefill_of(point)
    prompts = max(1.0, point.batch / prompt_queues(point))
    steps = math.ceil(prompts * point.input_tokens / host.step_tokens)
    return steps * host.share * (work.dense_bytes + work.expert_bytes) / (host.gb_per_second * 1e9)
