"""Placing the pods of a public trace: ten arrival orders one by one, and the known sets with their bounds."""

from __future__ import annotations

import time
from collections import Counter
from statistics import fmean

import pytest

from accuracy.openb import FGD_EXPECTED_PERCENT, allocated_percent, arrivals, pods, rooms, sample
from deepseek_operator.capacity.placement.filling import evenly
from deepseek_operator.capacity.placement.known_set import place_known_set
from deepseek_operator.capacity.placement.one_by_one import GRADIENT_ALONE, OneByOne

ORDERS = range(42, 52)
SECONDS = 180.0
SAMPLES = range(10)
SAMPLE_SECONDS = 180.0


@pytest.mark.parametrize("workload", sorted(FGD_EXPECTED_PERCENT))
def test_ten_arrival_orders(workload: str) -> None:
    nodes, known = rooms(), pods(workload)
    gpus, expected = sum(len(node.free_milli) for node in nodes), Counter(known)
    started, rows = time.perf_counter(), []
    for seed in ORDERS:
        order = arrivals(known, seed, 1.3 * gpus)
        alone = allocated_percent(OneByOne(nodes, expected, GRADIENT_ALONE), order, gpus)
        rows.append((alone, allocated_percent(OneByOne(nodes, expected), order, gpus)))
    mean, deviation = FGD_EXPECTED_PERCENT[workload]
    seconds = (time.perf_counter() - started) / 2 / len(rows)
    print(
        f"\n{workload}, load 130 %: gradient alone {fmean(row[0] for row in rows):.2f} %, ours "
        f"{fmean(row[1] for row in rows):.2f} %, better in {sum(b > a for a, b in rows)} of {len(rows)} orders "
        f"(the authors' own: {mean} +- {deviation} %); {seconds:.1f} s per order"
    )
    assert all(ours >= alone for alone, ours in rows)


@pytest.mark.parametrize("workload", sorted(FGD_EXPECTED_PERCENT))
def test_the_known_set(workload: str) -> None:
    nodes, wanted = rooms(), Counter(pods(workload))
    placer = OneByOne(nodes, wanted, GRADIENT_ALONE)
    alone = sum(shape.demand_milli for shape in evenly(wanted) if placer.place(shape)) / 1000
    started = time.perf_counter()
    found = place_known_set(nodes, wanted, seconds=SECONDS, close_enough=0)
    seconds = time.perf_counter() - started
    print(
        f"\n{workload}, known set: gradient alone {alone:.1f}, ours {found.allocated_gpus:.1f} of at most "
        f"{found.bound_gpus:.1f} GPUs (gap {found.gap_percent:.2f} %) in {seconds:.0f} s"
    )
    assert found.allocated_gpus >= alone


def test_samples_of_forty_nodes() -> None:
    """Print when the placements of ten samples are proven to be the best."""
    print("\nsample  GPUs asked  placed  at most  gap       seconds")
    for seed in SAMPLES:
        nodes, wanted = sample("default", seed, 40)
        started = time.perf_counter()
        found = place_known_set(nodes, wanted, seconds=SAMPLE_SECONDS, close_enough=0)
        asked = sum(shape.demand_milli * count for shape, count in wanted.items()) / 1000
        print(
            f"{seed:6}  {asked:10.2f}  {found.allocated_gpus:6.2f}  {found.bound_gpus:7.2f}  "
            f"{found.gap_percent:.4f} %  {time.perf_counter() - started:6.1f}"
        )
        assert found.allocated_gpus == pytest.approx(found.bound_gpus, abs=1e-6)
