"""Places pods one at a time, as they come: each where it makes the least of the free GPUs useless for those expected.

The rule is the fragmentation gradient of `fragmentation`, and two terms that it lacks. GPUs are also lost when a pod
takes so much CPU that the node's other GPUs find no pod with little enough: the shortage of CPU beside the free GPUs,
measured against what the expected pods take per GPU, is charged as lost GPUs. Ties go to the fuller node.
Measured on the public trace of Alibaba's GPU cluster (docs/capacity.md): 0.1 to 0.7 points more of the GPUs are
allocated than by the gradient alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseek_operator.capacity.placement.fragmentation import Counts, ExpectedPods, Numbers
from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room, Spot

CPU_SHORTAGE_WEIGHT = 0.1
"""Share of a GPU without CPU that is charged as lost. Source: the best of 0.02, 0.05, 0.1 and 0.15 on two arrival
orders each of four workloads of the Alibaba trace; others than those that docs/capacity.md reports."""

TIE_WEIGHT = 1e-6
"""Lost thousandths per free thousandth of the node: far below any difference in fragmentation that matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is charged beside the fragmentation.

    Args:
        cpu_shortage_weight: lost GPUs per GPU without CPU.
        tie_weight: lost thousandths per free thousandth of the node.
    """

    cpu_shortage_weight: float = CPU_SHORTAGE_WEIGHT
    tie_weight: float = TIE_WEIGHT


GRADIENT_ALONE = Rule(cpu_shortage_weight=0, tie_weight=0)
"""The rule of the paper, to compare with."""


class OneByOne:
    """Nodes that fill up.

    Args:
        rooms: what is free on each node at first.
        expected: how often each shape is expected, as any positive weights; every shape to place is among them.
        rule: what is charged beside the fragmentation.
    """

    def __init__(self, rooms: Sequence[Room], expected: Mapping[PodShape, float], rule: Rule | None = None) -> None:
        products = sorted({room.product for room in rooms if room.product})
        most_gpus = max((len(room.free_milli) for room in rooms), default=0)
        self._rule = rule or Rule()
        self._expected = ExpectedPods(expected, products)
        self._cpu_per_gpu = _cpu_per_gpu(expected)
        self._product = np.array(
            [products.index(room.product) if room.product else -1 for room in rooms], dtype=np.int64
        )
        self._free = np.zeros((len(rooms), most_gpus), dtype=np.int64)
        for row, room in enumerate(rooms):
            self._free[row, : len(room.free_milli)] = room.free_milli
        self._cpu = np.array([room.cpu_milli for room in rooms], dtype=np.int64)
        self._memory = np.array([room.memory_mib for room in rooms], dtype=np.int64)
        self._fragmented = self._expected.fragmented_milli(self._free, self._cpu, self._product)
        self._version = np.zeros(len(rooms), dtype=np.int64)
        self._shapes = {shape: index for index, shape in enumerate(sorted(expected))}
        self._allowed = [
            np.array([shape.may_run_on(room.product) for room in rooms], dtype=np.bool_) for shape in self._shapes
        ]
        self._looked_at = np.full((len(self._shapes), len(rooms)), -1, dtype=np.int64)
        self._charge = np.full((len(self._shapes), len(rooms)), np.inf)
        self._part_on = np.full((len(self._shapes), len(rooms)), -1, dtype=np.int64)

    def place(self, shape: PodShape) -> Spot | None:
        """Put a pod where it is charged least, the first such node; None where no node takes it.

        Raises:
            KeyError: the shape is not among the expected ones.
        """
        index = self._shapes[shape]
        stale = np.nonzero(self._looked_at[index] != self._version)[0]
        if stale.size:
            self._look(index, shape, stale)
        node = int(np.argmin(self._charge[index])) if self._charge.shape[1] else -1
        if node < 0 or not np.isfinite(self._charge[index, node]):
            return None
        return self._take(index, shape, node)

    def _take(self, index: int, shape: PodShape, node: int) -> Spot:
        if shape.takes_part:
            gpus = [int(self._part_on[index, node])]
        else:
            gpus = [int(gpu) for gpu in np.nonzero(self._free[node] >= WHOLE_GPU_MILLI)[0][: shape.gpus]]
        self._free[node, gpus] -= shape.gpu_milli
        self._cpu[node] -= shape.cpu_milli
        self._memory[node] -= shape.memory_mib
        self._version[node] += 1
        row = slice(node, node + 1)
        self._fragmented[row] = self._expected.fragmented_milli(self._free[row], self._cpu[row], self._product[row])
        return Spot(node=node, gpus=tuple(gpus))

    def _look(self, index: int, shape: PodShape, nodes: Counts) -> None:
        """Charge a shape anew on nodes that have changed."""
        self._charge[index, nodes] = np.inf
        self._looked_at[index, nodes] = self._version[nodes]
        takes = (self._cpu[nodes] >= shape.cpu_milli) & (self._memory[nodes] >= shape.memory_mib)
        nodes = nodes[takes & self._allowed[index][nodes]]
        usable = self._free[nodes] >= shape.gpu_milli
        if shape.gpus:
            enough = usable.sum(axis=1) >= shape.gpus
            nodes, usable = nodes[enough], usable[enough]
        if not nodes.size:
            return
        added = self._added_part(index, shape, nodes, usable) if shape.takes_part else None
        if added is None:
            added = self._added_whole(shape, nodes, usable)
        self._charge[index, nodes] = added + self._beside(shape, nodes)

    def _added_whole(self, shape: PodShape, nodes: Counts, usable: NDArray[np.bool_]) -> Numbers:
        free = self._free[nodes].copy()
        if shape.gpus:
            free[usable & (np.cumsum(usable, axis=1) <= shape.gpus)] -= shape.gpu_milli
        after = self._expected.fragmented_milli(free, self._cpu[nodes] - shape.cpu_milli, self._product[nodes])
        added: Numbers = after - self._fragmented[nodes]
        return added

    def _added_part(self, index: int, shape: PodShape, nodes: Counts, usable: NDArray[np.bool_]) -> Numbers:
        """Return the least that a part of a GPU adds on each node, and remember on which of its GPUs."""
        row, gpu = np.nonzero(usable)
        free = self._free[nodes[row]].copy()
        free[np.arange(len(row)), gpu] -= shape.gpu_milli
        after = self._expected.fragmented_milli(
            free, self._cpu[nodes[row]] - shape.cpu_milli, self._product[nodes[row]]
        )
        added = after - self._fragmented[nodes[row]] + self._rule.tie_weight * self._free[nodes[row], gpu]
        order = np.lexsort((gpu, added, row))
        first = order[np.unique(row[order], return_index=True)[1]]
        self._part_on[index, nodes] = gpu[first]
        least: Numbers = added[first]
        return least

    def _beside(self, shape: PodShape, nodes: Counts) -> Numbers:
        """Return what is charged beside fragmentation: CPU that will be short, and the emptier node."""
        free = self._free[nodes].sum(axis=1)
        left_milli = free - shape.demand_milli
        short = np.maximum(0.0, left_milli * self._cpu_per_gpu / WHOLE_GPU_MILLI - (self._cpu[nodes] - shape.cpu_milli))
        lost_milli = short / self._cpu_per_gpu * WHOLE_GPU_MILLI if self._cpu_per_gpu else np.zeros(len(nodes))
        charged: Numbers = self._rule.cpu_shortage_weight * lost_milli + self._rule.tie_weight * free
        return charged


def _cpu_per_gpu(expected: Mapping[PodShape, float]) -> float:
    """Return the thousandths of a CPU core that the expected pods take per GPU."""
    gpus = sum(share * shape.demand_milli for shape, share in expected.items()) / WHOLE_GPU_MILLI
    cpu = sum(share * shape.cpu_milli for shape, share in expected.items() if shape.gpus)
    return cpu / gpus if gpus else 0.0
