"""A known set of pods: placed as well as it can be, with a proof."""

from __future__ import annotations

import pytest

from deepseek_operator.capacity.placement.bound import allocation_bound_gpus
from deepseek_operator.capacity.placement.known_set import place_known_set
from deepseek_operator.capacity.placement.problem import PodShape, Room, Spot


def gpus(count: int, *products: str) -> PodShape:
    return PodShape(gpus=count, gpu_milli=1000, products=products)


def node(free: int, product: str = "h100") -> Room:
    return Room(product=product, free_milli=(1000,) * free, cpu_milli=0, memory_mib=0)


def test_everything_that_fits_is_placed_whole() -> None:
    found = place_known_set([node(8), node(8)], {gpus(4): 3, gpus(2): 2})
    assert (found.unplaced, found.allocated_gpus, found.bound_gpus, found.gap_percent) == ({}, 16, 16, 0)


def test_what_does_not_fit_is_counted() -> None:
    found = place_known_set([node(8)], {gpus(8): 2})
    assert found.spots == {gpus(8): [Spot(node=0, gpus=tuple(range(8)))]}
    assert (found.unplaced, found.allocated_gpus) == ({gpus(8): 1}, 8)


def test_patterns_find_what_placing_one_by_one_misses() -> None:
    """Three nodes of 10 hold 4+3+3 each; taking the largest first leaves threes without a place."""
    found = place_known_set([node(10)] * 3, {gpus(4): 3, gpus(3): 6})
    assert (found.unplaced, found.allocated_gpus, found.gap_percent) == ({}, 30, 0)


def test_a_bound_that_nothing_reaches_is_told_as_a_gap() -> None:
    """Two nodes of 3 hold one pod of 2 each; the relaxation cuts the third pod in two."""
    found = place_known_set([node(3)] * 2, {gpus(2): 3})
    assert (found.allocated_gpus, found.unplaced) == (4, {gpus(2): 1})
    assert found.bound_gpus == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize(
    ("rooms", "pods", "bound"),
    [
        pytest.param({node(8): 2}, {gpus(8): 3}, 16, id="GPUs are the limit"),
        pytest.param({node(8): 2}, {gpus(4): 1}, 4, id="demand is the limit"),
        pytest.param({node(8): 1, node(8, "l4"): 1}, {gpus(1, "l4"): 20}, 8, id="only one product may be used"),
        pytest.param({node(4): 3}, {gpus(8): 1}, 0, id="no node is large enough"),
    ],
)
def test_bound(rooms: dict[Room, int], pods: dict[PodShape, int], bound: float) -> None:
    assert allocation_bound_gpus(rooms, pods) == pytest.approx(bound)
