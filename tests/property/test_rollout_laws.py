"""A rollout ends and takes no more replicas than it must, whatever order things happen in.

A small model of Kubernetes' Deployment controller (pkg/controller/deployment/rolling.go, release 1.36) and of a
scheduler with a number of places is driven in any order; one place holds one replica.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.api.spec_scaling import RolloutSpec
from deepseek_operator.capacity.surge import SurgeRoom
from deepseek_operator.resources.rolling_update import RollingUpdate, resting_update
from deepseek_operator.scaling.rollout import RolloutStep, RolloutView, next_step

EVENTS = ("operator", "controller", "schedule", "ready", "gone")


@dataclass
class Rollout:
    """One Deployment whose template has changed, on so many free places."""

    replicas: int
    free: int
    update: RollingUpdate
    old: int
    new: int = 0
    placed: int = 0
    ready: int = 0
    leaving: int = 0
    tried: bool = False
    seen: bool = False

    @property
    def available(self) -> int:
        return self.old + self.ready

    def happens(self, event: str) -> None:
        getattr(self, f"_{event}")()

    def step(self, *, begins: bool = False) -> RolloutStep:
        view = RolloutView(
            begins=begins,
            seen=self.seen,
            asked=self.replicas,
            total=self.old + self.new,
            updated=self.old if begins else self.new,
            updated_ready=self.ready,
            update=self.update,
            unplaced=self.tried and self.new > self.placed,
            leaving=self.leaving > 0,
        )
        places = self.free + self.leaving
        room = SurgeRoom(fits=places > 0, makes_room=places + self.old > 0, limiting="" if places else "full")
        return next_step(RolloutSpec(), view, room, wanted=self.replicas, follows=False)

    def _operator(self) -> None:
        update = self.step().update
        self.seen &= update == self.update
        self.update = update

    def _controller(self) -> None:
        self.seen = True
        surge, missing = self.update.max_surge, self.update.max_unavailable
        room = self.replicas + surge - self.old - self.new
        self.new += max(0, min(room, self.replicas - self.new))
        self.tried &= self.new > self.placed
        stoppable = self.old + self.new - (self.replicas - missing) - (self.new - self.ready)
        if self.old and stoppable > 0:
            stopped = max(0, min(self.old, self.available - (self.replicas - missing)))
            self.old -= stopped
            self.leaving += stopped

    def _schedule(self) -> None:
        placed = min(self.free, self.new - self.placed)
        self.free -= placed
        self.placed += placed
        self.tried = self.new > self.placed

    def _ready(self) -> None:
        self.ready += self.ready < self.placed

    def _gone(self) -> None:
        self.free += self.leaving
        self.leaving = 0


@given(
    replicas=st.integers(min_value=1, max_value=5),
    free=st.integers(min_value=0, max_value=3),
    events=st.lists(st.sampled_from(EVENTS), max_size=40),
)
def test_a_rollout_ends_and_takes_no_more_replicas_than_it_must(replicas: int, free: int, events: list[str]) -> None:
    rollout = Rollout(replicas=replicas, free=free, update=resting_update(RolloutSpec()), old=replicas)
    first = rollout.step(begins=True)
    rollout.update = first.update
    least = replicas if free else replicas - 1
    for event in (*events, *EVENTS * (4 * replicas + 4)):
        rollout.happens(event)
        assert rollout.available >= least
        assert rollout.placed + rollout.old + rollout.leaving <= replicas + free
    assert (rollout.ready, rollout.old, rollout.leaving) == (replicas, 0, 0)
    assert rollout.update == resting_update(RolloutSpec())
    assert first.interrupts == (least == 0)
