"""Placing pods as they come, on a public trace: against the fragmentation gradient alone, order by order."""

from __future__ import annotations

from collections import Counter

import pytest

from accuracy.openb import FGD_EXPECTED_PERCENT, allocated_percent, arrivals, pods, rooms, sample
from deepseek_operator.capacity.placement.known_set import place_known_set
from deepseek_operator.capacity.placement.one_by_one import GRADIENT_ALONE, OneByOne

LOAD = 1.3
"""Asked GPUs over the cluster's, as in the paper."""

ORDERS = (42,)

SAMPLES = (1, 3, 9)
"""Those of ten that are solved in less than a second; `make benchmark` does all."""


@pytest.mark.parametrize("workload", sorted(FGD_EXPECTED_PERCENT))
def test_no_order_is_placed_worse_than_by_the_gradient_alone(workload: str) -> None:
    nodes, known = rooms(), pods(workload)
    gpus, expected = sum(len(node.free_milli) for node in nodes), Counter(known)
    rows = []
    for seed in ORDERS:
        order = arrivals(known, seed, LOAD * gpus)
        alone, ours = (
            allocated_percent(OneByOne(nodes, expected, rule), order, gpus) for rule in (GRADIENT_ALONE, None)
        )
        rows.append((alone, ours))
    mean, deviation = FGD_EXPECTED_PERCENT[workload]
    shown = ", ".join(f"{alone:.2f} -> {ours:.2f} %" for alone, ours in rows)
    print(f"\n{workload}: gradient alone -> ours: {shown} of the GPUs (the authors' own: {mean} +- {deviation} %)")
    assert all(ours >= alone for alone, ours in rows)


@pytest.mark.parametrize("seed", SAMPLES)
def test_samples_of_forty_nodes_are_placed_as_well_as_can_be_and_proven(seed: int) -> None:
    nodes, wanted = sample("default", seed, 40)
    found = place_known_set(nodes, wanted, seconds=300, close_enough=0)
    assert found.allocated_gpus == pytest.approx(found.bound_gpus, abs=1e-6)
