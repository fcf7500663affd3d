"""One loop per object: coalesced wakes, isolation of failures, back-off."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from deepseek_operator.errors import ClusterError
from deepseek_operator.handlers.loops import Left, Loops, Turn, retry_seconds


class Work:
    """Counts passes; an object can be told to fail or to wait."""

    def __init__(self) -> None:
        self.passes: Counter[str] = Counter()
        self.running: Counter[str] = Counter()
        self.overlapped = False
        self.errors: dict[str, Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.changed = asyncio.Condition()

    async def __call__(self, key: str, turn: Turn) -> Left:
        self.running[key] += 1
        self.overlapped |= self.running[key] > 1
        await self.gate.wait()
        self.passes[key] += 1
        self.running[key] -= 1
        async with self.changed:
            self.changed.notify_all()
        if key in self.errors:
            raise self.errors[key]
        return Left.NOTHING

    async def reached(self, key: str, passes: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.passes[key] >= passes)


def loops(work: Work, results: list[str] | None = None, *, resync_seconds: float = 3600) -> Loops:
    told: list[str] = [] if results is None else results
    return Loops(work, resync_seconds=resync_seconds, max_parallel=4, settle_seconds=0, on_result=told.append)


def test_a_started_object_gets_a_pass_and_rests() -> None:
    async def scenario() -> Counter[str]:
        work = Work()
        running = loops(work)
        running.start("a")
        await work.reached("a", 1)
        await running.close()
        return work.passes

    assert asyncio.run(scenario()) == {"a": 1}


def test_wakes_during_a_pass_give_exactly_one_more_and_never_overlap() -> None:
    async def scenario() -> tuple[int, bool]:
        work = Work()
        work.gate.clear()
        running = loops(work)
        running.start("a")
        while not work.running["a"]:
            await asyncio.sleep(0)
        for _ in range(100):
            running.wake("a")
        work.gate.set()
        await work.reached("a", 2)
        for _ in range(20):
            await asyncio.sleep(0)
        await running.close()
        return work.passes["a"], work.overlapped

    assert asyncio.run(scenario()) == (2, False)


@pytest.mark.parametrize(
    ("error", "result"),
    [
        pytest.param(ClusterError("PATCH /x: 500"), "cluster-error", id="the API server refuses"),
        pytest.param(KeyError("bug"), "bug", id="a defect of ours"),
    ],
)
def test_a_failing_object_is_retried_and_disturbs_no_other(error: Exception, result: str) -> None:
    async def scenario() -> tuple[list[str], int]:
        work, results = Work(), []
        work.errors["bad"] = error
        running = loops(work, results)
        running.start("bad")
        running.start("good")
        await work.reached("bad", 1)
        for count in range(2, 5):
            running.wake("good")
            await work.reached("good", count)
        await work.reached("bad", 2)
        await running.close()
        return results, work.passes["good"]

    results, good = asyncio.run(scenario())
    assert results.count(result) >= 1
    assert results.count("ok") >= 3
    assert good == 4


def test_what_is_left_urgently_follows_after_those_who_wait() -> None:
    keys = [f"object-{number}" for number in range(12)]

    async def scenario() -> tuple[list[str], list[bool]]:
        order: list[str] = []
        pressed: list[bool] = []
        done = asyncio.Event()

        async def work(key: str, turn: Turn) -> Left:
            await asyncio.sleep(0)
            order.append(key)
            pressed.append(turn.pressed)
            if len(order) == 2 * len(keys):
                done.set()
            return Left.URGENT if order.count(key) == 1 else Left.NOTHING

        running = Loops(work, resync_seconds=3600, max_parallel=4, settle_seconds=3600)
        for key in keys:
            running.start(key)
        await done.wait()
        await running.close()
        return order, pressed

    order, pressed = asyncio.run(scenario())
    assert order == [*keys, *keys]
    assert (pressed[4:12], pressed[-1]) == ([True] * 8, False)


def test_what_is_left_without_haste_is_done_by_one_more_pass() -> None:
    async def scenario() -> int:
        passes = 0
        done = asyncio.Event()

        async def work(key: str, turn: Turn) -> Left:
            nonlocal passes
            passes += 1
            if passes == 2:
                done.set()
            return Left.SOME if passes == 1 else Left.NOTHING

        running = Loops(work, resync_seconds=3600, max_parallel=4, settle_seconds=0)
        running.start("a")
        await done.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        await running.close()
        return passes

    assert asyncio.run(scenario()) == 2


def test_waking_an_unknown_object_makes_no_loop() -> None:
    async def scenario() -> int:
        running = loops(Work())
        running.wake("ghost")
        return len(running)

    assert asyncio.run(scenario()) == 0


def test_a_stopped_object_gets_no_further_pass() -> None:
    async def scenario() -> tuple[int, int]:
        work = Work()
        running = loops(work)
        running.start("a")
        await work.reached("a", 1)
        running.stop("a")
        running.wake("a")
        for _ in range(20):
            await asyncio.sleep(0)
        return work.passes["a"], len(running)

    assert asyncio.run(scenario()) == (1, 0)


def test_an_object_that_nothing_wakes_is_looked_at_again_after_the_resync_time() -> None:
    async def scenario() -> int:
        work = Work()
        running = loops(work, resync_seconds=0.01)
        running.start("a")
        await work.reached("a", 3)
        await running.close()
        return work.passes["a"]

    assert asyncio.run(scenario()) >= 3


def test_back_off_doubles_up_to_five_minutes() -> None:
    assert [retry_seconds(count) for count in range(1, 12)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
