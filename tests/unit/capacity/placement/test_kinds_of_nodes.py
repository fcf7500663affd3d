"""All nodes of a kind filled together: the bound, and the nodes that realize it."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from deepseek_operator.capacity.placement.dealing import dealt
from deepseek_operator.capacity.placement.kinds_of_nodes import KindsChoice, choose_for_kinds, fullest_fills
from deepseek_operator.capacity.placement.known_set import place_known_set
from deepseek_operator.capacity.placement.node_pattern import NodePattern
from deepseek_operator.capacity.placement.problem import PodShape, Room


def node(gpus: int, cpu_milli: int = 0) -> Room:
    return Room(product="t4", free_milli=(1000,) * gpus, cpu_milli=cpu_milli, memory_mib=0)


def part(milli: int, cpu_milli: int = 0) -> PodShape:
    return PodShape(gpus=1, gpu_milli=milli, cpu_milli=cpu_milli)


def chosen(alike: dict[Room, int], pods: dict[PodShape, int], single_gpus: int = 0) -> KindsChoice:
    found = choose_for_kinds(alike, pods, single_gpus=single_gpus, seconds=60)
    assert found is not None
    return found


def test_parts_that_leave_gaps_on_every_gpu_bound_what_is_allocated() -> None:
    """Two GPUs hold one 700 each and one 200 beside it; the relaxation, which cuts pods, would fill both."""
    found = chosen({node(2): 1}, {part(700): 4, part(200): 2})
    assert found.bound_gpus == pytest.approx(1.8)
    assert dealt([node(2)], found, math.inf) == [
        NodePattern(
            counts=((part(200), 2), (part(700), 2)),
            parts=((0, (part(200), part(700))), (1, (part(200), part(700)))),
        )
    ]


def test_no_more_pods_than_single_nodes_hold() -> None:
    """Four pods of 3 cores on two nodes of 4: one each."""
    pods = {PodShape(gpus=1, gpu_milli=1000, cpu_milli=3000): 4}
    assert chosen({node(2, 4000): 2}, pods).allocated_gpus == pytest.approx(2)


def test_single_nodes_keep_their_borders() -> None:
    """Together two nodes of 4 cores hold pods of 3, 3 and 2 cores; alone neither holds the third."""
    pods = {PodShape(gpus=1, gpu_milli=1000, cpu_milli=cores * 1000): count for cores, count in ((3, 2), (2, 1))}
    together, alone = (chosen({node(2, 4000): 2}, pods, single_gpus=gpus) for gpus in (0, 4))
    assert (together.bound_gpus, alone.bound_gpus) == pytest.approx((3, 2))
    assert [group.nodes for group in (*together.groups, *alone.groups)] == [2, 1, 1]


def test_heavy_pods_are_exchanged_until_every_node_holds_its_own() -> None:
    """5, 5, 4, 4, 3, 3, 3 and 3 cores on three nodes of 10: the heaviest first on the lightest is too much for two."""
    pods = {
        PodShape(gpus=1, gpu_milli=1000, cpu_milli=cores * 1000): count for cores, count in ((5, 2), (4, 2), (3, 4))
    }
    rooms = [node(3, 10_000)] * 3
    found = dealt(rooms, chosen(dict(Counter(rooms)), pods), math.inf)
    assert sum((Counter(dict(each.counts)) for each in found), Counter()) == Counter(pods)
    assert sorted(sum(shape.cpu_milli * count for shape, count in each.counts) for each in found) == [10_000] * 3


def test_what_no_node_holds_is_left_out() -> None:
    """Two nodes have 6 cores together, and neither has room for the second pod of 2 cores."""
    pods = {PodShape(gpus=1, gpu_milli=1000, cpu_milli=2000): 3}
    rooms = [node(3, 3000)] * 2
    found = dealt(rooms, chosen({rooms[0]: 2}, pods), math.inf)
    assert [sum(dict(each.counts).values()) for each in found] == [1, 1]


@pytest.mark.parametrize("most", [2, 4])
def test_too_many_fills_are_told(most: int) -> None:
    assert fullest_fills(1000, {700: 1, 300: 2, 200: 9}, most) is None


def test_a_placement_that_reaches_the_bound_is_proven() -> None:
    found = place_known_set([node(2)] * 2, {part(700): 9, part(200): 1, part(250): 2}, close_enough=0)
    assert (found.allocated_gpus, found.bound_gpus, found.gap_percent) == pytest.approx((3.5, 3.5, 0))
