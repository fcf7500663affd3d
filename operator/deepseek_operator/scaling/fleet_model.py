"""All replicas of one object in the simulator: starting, serving, draining and lost ones, and their requests."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from heapq import heappop, heappush

from deepseek_operator.performance.pace import ReplicaPace
from deepseek_operator.scaling.engine_model import NEVER, EngineLimits, EngineModel, Request, step_table
from deepseek_operator.scaling.fleet_values import Sample, ServiceLevel, Trace


class _Replica:
    __slots__ = ("draining", "engine", "gone_at", "ordered_at", "ready_at", "version")

    def __init__(self, ordered_at: float, ready_at: float) -> None:
        self.ordered_at = ordered_at
        self.ready_at = ready_at
        self.engine: EngineModel | None = None
        self.draining = False
        self.gone_at = -1.0
        self.version = 0


class FleetModel:
    """Replicas behind one Service; a gateway sends each request to the less busy of two that it draws.

    A replica that goes gets no more requests, ends what it has, and holds its GPUs until then. One that is lost takes
    its requests with it, and its owner (a Deployment) orders another one at once.
    """

    def __init__(
        self,
        pace: ReplicaPace,
        limits: EngineLimits,
        level: ServiceLevel,
        *,
        start_seconds: Callable[[], float],
        most_replicas: int,
        seed: int,
    ) -> None:
        """Make a fleet without replicas.

        Args:
            pace: speed of one replica.
            limits: of one replica.
            level: what each request is judged by.
            start_seconds: how long the next replica takes to start.
            most_replicas: that the GPUs allow, draining ones included; what is ordered beyond waits.
            seed: of the gateway's draws.
        """
        self._pace = pace
        self._limits = limits
        self._level = level
        self._steps = step_table(pace, limits.batch)
        self._start_seconds = start_seconds
        self._most = most_replicas
        self._random = random.Random(seed)  # noqa: S311 - draws of a simulation, not a secret
        self._starting: list[_Replica] = []
        self._serving: list[_Replica] = []
        self._draining: list[_Replica] = []
        self._events: list[tuple[float, int, int, _Replica]] = []
        self._order = 0
        self.now = 0.0
        self.desired = 0
        self.within = 0
        self.rejected = 0
        self.answered = 0
        self.ttft = array("f")
        self.tpot = array("f")
        self.lost_replicas = 0
        self._gone_seconds = 0.0
        self._gone = _Counters()
        self._last_start: float | None = None

    @property
    def replica_seconds(self) -> float:
        """Seconds that replicas have held their GPUs so far, starting and draining ones included."""
        held = self._starting + self._serving + self._draining
        return self._gone_seconds + sum(self.now - each.ordered_at for each in held)

    @property
    def ready(self) -> int:
        """Replicas that get requests."""
        return len(self._serving)

    @property
    def in_flight(self) -> int:
        """Requests that have not ended."""
        return sum(each.engine.in_flight for each in self._serving + self._draining if each.engine)

    def begin(self, replicas: int) -> None:
        """Order replicas that are ready at once, before the first request."""
        self.desired = replicas
        for _ in range(min(replicas, self._most)):
            self._order_one(0.0)
        self._wake(self.now)

    def set_desired(self, replicas: int) -> None:
        """Ask for so many replicas from now on, starting ones included."""
        self.desired = replicas
        self._follow()

    def _follow(self) -> None:
        """Order or stop replicas until as many as desired start or serve, as far as the GPUs allow."""
        while self._have < self.desired and self._have + len(self._draining) < self._most:
            self._order_one(self._start_seconds())
        while self._have > self.desired and self._starting:
            self._release(self._starting.pop())
        while self._have > self.desired and self._serving:
            least = min(self._serving, key=lambda each: (_load(each), -each.ordered_at))
            self._serving.remove(least)
            least.draining = True
            self._draining.append(least)
            self._leave_when_empty(least)

    @property
    def _have(self) -> int:
        """Replicas that start or serve; a replica that goes at once has changed them when the next one is chosen."""
        return len(self._starting) + len(self._serving)

    def lose_one(self) -> None:
        """Take the replica with the most requests away, with all its requests."""
        if not self._serving:
            return
        victim = max(self._serving, key=_load)
        self._serving.remove(victim)
        self.lost_replicas += 1
        if victim.engine is not None:
            self._collect(victim.engine)
            self.rejected += len(victim.engine.lost())
            victim.version += 1
        self._release(victim)
        self._follow()

    def run(self, trace: Trace, until: float, first: int) -> int:
        """Let time pass up to ``until`` with the requests from index ``first`` on; returns the next one's index."""
        index, arrivals = first, trace.arrivals
        count = len(arrivals)
        events, limit = self._events, until
        while True:
            arrived = arrivals[index] if index < count else NEVER
            due = events[0][0] if events else NEVER
            if arrived <= due:
                if arrived >= limit:
                    break
                self._route(trace.request(index, self._pace, self._limits))
                index += 1
                continue
            if due >= limit:
                break
            at, _, version, replica = heappop(events)
            if version == replica.version and replica.engine is not None:
                replica.engine.happen(at)
                self._after(replica, at)
            elif replica.engine is None:
                self._wake(at)
        self.now = limit
        self._wake(limit)
        return index

    def sample(self) -> Sample:
        """Return what a scrape sees now."""
        counters = self._gone.copy()
        running = waiting = 0
        cached = 0.0
        for replica in self._serving + self._draining:
            engine = replica.engine
            if engine is None:
                continue
            engine.advance(self.now)
            self._collect(engine)
            counters.add(engine)
            running += engine.running
            waiting += len(engine.waiting)
            if not replica.draining:
                cached += engine.cached
        return Sample(
            time=self.now,
            ready=len(self._serving),
            starting=len(self._starting),
            running=running,
            waiting=waiting,
            first_tokens=len(self.ttft),
            prompt_tokens=counters.prompt_tokens,
            tokens=counters.tokens,
            token_seconds=counters.token_seconds,
            reading_seconds=counters.reading_seconds,
            ttft_seconds=self._gone.ttft_seconds,
            cached_tokens=cached,
            start_seconds=self._last_start,
            preemptions=counters.preemptions,
            late=self._gone.late,
        )

    def _order_one(self, seconds: float) -> None:
        replica = _Replica(self.now, self.now + seconds)
        self._starting.append(replica)
        self._order += 1
        heappush(self._events, (replica.ready_at, self._order, 0, replica))

    def _wake(self, now: float) -> None:
        """Let replicas serve whose start-up is over."""
        ready = [each for each in self._starting if each.ready_at <= now]
        for replica in ready:
            self._starting.remove(replica)
            replica.engine = EngineModel(self._pace, self._limits, self._steps, replica.ready_at)
            replica.version = 1
            if replica.ready_at > replica.ordered_at:
                self._last_start = replica.ready_at - replica.ordered_at
            self._serving.append(replica)

    def _route(self, request: Request) -> None:
        serving = self._serving
        if not serving or request.prompt_tokens >= self._limits.context_tokens:
            self.rejected += 1
            return
        count = len(serving)
        draw = self._random.random
        chosen = serving[int(draw() * count)]
        if count > 1:
            other = serving[int(draw() * count)]
            if _load(other) < _load(chosen):
                chosen = other
        engine = chosen.engine
        if engine is not None and engine.arrive(request, request.arrived):
            self._schedule(chosen, engine)

    def _after(self, replica: _Replica, now: float) -> None:
        engine = replica.engine
        if engine is None:
            return
        if engine.ended:
            self._collect(engine)
            if replica.draining and engine.in_flight == 0:
                self.now = now
                self._leave_when_empty(replica)
                return
        self._schedule(replica, engine)

    def _schedule(self, replica: _Replica, engine: EngineModel) -> None:
        replica.version += 1
        due = engine.next_event()
        if due < NEVER:
            self._order += 1
            heappush(self._events, (due, self._order, replica.version, replica))

    def _leave_when_empty(self, replica: _Replica) -> None:
        if replica.engine is not None and replica.engine.in_flight > 0:
            return
        self._draining.remove(replica)
        if replica.engine is not None:
            self._collect(replica.engine)
        self._release(replica)
        self._follow()

    def _release(self, replica: _Replica) -> None:
        """Give a replica's GPUs back."""
        replica.gone_at = self.now
        replica.version += 1
        self._gone_seconds += self.now - replica.ordered_at
        if replica.engine is not None:
            self._gone.add(replica.engine)
        replica.engine = None
        replica.ready_at = NEVER

    def _collect(self, engine: EngineModel) -> None:
        """Judge what has ended since the last time."""
        gone, level = self._gone, self._level
        for request in engine.first_tokens:
            seconds = request.first_token - request.arrived
            self.ttft.append(seconds)
            gone.ttft_seconds += seconds
            if seconds > level.ttft_seconds:
                gone.late += 1
        engine.first_tokens.clear()
        for request in engine.ended:
            self.answered += 1
            pace = 0.0
            if request.output_tokens > 1:
                pace = max(0.0, request.ended - request.first_token) / (request.output_tokens - 1)
                self.tpot.append(pace)
            if pace <= level.tpot_seconds and request.first_token - request.arrived <= level.ttft_seconds:
                self.within += 1
        engine.ended.clear()


def _load(replica: _Replica) -> int:
    return replica.engine.in_flight if replica.engine is not None else 0


class _Counters:
    """Counters of replicas that are gone, so that sums never fall."""

    __slots__ = (
        "late",
        "preemptions",
        "prompt_tokens",
        "reading_seconds",
        "token_seconds",
        "tokens",
        "ttft_seconds",
    )

    def __init__(self) -> None:
        self.prompt_tokens = 0.0
        self.tokens = 0.0
        self.token_seconds = 0.0
        self.reading_seconds = 0.0
        self.ttft_seconds = 0.0
        self.preemptions = 0
        self.late = 0

    def add(self, engine: EngineModel) -> None:
        self.prompt_tokens += engine.prompt_tokens_read
        self.tokens += engine.token_count
        self.token_seconds += engine.token_seconds
        self.reading_seconds += engine.reading_seconds
        self.preemptions += engine.preemptions

    def copy(self) -> _Counters:
        other = _Counters()
        other.prompt_tokens, other.tokens = self.prompt_tokens, self.tokens
        other.token_seconds, other.reading_seconds = self.token_seconds, self.reading_seconds
        other.preemptions = self.preemptions
        return other
