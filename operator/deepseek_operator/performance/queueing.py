"""How far single requests are from the mean: percentiles of TTFT and TPOT of a replica at its load.

Each data-parallel engine (and pipeline stage) reads one prompt after another, so it is a queue whose service is the
prefill. Prompts arrive independently and their lengths spread like an exponential law (a coefficient of variation of
1; the workload states only the mean), so the time through the queue, waiting and own prefill together, is exponential
too with the mean ``s / (1 - u)``, ``s`` being the prefill's seconds and ``u`` the share of time that it is busy. In a
closed loop a prompt finds at most the other requests of its engine before it, which bounds that mean by ``n x s``.

The mean TTFT is the roofline's, fitted on closed loops and queueing included; only the distance from it is taken from
the queue: ``mean x (ln(1 / (1 - p)) - 1)``. The mean TPOT of one request differs from that of all by how many
prefills interrupt its answer: a Poisson number with the mean ``arrivals x time of the answer``, each as long as ``s``.

Both percentiles grow with the load, because the mean, the arrivals and the share of busy time do.

Source: L. Kleinrock, "Queueing Systems", volume 1 (1975), section 3.2 (time in the system of M/M/1); the variance of a
compound Poisson sum is ``m x E[s^2]`` with ``E[s^2] = 2 s^2`` for an exponential law.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

from deepseek_operator.performance.coefficients import Coefficients, coefficients
from deepseek_operator.performance.features import ServingPoint, prefill_of, prefill_seconds, prompt_queues
from deepseek_operator.performance.network import prompt_network_seconds
from deepseek_operator.performance.prediction import Prediction

SECOND_MOMENT = 2.0
"""``E[s^2] / E[s]^2`` of an exponential law."""


@dataclass(frozen=True, kw_only=True)
class LatencyPercentiles:
    """Latencies that a share of all requests stays within, by the point prediction and at the end of its band.

    Args:
        percentile: the share, in percent.
        ttft_milliseconds: time to the first token.
        tpot_milliseconds: a request's own mean time per output token after the first.
        ttft_upper_milliseconds: TTFT at the upper end of the prediction's 90 % band.
        tpot_upper_milliseconds: TPOT there.
        prefill_busy_percent: share of time that the prefill is busy, rounded up.
    """

    percentile: int
    ttft_milliseconds: int
    tpot_milliseconds: int
    ttft_upper_milliseconds: int
    tpot_upper_milliseconds: int
    prefill_busy_percent: int


def latency_percentiles(
    point: ServingPoint,
    predicted: Prediction,
    percentile: int,
    *,
    arrivals_per_second: float | None = None,
    fit: Coefficients | None = None,
) -> LatencyPercentiles | None:
    """Return the percentiles of a replica, see the module's description.

    Args:
        point: the replica and its requests in flight.
        predicted: the means of that point.
        percentile: share of requests, 1 to 99.
        arrivals_per_second: rate of an open stream at the replica; None for a closed loop of ``point.batch`` requests.
        fit: other coefficients than those of the package.

    Returns:
        Whole milliseconds, rounded up; None when an open stream keeps the prefill busy all the time, so that waiting
        grows without bound.
    """
    ttft, tpot = predicted.ttft_milliseconds / 1000, predicted.tpot_milliseconds / 1000
    answer = tpot * max(0, point.output_tokens - 1)
    queues = prompt_queues(point)
    in_queue = max(1.0, point.batch / queues)
    service = prefill_seconds(prefill_of(point), point, (fit or coefficients()).tpot.weights)
    service += prompt_network_seconds(point)
    closed = arrivals_per_second is None
    rate = in_queue / (ttft + answer) if arrivals_per_second is None else arrivals_per_second / queues
    busy = rate * service
    if busy >= 1 and not closed:
        return None
    through = service * min(1 / (1 - busy) if busy < 1 else math.inf, in_queue if closed else math.inf)
    waited = ttft + through * exponential_excess(percentile)
    interrupted = service * math.sqrt(SECOND_MOMENT * rate * answer) / max(1, point.output_tokens - 1)
    paced = tpot + interrupted * normal_excess(percentile)
    ttft_band = _band_percent(predicted.ttft_error_percent, predicted)
    tpot_band = _band_percent(predicted.tpot_error_percent, predicted)
    return LatencyPercentiles(
        percentile=percentile,
        ttft_milliseconds=math.ceil(waited * 1000),
        tpot_milliseconds=math.ceil(paced * 1000),
        ttft_upper_milliseconds=math.ceil(waited * 1000 * (1 + ttft_band / 100)),
        tpot_upper_milliseconds=math.ceil(paced * 1000 * (1 + tpot_band / 100)),
        prefill_busy_percent=math.ceil(100 * min(1.0, busy)),
    )


@cache
def exponential_excess(percentile: int) -> float:
    """Return by how many means the percentile of an exponential law lies above its mean, 0 where it lies below.

    >>> round(exponential_excess(95), 3), exponential_excess(50)
    (1.996, 0.0)
    """
    return max(0.0, math.log(100 / (100 - percentile)) - 1)


@cache
def normal_excess(percentile: int) -> float:
    """Return by how many standard deviations the percentile of a normal law lies above its mean, 0 below.

    >>> round(normal_excess(95), 3), normal_excess(40)
    (1.645, 0.0)
    """
    return max(0.0, NormalDist().inv_cdf(percentile / 100))


def _band_percent(of_one: int | None, predicted: Prediction) -> int:
    return predicted.error_percent if of_one is None else of_one
