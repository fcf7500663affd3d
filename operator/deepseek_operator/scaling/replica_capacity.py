"""How much load replicas carry within the service level: the planner's performance model at the load that is there.

With ``N`` replicas each decodes ``G / N`` tokens per second and reads prompts for a share ``u`` of its time. A decode
step of ``b`` requests takes ``step(b)``; what prompts take stretches it to ``TPOT = step(b) / (1 - u)``, and
``b = G / N x TPOT`` requests are in flight (Little's law). So many replicas are enough when that TPOT and the time
through the queue of prompts, ``s / (1 - u) x ln(100 / (100 - percentile))``, are within the service level, and the
batch and the cache hold the requests. Sources of the formulas: ``performance/queueing.py`` and ``planner/demand.py``.

Both laws are corrected by what running engines measure.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from statistics import NormalDist

from deepseek_operator.performance.pace import ReplicaPace
from deepseek_operator.scaling.engine_model import EngineLimits

TPOT_SHARE = 0.97
"""Share of the TPOT limit that the mean of a replica may reach: single requests and busier replicas lie above it.

Chosen in the benchmark of docs/scaling.md, on the traces that tuning may see.
"""

BUSY_WITH_PROMPTS = 0.7
"""Share of time that a replica may read prompts; beyond it waiting grows without bound in bursts."""

CACHE_SHARE = 0.9
"""Share of the KV cache that the mean load may take at most, so that bursts preempt nothing."""

CACHE_DEVIATIONS = 1.0
"""Standard deviations that are left free of a KV cache, so that chance preempts little: the tokens of so many requests
whose lengths vary about as much as they are long (exponentially) vary by ``sqrt(2 / requests)`` of their sum."""

_NORMAL = NormalDist()

HOPELESS = 1.5
"""Where prompts alone take longer than the TTFT limit, replicas are added until they wait half as long again."""

_HALVINGS = 12


@dataclass(frozen=True, kw_only=True)
class Load:
    """What all replicas together have to do.

    Args:
        tokens_per_second: of all answers.
        prompts_per_second: requests.
        prompt_work: seconds per second that one queue would read prompts, by the planner's model.
        context_tokens: mean tokens of a running request in the cache.
        newcomer_tokens: the same of requests that come on top of it, which are like the mean request and not like those
            that happen to run, most of which are long; None for no difference.
        answer_tokens: of a mean answer; infinite for one that takes no notice of single prompts.
    """

    tokens_per_second: float
    prompts_per_second: float
    prompt_work: float
    context_tokens: float
    newcomer_tokens: float | None = None
    answer_tokens: float = math.inf

    def context(self, reserve: float) -> float:
        """Return the mean tokens of a running request when the load is so many times as large.

        >>> load = Load(
        ...     tokens_per_second=1, prompts_per_second=1, prompt_work=1, context_tokens=6000, newcomer_tokens=2000
        ... )
        >>> load.context(1), load.context(2)
        (6000.0, 4000.0)
        """
        newcomer = self.context_tokens if self.newcomer_tokens is None else self.newcomer_tokens
        return (self.context_tokens + (reserve - 1) * newcomer) / reserve


@dataclass(frozen=True, kw_only=True)
class ReplicaCapacity:
    """What one replica carries.

    Args:
        pace: its speed as planned.
        limits: of its engine.
        ttft_seconds: limit of the service level.
        tpot_seconds: limit of the service level.
        percentile: share of requests that must meet it, 1 to 99.
        step_factor: measured over planned seconds of a decode step.
        prompt_factor: measured over planned seconds of a prompt.
    """

    pace: ReplicaPace
    limits: EngineLimits
    ttft_seconds: float
    tpot_seconds: float
    percentile: int
    step_factor: float = 1.0
    prompt_factor: float = 1.0

    def busy(self, load: Load, replicas: int) -> float:
        """Return the share of time that each replica reads prompts."""
        return load.prompt_work * self.prompt_factor / (replicas * self.pace.queues)

    def tpot(self, batch: float, busy: float, context_tokens: float) -> float:
        """Return the mean seconds per token with so many requests in a batch; infinite when only prompts are read."""
        if busy >= 1.0:
            return math.inf
        return self.pace.step(max(1.0, batch), batch * context_tokens) * self.step_factor / (1.0 - busy)

    def spread(self, load: Load, busy: float) -> float:
        """Return the seconds per token by which the percentile lies above the mean, as prompts stall answers by chance.

        An answer of ``L`` tokens is stalled by about ``n = rate x L x TPOT`` prompts of ``s`` seconds. Their number is
        Poisson and their lengths vary about as much as they are long, so its TPOT varies by ``s x sqrt(2 n) / L``.
        """
        if load.prompts_per_second <= 0:
            return 0.0
        reading = load.prompt_work * self.prompt_factor / load.prompts_per_second
        deviation = math.sqrt(2.0 * busy * self.pace.queues * reading * self.tpot_seconds / load.answer_tokens)
        return _NORMAL.inv_cdf(self.percentile / 100) * deviation / self.pace.queues

    def batch(self, busy: float, context_tokens: float, spread: float = 0.0) -> float:
        """Return the most requests that decode at once within the limits of TPOT and batch; 0 for none.

        Args:
            busy: share of time that prompts are read.
            context_tokens: mean tokens of a running request.
            spread: of `spread`; the mean must stay below the limit by as much.
        """
        most = float(self.limits.batch)
        allowed = self.tpot_seconds * TPOT_SHARE - spread
        if self.tpot(most, busy, context_tokens) <= allowed:
            return most
        low, high = 0.0, most
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self.tpot(middle, busy, context_tokens) <= allowed:
                low = middle
            else:
                high = middle
        return low

    def in_flight(self, tokens_per_second: float, busy: float, context_tokens: float) -> float:
        """Return the requests that decode at once in a replica that makes so many tokens; its limit where it cannot."""
        low, high = 0.0, float(self.limits.batch)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if middle >= tokens_per_second * self.tpot(middle, busy, context_tokens):
                high = middle
            else:
                low = middle
        return high

    def carries(self, load: Load, replicas: int, reserve: float = 1.0) -> bool:
        """Whether so many replicas serve a load within the service level.

        Args:
            load: what is expected.
            replicas: 0 or more.
            reserve: how many times the tokens and prompts may come for a while, 1 or more; their caches are small yet.
        """
        if replicas <= 0:
            return load.tokens_per_second <= 0 and load.prompts_per_second <= 0
        busy = self.busy(load, replicas) * reserve
        if busy > BUSY_WITH_PROMPTS or not self._reads_in_time(load, busy):
            return False
        share = load.tokens_per_second / replicas
        context = load.context(reserve)
        batch = self.batch(busy, context, self.spread(load, busy))
        if share * reserve * self.tpot(batch, busy, context) > batch:
            return False
        running = max(1.0, self.in_flight(share, busy, load.context_tokens))
        held = running * load.context_tokens
        room = min(CACHE_SHARE, 1.0 / (1.0 + CACHE_DEVIATIONS * math.sqrt(2.0 / running))) * self.limits.kv_tokens
        return held <= room or share * self.tpot(1, busy, load.context_tokens) < 1

    def _reads_in_time(self, load: Load, busy: float) -> bool:
        if load.prompts_per_second <= 0:
            return True
        reading = load.prompt_work * self.prompt_factor / load.prompts_per_second
        alone = reading * math.log(100 / (100 - self.percentile))
        return alone / (1.0 - busy) <= max(self.ttft_seconds, HOPELESS * alone)

    def prompt_tokens(self, seconds: float) -> float:
        """Return the length of a prompt that is read in so many seconds by the plan."""
        lengths, known = self.pace.prompts, self.pace.prompt_seconds
        place = min(max(bisect_right(known, seconds), 1), len(known)) - 1
        return lengths[place] * seconds / known[place]

    def replicas(self, load: Load, most: int, reserve: float = 1.0) -> int:
        """Return the fewest replicas that serve a load within the service level, at most ``most``.

        More replicas never carry less, so the number is found by bisection.
        """
        low, high = 0, most
        while low < high:
            middle = (low + high) // 2
            if self.carries(load, middle, reserve):
                high = middle
            else:
                low = middle + 1
        return low
