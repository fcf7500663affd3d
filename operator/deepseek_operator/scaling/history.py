"""What scaling remembers of one object between two decisions: bounded, and a value like everything that decides."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

REMEMBERED_SECONDS = 1200.0
"""How long observations are kept: answers of some minutes must have ended for their mean length to be right."""

BIN_SECONDS = 300.0
MOST_BINS = 576
"""The highest load of every five minutes, for two days: services for people repeat by the day, and the rise to the
peak of yesterday is to be remembered with it."""

LOW_BINS = 6
"""Half an hour."""

RARE_SHARE = 0.02
"""Share of the remembered time from which a larger rise was seen than is prepared for."""

FALLEN_SHARE = 0.9
"""A load is taken to fall when the highest of five minutes is below so much of that of the half hour before."""

GROWN_FACTOR = 1.1
"""A load is taken to have grown since a restart when it is so many times what it was then."""

MOST_STARTS = 5


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One evaluated snapshot.

    Args:
        time: seconds, as ``now`` of the decision.
        tokens_per_second: that the requests in flight make together.
        offered_tokens_per_second: the same if there were room for those that wait.
        arrivals_per_second: requests that came.
        starts_per_second: requests that got their first token.
        waiting: requests that no batch had room for.
        in_flight: requests that run, and of those that wait as many as would run if there were room.
        prompt_work: seconds per second that prompts are read.
    """

    time: float
    tokens_per_second: float
    offered_tokens_per_second: float
    arrivals_per_second: float
    starts_per_second: float
    waiting: float
    in_flight: float
    prompt_work: float


@dataclass(frozen=True, kw_only=True)
class Inherited:
    """What the replicas were worth that an earlier process left.

    Args:
        load: tokens per second that were expected when this process saw it first, above 0.
        prepared: tokens per second that those replicas carried, ``load`` or more.
    """

    load: float
    prepared: float

    def most(self, load: float) -> float:
        """Return the tokens per second to prepare for at most; as many times the load, once it has grown.

        >>> [round(Inherited(load=1000.0, prepared=1500.0).most(each)) for each in (300.0, 1100.0, 2200.0)]
        [1500, 1500, 3000]
        """
        return self.prepared * max(1.0, load / (GROWN_FACTOR * self.load))


@dataclass(frozen=True, kw_only=True)
class History:
    """What is remembered; an empty one is right for an object that nobody has seen yet.

    Args:
        observations: of the last `REMEMBERED_SECONDS`, oldest first.
        bins: highest load of every `BIN_SECONDS`, as (start, tokens per second), oldest first.
        needs: recommendations that may still hold replicas, as (time, replicas), oldest and largest first.
        starts: seconds that the last replicas took to start, newest last.
        step_factor: measured over planned seconds of a decode step.
        gave_up_at: when GPUs did not come for the last time.
        calm_seconds: for how long the load was known when it fell the last time, see `expected_peak`.
        restored: replicas that an earlier process decided, until the first load is seen; None for none.
        inherited: what those were worth; None where they told nothing.
    """

    observations: tuple[Observation, ...] = ()
    bins: tuple[tuple[float, float], ...] = ()
    needs: tuple[tuple[float, int], ...] = ()
    starts: tuple[float, ...] = ()
    step_factor: float = 1.0
    gave_up_at: float | None = None
    calm_seconds: float = 0.0
    restored: int | None = None
    inherited: Inherited | None = None

    def since(self, time: float) -> tuple[Observation, ...]:
        """Return the observations at or after a time."""
        found = self.observations
        low, high = 0, len(found)
        while low < high:
            middle = (low + high) // 2
            if found[middle].time < time:
                low = middle + 1
            else:
                high = middle
        return found[low:]

    def start_seconds(self, otherwise: float) -> float:
        """Return the longest of the start-up times that were seen last, or what is assumed until one was."""
        return max(self.starts, default=otherwise)

    def with_start(self, seconds: float | None) -> History:
        """Return it with one more start-up time, when that is news."""
        if seconds is None or (self.starts and self.starts[-1] == seconds):
            return self
        return replace(self, starts=(*self.starts, seconds)[-MOST_STARTS:])

    def begun(self, now: float, current: int) -> History:
        """Return an empty history as one that takes what runs for needed, so that a restart stops nothing at once."""
        return self if self.needs else replace(self, needs=((now, current),))

    def load(self, since: float) -> float:
        """Return the mean tokens per second of the observations at or after a time, 0 for none."""
        found = self.since(since)
        return sum(each.tokens_per_second for each in found) / len(found) if found else 0.0

    def with_observation(self, seen: Observation) -> History:
        """Return it with one more observation."""
        kept = self.since(seen.time - REMEMBERED_SECONDS)
        history = replace(self, observations=(*kept, seen))
        load, bins = history.load(seen.time - BIN_SECONDS), self.bins
        if not bins or seen.time >= bins[-1][0] + BIN_SECONDS:
            calm = BIN_SECONDS * len(bins) if _fell(bins) else self.calm_seconds
            return replace(history, bins=(*bins, (seen.time, load))[-MOST_BINS:], calm_seconds=calm)
        if load > bins[-1][1]:
            return replace(history, bins=(*bins[:-1], (bins[-1][0], load)))
        return history

    def with_need(self, now: float, replicas: int, hold_seconds: float) -> History:
        """Return it with one more recommendation; those that a later one exceeds, or that are too old, are dropped."""
        kept = tuple(each for each in self.needs if each[1] > replicas and each[0] >= now - hold_seconds)
        return replace(self, needs=(*kept, (now, replicas)))

    def most_needed(self, since: float) -> int:
        """Return the largest recommendation at or after a time, 0 for none."""
        return max((replicas for time, replicas in self.needs if time >= since), default=0)

    def swing(self, factor: float) -> tuple[float, float]:
        """Return a low of the remembered days, and the highest load that rose so many times above one before it.

        The low is one that lasted for `LOW_BINS`, so that no single pause is a low. Either is zero for none.
        """
        loads = [load for _, load in self.bins]
        peak, least = 0.0, math.inf
        for load in loads:
            if load > peak and load >= factor * least:
                peak = load
            least = min(least, load)
        return (sorted(loads)[min(LOW_BINS, len(loads)) - 1] if loads else 0.0, peak)

    def risen(self, load: float, within_seconds: float) -> float:
        """Return what a load would rise to by the largest rise that was seen within a time, the rarest left out.

        A rise counts as a difference or as a ratio, whichever is less here: a small load that doubles says little of a
        large one, and the steps of a large one are not those of a small one. What lies behind a gap in the observations
        is no rise within the time.

        Args:
            load: tokens per second to rise from.
            within_seconds: time that a rise may take, 0 or more.
        """
        loads = [each for _, each in self.bins]
        ahead = 1 + math.ceil(within_seconds / BIN_SECONDS)
        rises: list[float] = []
        for place, before in enumerate(loads[:-1]):
            last = self._last_within(place, ahead)
            if last == place:
                continue
            after = max(loads[place + 1 : last + 1])
            ratio = load * after / before if before > 0 else math.inf
            rises.append(min(load + after - before, ratio))
        rises.sort(reverse=True)
        return max(load, rises[int(RARE_SHARE * len(rises))]) if rises else load

    def _last_within(self, place: int, ahead: int) -> int:
        """Return the last of so many five minutes after one that no gap of more than five minutes has put off."""
        last = min(place + ahead, len(self.bins) - 1)
        while self.bins[last][0] >= self.bins[place][0] + (ahead + 1) * BIN_SECONDS:
            last -= 1
        return last


def _fell(bins: tuple[tuple[float, float], ...]) -> bool:
    """Whether the newest five minutes are well below the half hour before."""
    before = max((load for _, load in bins[-1 - LOW_BINS : -1]), default=0.0)
    return bool(bins) and bins[-1][1] < FALLEN_SHARE * before
