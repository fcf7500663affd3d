"""Laws of the water-filling: room is never exceeded, more of it and more wishes hurt nobody who comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.scaling.water_filling import Grant, Wish, fill

PRODUCTS = ("h100", "l4")
PRIORITIES = (1_000, 10_000, 100_000, 1_000_000)


@st.composite
def wish(draw: st.DrawFn, uid: str) -> Wish:
    return Wish(
        uid=uid,
        gpu=draw(st.sampled_from(PRODUCTS)),
        gpus_per_replica=draw(st.sampled_from((1, 2, 4, 8, 16))),
        priority=draw(st.sampled_from(PRIORITIES)),
        floor=draw(st.integers(0, 3)),
        running=draw(st.integers(0, 4)),
        wanted=draw(st.integers(0, 8)),
        room=draw(st.integers(0, 8)),
        preempts=draw(st.booleans()),
        weight=draw(st.integers(1, 3)),
    )


@st.composite
def everybody(draw: st.DrawFn) -> list[Wish]:
    return [draw(wish(f"uid-{number}")) for number in range(draw(st.integers(1, 6)))]


room = st.fixed_dictionaries({gpu: st.integers(0, 40) for gpu in PRODUCTS})


def gained(wishes: Sequence[Wish], granted: Mapping[str, Grant], gpu: str, least_priority: int = 0) -> int:
    """Return the GPUs that further replicas of a product take, of priorities from one on."""
    return sum(
        (granted[each.uid].replicas - min(each.running, each.wanted)) * each.gpus_per_replica
        for each in wishes
        if each.gpu == gpu and each.priority >= least_priority
    )


def peaceful(wishes: Sequence[Wish]) -> list[Wish]:
    """Return the wishes of priorities that stop nobody."""
    return [replace(each, preempts=False) for each in wishes]


@given(wishes=everybody(), free=room)
def test_no_more_is_granted_than_is_free_or_stopped(wishes: list[Wish], free: dict[str, int]):
    granted, by_uid = fill(wishes, free), {each.uid: each for each in wishes}
    for gpu in PRODUCTS:
        stopped = [uid for each in wishes if each.gpu == gpu for uid in granted[each.uid].stops]
        assert gained(wishes, granted, gpu) <= free[gpu] + sum(by_uid[uid].gpus_per_replica for uid in stopped)
        assert all(stopped.count(uid) <= by_uid[uid].running for uid in stopped)


@given(wishes=everybody(), free=room)
def test_each_gets_between_what_runs_and_what_it_wants_and_stops_lower_ones_only(
    wishes: list[Wish], free: dict[str, int]
):
    granted, by_uid = fill(wishes, free), {each.uid: each for each in wishes}
    for each in wishes:
        grant = granted[each.uid]
        assert min(each.running, each.wanted) <= grant.replicas <= each.wanted
        assert all(by_uid[uid].priority < each.priority for uid in grant.stops)
        if not each.preempts:
            assert grant.replicas - min(each.running, each.wanted) <= each.room
            assert grant.stops == ()


@given(wishes=everybody(), free=room, gpu=st.sampled_from(PRODUCTS), priority=st.sampled_from(PRIORITIES))
def test_more_free_gpus_never_give_less_to_the_priorities_from_one_on(
    wishes: list[Wish], free: dict[str, int], gpu: str, priority: int
):
    wishes = [replace(each, floor=0) for each in peaceful(wishes)]
    more = {**free, gpu: free[gpu] + 1}
    before, after = fill(wishes, free), fill(wishes, more)
    assert gained(wishes, after, gpu, priority) >= gained(wishes, before, gpu, priority)


@given(wishes=everybody(), free=room, gpu=st.sampled_from(PRODUCTS))
def test_more_free_gpus_never_give_less_in_all(wishes: list[Wish], free: dict[str, int], gpu: str):
    wishes = peaceful(wishes)
    more = {**free, gpu: free[gpu] + 1}
    assert gained(wishes, fill(wishes, more), gpu) >= gained(wishes, fill(wishes, free), gpu)


@given(wishes=everybody(), free=room, size=st.sampled_from((1, 2, 4, 8)), gpu=st.sampled_from(PRODUCTS))
def test_with_replicas_of_one_size_more_free_gpus_give_nobody_less(
    wishes: list[Wish], free: dict[str, int], size: int, gpu: str
):
    wishes = [replace(each, gpus_per_replica=size) for each in peaceful(wishes)]
    before, after = fill(wishes, free), fill(wishes, {**free, gpu: free[gpu] + 1})
    assert all(after[each.uid].replicas >= before[each.uid].replicas for each in wishes)


@given(wishes=everybody(), free=room)
def test_who_wishes_more_never_gets_less(wishes: list[Wish], free: dict[str, int]):
    first = wishes[0]
    after = fill([replace(first, wanted=first.wanted + 1), *wishes[1:]], free)
    assert after[first.uid].replicas >= fill(wishes, free)[first.uid].replicas


@given(wishes=everybody(), free=room, data=st.data())
def test_the_order_of_the_objects_does_not_matter(wishes: list[Wish], free: dict[str, int], data: st.DataObject):
    assert fill(data.draw(st.permutations(wishes)), free) == fill(wishes, free)


@given(wishes=everybody(), free=room)
def test_of_equals_of_one_size_nobody_is_passed_by_who_has_more(wishes: list[Wish], free: dict[str, int]):
    alike = {"gpu": "h100", "gpus_per_replica": 1, "priority": 10_000, "floor": 0, "room": 40, "weight": 1}
    wishes = [replace(each, preempts=False, **alike) for each in wishes]  # type: ignore[arg-type] - one of each type
    granted = fill(wishes, free)
    waiting = [granted[each.uid].replicas for each in wishes if granted[each.uid].replicas < each.wanted]
    grown = [granted[each.uid].replicas for each in wishes if granted[each.uid].replicas > each.running]
    assert not waiting or not grown or max(grown) <= min(waiting) + 1
