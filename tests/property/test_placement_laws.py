"""Laws of placing pods: nothing is promised twice, and no answer beats its own bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_operator.capacity.placement.filling import evenly
from deepseek_operator.capacity.placement.known_set import Placed, place_known_set
from deepseek_operator.capacity.placement.one_by_one import OneByOne
from deepseek_operator.capacity.placement.problem import PodShape, Room, Spot

PRODUCTS = ("h100", "l4")
rooms_of = st.lists(
    st.builds(
        Room,
        product=st.sampled_from(PRODUCTS),
        free_milli=st.lists(st.sampled_from((0, 250, 500, 1000)), min_size=1, max_size=4).map(tuple),
        cpu_milli=st.integers(0, 16_000),
        memory_mib=st.integers(0, 4096),
    ),
    min_size=1,
    max_size=6,
)
wholes = st.builds(
    PodShape,
    gpus=st.integers(0, 4),
    gpu_milli=st.just(1000),
    cpu_milli=st.integers(0, 8000),
    memory_mib=st.integers(0, 2048),
    products=st.sampled_from(((), ("h100",), ("l4",))),
)
parts = st.builds(
    PodShape,
    gpus=st.just(1),
    gpu_milli=st.sampled_from((100, 250, 400, 750)),
    cpu_milli=st.integers(0, 8000),
    memory_mib=st.integers(0, 2048),
)
pods_of = st.dictionaries(wholes | parts, st.integers(1, 4), min_size=1, max_size=5)


def assert_rooms_hold(rooms: Sequence[Room], placed: Sequence[tuple[PodShape, Spot]]) -> None:
    """Assert that no node gives more GPUs, CPU or memory than it has, and that pods get what they asked for."""
    free = [list(room.free_milli) for room in rooms]
    cpu, memory = [room.cpu_milli for room in rooms], [room.memory_mib for room in rooms]
    for shape, spot in placed:
        assert len(set(spot.gpus)) == shape.gpus
        assert shape.may_run_on(rooms[spot.node].product)
        for gpu in spot.gpus:
            free[spot.node][gpu] -= shape.gpu_milli
        cpu[spot.node] -= shape.cpu_milli
        memory[spot.node] -= shape.memory_mib
    assert all(left >= 0 for node in free for left in node)
    assert min(*cpu, *memory) >= 0


@settings(deadline=None)
@given(rooms=rooms_of, pods=pods_of)
def test_one_by_one_never_gives_what_is_not_there(rooms: list[Room], pods: dict[PodShape, int]) -> None:
    placer = OneByOne(rooms, pods)
    spots = [(shape, placer.place(shape)) for shape in evenly(pods)]
    assert_rooms_hold(rooms, [(shape, spot) for shape, spot in spots if spot is not None])


def placed_of(found: Placed) -> list[tuple[PodShape, Spot]]:
    return [(shape, spot) for shape, spots in found.spots.items() for spot in spots]


@settings(deadline=None)
@given(rooms=rooms_of, pods=pods_of)
def test_a_known_set_is_placed_within_rooms_and_bound(rooms: list[Room], pods: dict[PodShape, int]) -> None:
    found = place_known_set(rooms, pods, seconds=2)
    assert_rooms_hold(rooms, placed_of(found))
    assert Counter(shape for shape, _ in placed_of(found)) + Counter(found.unplaced) == Counter(pods)
    assert found.allocated_gpus <= found.bound_gpus + 1e-6
    placer = OneByOne(rooms, pods)
    greedy = sum(shape.demand_milli for shape in evenly(pods) if placer.place(shape)) / 1000
    assert found.allocated_gpus >= greedy - 1e-9


few_rooms = st.lists(
    st.builds(
        Room,
        product=st.sampled_from(PRODUCTS),
        free_milli=st.lists(st.sampled_from((0, 500, 1000)), min_size=1, max_size=2).map(tuple),
        cpu_milli=st.integers(0, 8000),
        memory_mib=st.just(2048),
    ),
    min_size=1,
    max_size=3,
)
few_pods = st.lists(wholes | parts, min_size=1, max_size=5)


def most_gpus(rooms: Sequence[Room], pods: Sequence[PodShape]) -> int:
    """Return the thousandths of GPUs of the best placement, by trying every one."""
    if not pods:
        return 0
    shape, rest = pods[0], pods[1:]
    best = most_gpus(rooms, rest)
    for index, room in enumerate(rooms):
        able = [gpu for gpu, free in enumerate(room.free_milli) if free >= shape.gpu_milli]
        fits = len(able) >= shape.gpus and shape.cpu_milli <= room.cpu_milli and shape.memory_mib <= room.memory_mib
        if not fits or not shape.may_run_on(room.product):
            continue
        for taken in [[gpu] for gpu in able] if shape.takes_part else [able[: shape.gpus]]:
            free = tuple(m - shape.gpu_milli * (gpu in taken) for gpu, m in enumerate(room.free_milli))
            left = replace(
                room,
                free_milli=free,
                cpu_milli=room.cpu_milli - shape.cpu_milli,
                memory_mib=room.memory_mib - shape.memory_mib,
            )
            others = [*rooms[:index], left, *rooms[index + 1 :]]
            best = max(best, shape.demand_milli + most_gpus(others, rest))
    return best


@settings(deadline=None, max_examples=60)
@given(rooms=few_rooms, pods=few_pods)
def test_the_bound_lies_between_the_best_placement_and_what_was_found(rooms: list[Room], pods: list[PodShape]) -> None:
    found = place_known_set(rooms, Counter(pods), seconds=2, close_enough=0)
    best = most_gpus(rooms, pods) / 1000
    assert found.allocated_gpus - 1e-9 <= best <= found.bound_gpus + 1e-6
