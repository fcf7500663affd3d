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
from dataclasses import dataclass

from deepseek_operator.performance.pace import ReplicaPace
from deepseek_operator.scaling.engine_model import EngineLimits

TPOT_SHARE = 0.97
"""Share of the TPOT limit that the mean of a replica may reach: single requests and busier replicas lie above it.

Chosen in the benchmark of docs/scaling.md, on the traces that tuning may see.
"""

BUSY_WITH_PROMPTS = 0.7
"""Share of time that a replica may read prompts; beyond it waiting grows without bound in bursts."""

CACHE_SHARE = 0.9
"""Share of the KV cache that the mean load may take, so that bursts preempt nothing."""


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
    """

    tokens_per_second: float
    prompts_per_second: float
    prompt_work: float
    context_tokens: float

    def times(self, factor: float) -> Load:
        """Return so many times the load."""
        return Load(
            tokens_per_second=self.tokens_per_second * factor,
            prompts_per_second=self.prompts_per_second * factor,
            prompt_work=self.prompt_work * factor,
            context_tokens=self.context_tokens,
        )


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

    def batch(self, busy: float, context_tokens: float) -> float:
        """Return the most requests that decode at once within the limits of TPOT and batch; 0 for none."""
        most = float(self.limits.batch)
        allowed = self.tpot_seconds * TPOT_SHARE
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
        batch = self.batch(busy, load.context_tokens)
        if share * reserve * self.tpot(batch, busy, load.context_tokens) > batch:
            return False
        held = self.in_flight(share, busy, load.context_tokens) * load.context_tokens
        return held <= CACHE_SHARE * self.limits.kv_tokens or share * self.tpot(1, busy, load.context_tokens) < 1

    def _reads_in_time(self, load: Load, busy: float) -> bool:
        if load.prompts_per_second <= 0:
            return True
        reading = load.prompt_work * self.prompt_factor / load.prompts_per_second
        alone = reading * math.log(100 / (100 - self.percentile))
        return alone / (1.0 - busy) <= max(self.ttft_seconds, HOPELESS * alone)

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
