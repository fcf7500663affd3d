"""Placing pods as they come, on a public trace: against the fragmentation gradient alone, order by order."""

from __future__ import annotations

from collections import Counter

import pytest

from accuracy.openb import FGD_EXPECTED_PERCENT, allocated_percent, arrivals, pods, rooms
from deepseek_operator.capacity.placement.one_by_one import GRADIENT_ALONE, OneByOne

LOAD = 1.3
"""Asked GPUs over the cluster's, as in the paper."""

ORDERS = (42,)


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
