"""What goes into a simulated fleet and what a scrape of it sees: the requests, the service level, a sample."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from deepseek_operator.performance.pace import ReplicaPace
from deepseek_operator.scaling.engine_model import EngineLimits, Request


@dataclass(frozen=True, kw_only=True)
class ServiceLevel:
    """A request meets it when its time to the first token and its own mean time per token are within limits."""

    ttft_seconds: float
    tpot_seconds: float


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Requests in columns, so that a million of them is small.

    Args:
        arrivals: seconds from the start, never falling.
        prompt_tokens: of each request, 1 or more.
        output_tokens: of each request, 1 or more.
    """

    arrivals: array[float]
    prompt_tokens: array[int]
    output_tokens: array[int]

    @property
    def seconds(self) -> float:
        """When the last request arrives, 0 for none."""
        return self.arrivals[-1] if self.arrivals else 0.0

    def request(self, index: int, pace: ReplicaPace, limits: EngineLimits) -> Request:
        """Return a request; an answer ends where the context of the engine does."""
        prompt = self.prompt_tokens[index]
        room = max(1, min(limits.context_tokens, limits.kv_tokens) - prompt)
        output = min(self.output_tokens[index], room)
        return Request(index, self.arrivals[index], prompt, output, pace.prompt(prompt))


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a scrape of all serving and draining replicas sees; counters run from the start.

    Args:
        time: when it was taken, in seconds.
        ready: replicas that get requests.
        starting: ordered and not ready yet.
        running: requests in the batches.
        waiting: requests that no batch has room for.
        first_tokens: requests that got their first token.
        prompt_tokens: read so far.
        tokens: produced so far.
        token_seconds: time between tokens, summed over all of them.
        reading_seconds: time that prompts were read, summed.
        ttft_seconds: summed over all requests that got their first token.
        cached_tokens: in the caches of the serving replicas.
        start_seconds: how long the last replica took to start; None until one did.
        preemptions: so far.
        late: requests that got their first token after the limit, so far.
    """

    time: float
    ready: int
    starting: int
    running: int
    waiting: int
    first_tokens: int
    prompt_tokens: float
    tokens: float
    token_seconds: float
    reading_seconds: float
    ttft_seconds: float
    cached_tokens: float
    start_seconds: float | None
    preemptions: int
    late: int
