"""How long one replica takes for a decode step and for a prompt: the roofline taken apart, for loads that change.

`roofline.predict` answers for a steady closed loop. Scaling and the simulator need what such a loop is made of: the
seconds of one decode step by the requests in the batch and the tokens in their caches, and the seconds that a prompt
keeps the replica from decoding. Both are the same fitted terms, so a simulated closed loop comes out near the
prediction.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

from deepseek_operator.performance.coefficients import Coefficients, coefficients
from deepseek_operator.performance.effects import correction, covariates_of, factors_of
from deepseek_operator.performance.features import (
    ServingPoint,
    prefill_of,
    prefill_seconds,
    prompt_queues,
    tpot_terms,
)
from deepseek_operator.performance.network import prompt_network_seconds
from deepseek_operator.performance.roofline import can_predict, predict_seconds, step_latency_seconds

_PREFILL = "prefill_"
_SHORTEST_PROMPT = 16
_STEPS_PER_DOUBLING = 2


@dataclass(frozen=True, kw_only=True)
class ReplicaPace:
    """Speed of one replica as laws that hold while its load changes.

    Args:
        batches: requests that decode at once, rising from 1.
        step_seconds: of one decode step with so many requests and empty caches.
        seconds_per_cached_token: what each token in the caches adds to a step.
        prompts: prompt lengths in tokens, rising.
        prompt_seconds: how long a prompt of that length keeps its queue busy.
        queues: prompts that the replica reads at the same time, 1 or more.
        first_token_seconds: from the end of the prompt to its first token; others decode meanwhile.
    """

    batches: tuple[int, ...]
    step_seconds: tuple[float, ...]
    seconds_per_cached_token: float
    prompts: tuple[int, ...]
    prompt_seconds: tuple[float, ...]
    queues: int
    first_token_seconds: float

    def step(self, batch: float, cached_tokens: float) -> float:
        """Return the seconds of one decode step.

        Args:
            batch: requests that decode at once, 0 or more; linear between the known ones, and beyond them.
            cached_tokens: in the caches of all of them.
        """
        return _between(self.batches, self.step_seconds, batch) + self.seconds_per_cached_token * cached_tokens

    def prompt(self, tokens: float) -> float:
        """Return the seconds that a prompt keeps its queue busy; linear between the known lengths, and beyond them."""
        if tokens <= self.prompts[0]:
            return self.prompt_seconds[0] * tokens / self.prompts[0]
        return _between(self.prompts, self.prompt_seconds, tokens)


def replica_pace(point: ServingPoint, most_requests: int, fit: Coefficients | None = None) -> ReplicaPace | None:
    """Return the laws of one replica, or None when the speed of its GPU is not known.

    Args:
        point: the replica; its lengths are where the influence of cached tokens is taken.
        most_requests: requests that decode at once at most, 1 or more.
        fit: other coefficients than those of the package.
    """
    known = fit or coefficients()
    if not can_predict(point.gpu):
        return None
    lone = predict_seconds(replace(point, batch=1), known)
    if lone is None:
        return None
    context = point.input_tokens + point.output_tokens / 2
    middle = max(1, most_requests // 2)
    slope = (_step(_with(point, middle, 2), known) - _step(_with(point, middle, 1), known)) / (middle * context)
    slope = max(0.0, slope)
    batches = _grid(1, most_requests)
    lengths = _grid(_SHORTEST_PROMPT, max(point.shape.max_position_embeddings, 2 * _SHORTEST_PROMPT))
    own = known.tpot.effects
    levels = factors_of(point, known.models)
    factor = correction(own, levels, covariates_of(point))
    prompts = tuple(_prompt(replace(point, input_tokens=length), known) * factor for length in lengths)
    reading = _prompt(point, known) * factor
    return ReplicaPace(
        batches=batches,
        step_seconds=tuple(max(0.0, _step(_with(point, each, 1), known) - slope * each * context) for each in batches),
        seconds_per_cached_token=slope,
        prompts=lengths,
        prompt_seconds=prompts,
        queues=prompt_queues(point),
        first_token_seconds=max(0.0, lone[0] - reading),
    )


def _with(point: ServingPoint, batch: int, contexts: int) -> ServingPoint:
    """Return the point with so many requests, each with so many times the mean context."""
    more = (contexts - 1) * (point.input_tokens + point.output_tokens // 2)
    return replace(point, batch=batch, output_tokens=point.output_tokens + 2 * more)


def _step(point: ServingPoint, fit: Coefficients) -> float:
    """Return the TPOT without what the prompts of others take from it."""
    terms = tpot_terms(point, prefill_of(point))
    seconds = sum(fit.tpot.weights[name] * value for name, value in terms.items() if not name.startswith(_PREFILL))
    effect = correction(fit.tpot.effects, factors_of(point, fit.models), covariates_of(point))
    return seconds * effect + step_latency_seconds(point)


def _prompt(point: ServingPoint, fit: Coefficients) -> float:
    return prefill_seconds(prefill_of(point), point, fit.tpot.weights) + prompt_network_seconds(point)


def _grid(first: int, last: int) -> tuple[int, ...]:
    """Return whole numbers from the first to the last, some for each doubling.

    >>> _grid(1, 8)
    (1, 2, 3, 4, 5, 6, 8)
    """
    found, exact = [first], float(first)
    while found[-1] < last:
        exact *= 2 ** (1 / _STEPS_PER_DOUBLING)
        found.append(min(last, max(found[-1] + 1, round(exact))))
    return tuple(found)


def _between(places: tuple[int, ...], values: tuple[float, ...], place: float) -> float:
    """Return the value at a place, linear between the known ones and beyond the last ones."""
    if len(places) == 1:
        return values[0]
    right = min(max(bisect_right(places, place), 1), len(places) - 1)
    left = right - 1
    share = (place - places[left]) / (places[right] - places[left])
    return values[left] + (values[right] - values[left]) * max(share, 0.0)
