"""The public trace of Alibaba's GPU cluster of 2023: 1,523 nodes with 6,212 GPUs, and the pods that came.

Source: hkust-adsl/kubernetes-scheduler-simulator, Apache-2.0, ``data/csv``; unchanged beside the compression.
"""

from __future__ import annotations

import csv
import gzip
import random
from pathlib import Path

from deepseek_operator.capacity.placement.one_by_one import OneByOne
from deepseek_operator.capacity.placement.problem import PodShape, Room

FOLDER = Path(__file__).parent / "data" / "openb"

FGD_EXPECTED_PERCENT = {
    "default": (95.39, 0.08),
    "gpuspec20": (94.84, 0.12),
    "multigpu30": (96.46, 0.09),
}
"""GPUs allocated by the authors' own implementation at a load of 130 %: mean and deviation of ten arrival orders."""


def rooms() -> list[Room]:
    """Return the nodes, empty."""
    with gzip.open(FOLDER / "openb_node_list_all_node.csv.gz", "rt") as file:
        return [
            Room(
                product=row["model"],
                free_milli=(1000,) * int(row["gpu"] or 0),
                cpu_milli=int(row["cpu_milli"]),
                memory_mib=int(row["memory_mib"]),
            )
            for row in csv.DictReader(file)
        ]


def pods(workload: str) -> list[PodShape]:
    """Return the pods of a workload in the file's order."""
    with gzip.open(FOLDER / f"openb_pod_list_{workload}.csv.gz", "rt") as file:
        return [
            PodShape(
                gpus=int(row["num_gpu"]),
                gpu_milli=int(row["gpu_milli"]) if int(row["num_gpu"]) else 0,
                cpu_milli=int(row["cpu_milli"]),
                memory_mib=int(row["memory_mib"]),
                products=tuple(sorted(set((row.get("gpu_spec") or "").split("|")) - {""})),
            )
            for row in csv.DictReader(file)
        ]


def arrivals(known: list[PodShape], seed: int, gpus: float) -> list[PodShape]:
    """Return all pods in random order and then some again, until they ask for that many GPUs."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable order, no secret
    order = list(known)
    chance.shuffle(order)
    asked = sum(shape.demand_milli for shape in order)
    while asked < gpus * 1000:
        order.append(chance.choice(known))
        asked += order[-1].demand_milli
    return order


def sample(workload: str, seed: int, count: int) -> tuple[list[Room], dict[PodShape, int]]:
    """Return some of the GPU nodes, and so many pods drawn from the workload that they ask for all GPUs of these."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable choice, no secret
    nodes = chance.sample([node for node in rooms() if node.free_milli], count)
    gpus, order = sum(len(node.free_milli) for node in nodes), pods(workload)
    chance.shuffle(order)
    asked, wanted = 0, dict[PodShape, int]()
    for shape in order:
        if asked >= gpus * 1000:
            break
        if not shape.gpus or any(shape.may_run_on(node.product) for node in nodes):
            wanted[shape] = wanted.get(shape, 0) + 1
            asked += shape.demand_milli
    return nodes, wanted


def allocated_percent(placer: OneByOne, order: list[PodShape], gpus: int) -> float:
    """Return the share of the GPUs that is allocated after all have come."""
    return sum(shape.demand_milli for shape in order if placer.place(shape)) / gpus / 10
