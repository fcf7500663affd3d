"""From the demand of a deployment to the load of one replica."""

from __future__ import annotations

import math
from collections.abc import Callable

from deepseek_operator.performance.prediction import Prediction
from deepseek_operator.planner.request import PlanRequest, Workload
from deepseek_operator.units import ceil_div

MOST_REQUESTS_IN_FLIGHT = 8192
"""Where the search for the load of an arrival rate gives up: the replica cannot keep up with it."""

BATCH_DEVIATIONS = 3.0
"""Standard deviations above the mean in flight that a batch holds where requests come at a rate.

A normal law is above that for 0.13 % of the time, so that almost no request waits for a place in the batch.
"""


def tokens_in_flight(workload: Workload, requests: int) -> int:
    """Return the KV cache that so many requests need when each has produced its whole answer.

    >>> tokens_in_flight(Workload(input_tokens=1024, output_tokens=256, max_context_tokens=4096, concurrency=32), 32)
    40960
    """
    return requests * (workload.input_tokens + workload.output_tokens)


def requests_for_rate(
    requests_per_minute: int,
    replicas: int,
    output_tokens: int,
    predict: Callable[[int], Prediction | None],
    deviations: float | None = None,
) -> int | None:
    """Return the requests in flight in one replica when requests arrive at random at a mean rate.

    Little's law: mean requests in flight = arrival rate x time in the system. Their number varies like a Poisson law,
    with the square root of its mean as deviation, and that time grows with the requests in flight, so that a burst
    prolongs itself. The least fixed point is found from below.

    Args:
        requests_per_minute: arrivals of the whole deployment.
        replicas: replicas that share them evenly.
        output_tokens: mean length of an answer.
        predict: speed of one replica by its requests in flight.
        deviations: how many standard deviations above the mean, 0 or more, a request finds in flight, which is one
            more itself; None for the mean.

    Returns:
        1 or more; None when the replica cannot keep up or its speed is not known.

    Sources: J. D. C. Little, "A Proof for the Queuing Formula L = lambda W", Operations Research 9 (1961);
    L. Kleinrock, "Queueing Systems", volume 1 (1975), section 3.4 (the number in M/M/infinity is Poisson).
    """
    per_second = requests_per_minute / 60 / replicas
    requests = 1
    while requests <= MOST_REQUESTS_IN_FLIGHT:
        prediction = predict(requests)
        if prediction is None:
            return None
        seconds = prediction.ttft_milliseconds + prediction.tpot_milliseconds * (output_tokens - 1)
        mean = per_second * seconds / 1000
        found = mean if deviations is None else 1 + math.floor(mean + deviations * math.sqrt(mean) + 0.5)
        needed = max(1, math.ceil(found))
        if needed <= requests:
            return requests
        requests = needed
    return None


def batch_limit(request: PlanRequest, requests: int, engine_default: int) -> int:
    """Return ``max_num_seqs`` for a replica that is planned for so many requests at once.

    A pinned value is obeyed. Else it is a power of two with room for twice the planned load, so that a burst is
    batched and not queued while a replica is added, and at most the engine's default unless the load itself is above.

    Args:
        request: the question, for the pinned value.
        requests: planned requests in flight in one replica, 1 or more.
        engine_default: the engine's own ``max_num_seqs`` on that GPU.
    """
    if request.max_num_seqs is not None:
        return request.max_num_seqs
    with_burst = 1 << (2 * requests - 1).bit_length()
    return min(with_burst, max(engine_default, requests))


def share(concurrency: int, replicas: int) -> int:
    """Return the requests that the busiest replica serves when they are spread evenly.

    >>> share(32, 3)
    11
    """
    return ceil_div(concurrency, replicas)
