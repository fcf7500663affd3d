"""The sets of pods that may share one GPU and that no other set beats: all that a search over nodes has to look at.

A set is beaten when another gains at least as much, takes no more CPU and memory, and no more pods of a shape that is
scarce, which means that there are not enough of them to fill a node. Other pods may be taken more often than there are,
so what is left is at least as good as any real choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseek_operator.capacity.placement.problem import PodShape

Labels = NDArray[np.float64]

_SAME = 1e-9
"""Difference of gain that is none."""

_BLOCK = 256
"""Labels that are compared with each other at once."""


@dataclass(frozen=True, slots=True)
class GpuFill:
    """Pods of one GPU.

    Args:
        shapes: of its pods, sorted, one entry per pod.
        gain: of all of them.
        cpu_milli: that they take.
        memory_mib: that they take.
    """

    shapes: tuple[PodShape, ...]
    gain: float
    cpu_milli: int
    memory_mib: int


def gpu_fills(free_milli: int, gains: Mapping[PodShape, float], scarce: Collection[PodShape] = ()) -> list[GpuFill]:
    """Return the sets of pods for a GPU that no other set beats, the empty one left out.

    Args:
        free_milli: free thousandths of the GPU.
        gains: of one pod of each shape that takes a part of a GPU, above 0.
        scarce: shapes that whoever asks counts by himself.

    >>> half, most = PodShape(gpus=1, gpu_milli=500), PodShape(gpus=1, gpu_milli=700)
    >>> [[shape.gpu_milli for shape in fill.shapes] for fill in gpu_fills(1000, {half: 0.5, most: 0.7})]
    [[500, 500]]
    """
    shapes = sorted(gains, key=lambda shape: (-gains[shape] / shape.gpu_milli, shape))
    labels: Labels = np.zeros((1, 4))  # thousandths, gain, CPU, memory
    counted = [index for index, shape in enumerate(shapes) if shape in scarce]
    counts: NDArray[np.int16] = np.zeros((1, len(shapes)), dtype=np.int16)
    for index, shape in enumerate(shapes):
        step = np.array([shape.gpu_milli, gains[shape], shape.cpu_milli, shape.memory_mib], dtype=np.float64)
        more_labels, more_counts = [labels], [counts]
        for copies in range(1, free_milli // shape.gpu_milli + 1):
            grown = labels + copies * step
            fits = grown[:, 0] <= free_milli
            if not fits.any():
                break
            taken = counts[fits].copy()
            taken[:, index] = copies
            more_labels.append(grown[fits])
            more_counts.append(taken)
        labels, counts = np.concatenate(more_labels), np.concatenate(more_counts)
        kept = _unbeaten(np.hstack([labels, counts[:, counted]]))
        labels, counts = labels[kept], counts[kept]
    labels[:, 0] = 0
    kept = _unbeaten(np.hstack([labels, counts[:, counted]]))
    return [_fill(shapes, labels[row], counts[row]) for row in kept if labels[row, 1] > 0]


def _fill(shapes: Sequence[PodShape], label: Labels, counts: NDArray[np.int16]) -> GpuFill:
    held = Counter({shape: int(count) for shape, count in zip(shapes, counts, strict=True)})
    return GpuFill(
        shapes=tuple(sorted(held.elements())), gain=float(label[1]), cpu_milli=int(label[2]), memory_mib=int(label[3])
    )


def _unbeaten(labels: Labels) -> NDArray[np.int64]:
    """Return the rows that no other row beats, the first of equals, by falling gain."""
    order = np.lexsort((labels[:, 3], labels[:, 2], labels[:, 0], -labels[:, 1]))
    kept, rows = labels[:0], []
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        block = block[~_beaten_by(kept, labels[block]).any(axis=0)]
        inside = np.triu(_beaten_by(labels[block], labels[block]), k=1)  # only by those before: equals keep the first
        block = block[~inside.any(axis=0)]
        kept = np.concatenate([kept, labels[block]])
        rows.append(block)
    found: NDArray[np.int64] = np.concatenate(rows)
    return found


def _beaten_by(some: Labels, others: Labels) -> NDArray[np.bool_]:
    """Return for each pair whether the first beats the second."""
    beats: NDArray[np.bool_] = some[:, None, 1] >= others[None, :, 1] - _SAME
    for column in (0, *range(2, some.shape[1])):
        beats &= some[:, None, column] <= others[None, :, column]
    return beats
