"""One replica in the simulator: an engine with continuous batching, in jumps from event to event.

The engine reads prompts in the order of their arrival, and decodes for all its requests while it reads none (a prompt
stalls the answers of the others, as in the planner's performance model). All requests in the batch get their tokens
at the same pace, so the engine needs one clock of tokens: a request ends when that clock has moved by its answer.
Between two events nothing but the caches grows, so the time of the next end is computed and not stepped to.

Limits are the engine's own: requests in a batch, and tokens in the KV cache. When the cache is full, the newest
request gives its place up and is read again later, with what it had written.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from deepseek_operator.performance.pace import ReplicaPace

NEVER = math.inf
KV_ADMISSION_SHARE = 0.99
"""Share of the cache that may be taken for a prompt to be let in: the rest is left to those that decode.

A watermark keeps requests from being let in and put off in turns; its size in the engine is a guess.
"""


@dataclass(frozen=True, kw_only=True)
class EngineLimits:
    """What one replica holds.

    Args:
        batch: requests at once in all its engines.
        kv_tokens: tokens that its caches hold.
        context_tokens: longest prompt and answer of one request.
    """

    batch: int
    kv_tokens: int
    context_tokens: int


class Request:
    """One request and what became of it; times in seconds, ``-1`` until they are known."""

    __slots__ = (
        "arrived",
        "ended",
        "first_token",
        "kept",
        "number",
        "output_tokens",
        "prompt_seconds",
        "prompt_tokens",
        "started",
    )

    def __init__(
        self, number: int, arrived: float, prompt_tokens: int, output_tokens: int, prompt_seconds: float
    ) -> None:
        self.number = number
        self.arrived = arrived
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.prompt_seconds = prompt_seconds
        self.first_token = -1.0
        self.ended = -1.0
        self.started = 0.0
        """Where the token clock of the replica stood when the request began to decode."""
        self.kept = 0
        """Tokens of its answer that it had when it lost its place."""


class EngineModel:
    """One replica under load; see the module. Times must not go back."""

    __slots__ = (
        "_factor",
        "_slope",
        "_steps",
        "batch_seconds",
        "cached",
        "clock",
        "decoding",
        "ended",
        "first_tokens",
        "limits",
        "now",
        "pace",
        "preemptions",
        "prompt_tokens_read",
        "reading",
        "reading_ends",
        "reading_seconds",
        "token_count",
        "token_seconds",
        "waiting",
    )

    def __init__(self, pace: ReplicaPace, limits: EngineLimits, steps: list[float], now: float) -> None:
        """Make an idle engine; ``steps`` are `step_table` of its pace, shared by all replicas."""
        self.pace = pace
        self.limits = limits
        self._steps = steps
        self._slope = pace.seconds_per_cached_token
        self._factor = 1.0 / pace.queues
        self.now = now
        self.clock = 0.0
        self.cached = 0.0
        self.decoding: list[tuple[float, int, Request]] = []
        self.waiting: deque[Request] = deque()
        self.reading: Request | None = None
        self.reading_ends = NEVER
        self.first_tokens: list[Request] = []
        self.ended: list[Request] = []
        self.preemptions = 0
        self.prompt_tokens_read = 0
        self.reading_seconds = 0.0
        self.token_count = 0.0
        self.token_seconds = 0.0
        self.batch_seconds = 0.0

    @property
    def running(self) -> int:
        """Requests in the batch, the one that is read included."""
        return len(self.decoding) + (self.reading is not None)

    @property
    def in_flight(self) -> int:
        """Requests that the replica has not ended."""
        return len(self.decoding) + len(self.waiting) + (self.reading is not None)

    def arrive(self, request: Request, now: float) -> bool:
        """Take a request; returns whether the time of the next event has changed."""
        if self.reading is not None:
            self.waiting.append(request)
            return False
        self.advance(now)
        self.waiting.append(request)
        return self._read_next()

    def next_event(self) -> float:
        """Return when something happens by itself, or `NEVER`."""
        if self.reading is not None:
            return self.reading_ends
        decoding = self.decoding
        if not decoding:
            return NEVER
        count = len(decoding)
        ahead = decoding[0][0] - self.clock
        room = (self.limits.kv_tokens - self.cached) / count
        if room < ahead:
            ahead = room if room > 1.0 else 1.0
        if ahead <= 0.0:
            return self.now
        return self.now + ahead * (self._steps[count] + self._slope * (self.cached + 0.5 * count * ahead))

    def advance(self, now: float) -> None:
        """Move on to a time that is not after the next event."""
        elapsed = now - self.now
        if elapsed <= 0.0:
            return
        self.now = now
        count = len(self.decoding)
        if count == 0:
            return
        seconds = count * elapsed
        self.token_seconds += seconds
        self.batch_seconds += seconds
        if self.reading is not None:
            return
        step = self._steps[count] + self._slope * self.cached
        growth = 2.0 * self._slope * count * elapsed
        tokens = 2.0 * elapsed / (step + math.sqrt(step * step + growth))
        self.clock += tokens
        self.cached += tokens * count
        self.token_count += tokens * count

    def happen(self, now: float) -> None:
        """Do what is due at `next_event`."""
        self.advance(now)
        request = self.reading
        if request is not None:
            self.reading = None
            self.reading_ends = NEVER
            self._start(request)
            if self.waiting:
                self._read_next()
            return
        decoding = self.decoding
        if not decoding:
            return
        due = self.clock + 1e-6
        if decoding[0][0] > due:
            if self.cached + len(decoding) > self.limits.kv_tokens:
                self._preempt()
            return
        while decoding and decoding[0][0] <= due:
            _, _, done = heappop(decoding)
            self._end(done)
        if not decoding:
            self.cached = 0.0
        if self.waiting:
            self._read_next()

    def lost(self) -> list[Request]:
        """Return every request that the replica has not ended, and forget them."""
        left = [request for _, _, request in self.decoding] + list(self.waiting)
        if self.reading is not None:
            left.append(self.reading)
        self.decoding.clear()
        self.waiting.clear()
        self.reading, self.reading_ends, self.cached = None, NEVER, 0.0
        return left

    def _read_next(self) -> bool:
        """Begin with the next prompt when there is one and room for it; returns whether it did."""
        if not self.waiting or self.reading is not None:
            return False
        request = self.waiting[0]
        if len(self.decoding) >= self.limits.batch:
            return False
        needed = request.prompt_tokens + request.kept
        if self.decoding and self.cached + needed > self.limits.kv_tokens * KV_ADMISSION_SHARE:
            return False
        self.waiting.popleft()
        seconds = request.prompt_seconds if request.kept == 0 else self.pace.prompt(needed)
        self.reading = request
        self.reading_ends = self.now + seconds * self._factor
        self.reading_seconds += seconds
        self.prompt_tokens_read += needed
        return True

    def _start(self, request: Request) -> None:
        if request.first_token < 0.0:
            extra = request.prompt_seconds * (1.0 - self._factor) + self.pace.first_token_seconds
            request.first_token = self.now + extra
            self.first_tokens.append(request)
            self.token_count += 1.0
        left = request.output_tokens - 1 - request.kept
        if left <= 0:
            request.ended = self.now
            self.ended.append(request)
            return
        request.started = self.clock - request.kept
        self.cached += request.prompt_tokens + request.kept
        heappush(self.decoding, (self.clock + left, request.number, request))

    def _end(self, request: Request) -> None:
        request.ended = self.now
        self.cached -= request.prompt_tokens + (self.clock - request.started)
        self.ended.append(request)

    def _preempt(self) -> None:
        """Put the request that came last off."""
        entry = max(self.decoding, key=lambda each: (each[2].first_token, each[1]))
        request = entry[2]
        self.decoding.remove(entry)
        heapify(self.decoding)
        written = self.clock - request.started
        self.cached -= request.prompt_tokens + written
        request.kept = int(written)
        self.waiting.appendleft(request)
        self.preemptions += 1


def step_table(pace: ReplicaPace, batch: int) -> list[float]:
    """Return the seconds of a step with empty caches for 0 to ``batch`` requests, so that none is computed twice."""
    return [pace.step(max(1, count), 0) for count in range(batch + 1)]
