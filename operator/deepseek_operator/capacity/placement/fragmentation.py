"""How much of a node's free GPUs the pods that are expected could not use: its fragmentation.

For one expected pod the fragmented part of a node is everything that is free where the pod does not fit at all, and
what lies on GPUs too full for it where it does; the node's fragmentation is the mean over the expected pods.
Source: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent",
USENIX ATC 2023, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from deepseek_operator.capacity.placement.problem import PodShape

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]


class ExpectedPods:
    """The pods that are expected, as arrays.

    Args:
        shares: how often each shape comes, as any positive weights; shapes without GPUs count for the sum alone.
        products: every GPU product of the nodes; the last index, -1, stands for nodes without GPUs.
    """

    def __init__(self, shares: Mapping[PodShape, float], products: Sequence[str]) -> None:
        shapes = sorted(shape for shape in shares if shape.gpus)
        total = sum(shares.values()) or 1.0
        self._shares = np.array([shares[shape] / total for shape in shapes])
        self._cpu = np.array([shape.cpu_milli for shape in shapes], dtype=np.int64)
        self._gpus = np.array([shape.gpus for shape in shapes], dtype=np.int64)
        milli = np.array([shape.gpu_milli for shape in shapes], dtype=np.int64)
        self._levels = np.unique(milli)
        self._level_of = np.searchsorted(self._levels, milli)
        allowed = [[shape.may_run_on(product) for shape in shapes] for product in products]
        self._allowed = np.array([*allowed, [False] * len(shapes)], dtype=bool).reshape(len(products) + 1, len(shapes))

    def fragmented_milli(self, free_milli: Counts, cpu_milli: Counts, product: Counts) -> Numbers:
        """Return the fragmented thousandths of GPUs of each node.

        Args:
            free_milli: free thousandths, one row per node and one column per GPU; 0 where there is no GPU.
            cpu_milli: free CPU of each node.
            product: index of each node's product.
        """
        reaches = free_milli[:, :, None] >= self._levels[None, None, :]
        large_enough = reaches.sum(axis=1)[:, self._level_of]
        on_small = np.where(reaches, 0, free_milli[:, :, None]).sum(axis=1)[:, self._level_of]
        fits = (cpu_milli[:, None] >= self._cpu) & (large_enough >= self._gpus) & self._allowed[product]
        lost = np.where(fits, on_small, free_milli.sum(axis=1)[:, None])
        fragmented: Numbers = lost @ self._shares
        return fragmented
