"""A set of pods that one node holds together, and the best such set for given gains per pod."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_operator.capacity.placement.bound import fits_an_empty
from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room
from deepseek_operator.capacity.placement.solver import Program, solve

LEAST_GAIN = 1e-9
"""Gain of a pod below which it is not worth a place."""

WEIGHTS = ((1.0, 0.0, 0.0), (0.6, 0.3, 0.1), (0.4, 0.5, 0.1), (0.4, 0.2, 0.4))
"""How much GPUs, CPU and host memory count in the quick search, one try each."""


@dataclass(frozen=True, slots=True)
class NodePattern:
    """Pods of one node.

    Args:
        counts: shapes and how many pods have them, sorted.
        parts: for each GPU that is shared, its index and the shapes on it.
    """

    counts: tuple[tuple[PodShape, int], ...]
    parts: tuple[tuple[int, tuple[PodShape, ...]], ...] = ()


def quick_pattern(room: Room, gains: Mapping[PodShape, float]) -> tuple[float, NodePattern]:
    """Return the best of a few greedy sets, by gain per use of the node, and its gain."""
    best = (0.0, NodePattern(()))
    worth = [shape for shape, gain in gains.items() if gain > LEAST_GAIN and fits_an_empty(room, shape)]
    for weights in WEIGHTS:
        ordered = sorted(worth, key=lambda shape: (-gains[shape] / _use(room, shape, weights), shape))
        pattern = _filled(room, ordered)
        gain = sum(gains[shape] * count for shape, count in pattern.counts)
        best = max(best, (gain, pattern), key=lambda found: found[0])
    return best


def best_pattern(
    room: Room, gains: Mapping[PodShape, float], wanted: Mapping[PodShape, int], seconds: float
) -> tuple[float, float, NodePattern]:
    """Return gain, a bound of the gain and the pods of the best set that one node holds.

    Args:
        room: what is free on the node.
        gains: of one pod of each shape.
        wanted: pods of each shape that there are.
        seconds: to look for; then the best that was found.
    """
    worth = [shape for shape, gain in gains.items() if gain > LEAST_GAIN and fits_an_empty(room, shape)]
    wholes = [shape for shape in worth if not shape.takes_part]
    parts = [shape for shape in worth if shape.takes_part]
    program = Program()
    cpu, memory = program.row(1.0), program.row(1.0)
    full = [gpu for gpu, free in enumerate(room.free_milli) if free == WHOLE_GPU_MILLI]
    full_row = program.row(len(full))

    def on_host(shape: PodShape) -> list[tuple[int, float]]:
        return [
            (cpu, shape.cpu_milli / max(1, room.cpu_milli)),
            (memory, shape.memory_mib / max(1, room.memory_mib)),
        ]

    for shape in wholes:
        program.variable(gains[shape], wanted[shape], [*on_host(shape), (full_row, float(shape.gpus))])
    placed: list[tuple[int, PodShape, int]] = []
    for gpu, free in enumerate(room.free_milli if parts else ()):
        fits = [shape for shape in parts if shape.gpu_milli <= free]
        if not fits:
            continue
        held = program.row(0.0 if free == WHOLE_GPU_MILLI else free / WHOLE_GPU_MILLI)
        if free == WHOLE_GPU_MILLI:
            program.variable(0.0, 1.0, [(full_row, 1.0), (held, -1.0)])
        for shape in fits:
            entries = [*on_host(shape), (held, shape.gpu_milli / WHOLE_GPU_MILLI)]
            index = program.variable(gains[shape], min(wanted[shape], free // shape.gpu_milli), entries)
            placed.append((index, shape, gpu))
    found = solve(program, whole=True, seconds=seconds, gap=0.01)
    if not found.values.size:
        return 0.0, found.bound, NodePattern(())
    values = [round(value) for value in found.values]
    counts = Counter({shape: values[index] for index, shape in enumerate(wholes) if values[index]})
    on_gpu: dict[int, list[PodShape]] = {}
    for index, shape, gpu in placed:
        counts[shape] += values[index]
        on_gpu.setdefault(gpu, []).extend([shape] * values[index])
    pattern = _pattern(counts, on_gpu)
    return sum(gains[shape] * count for shape, count in pattern.counts), found.bound, pattern


def _pattern(counts: Mapping[PodShape, int], on_gpu: Mapping[int, Sequence[PodShape]]) -> NodePattern:
    return NodePattern(
        counts=tuple(sorted((shape, count) for shape, count in counts.items() if count)),
        parts=tuple((gpu, tuple(sorted(shapes))) for gpu, shapes in sorted(on_gpu.items()) if shapes),
    )


def _use(room: Room, shape: PodShape, weights: Sequence[float]) -> float:
    """Return the weighted share of the node that a pod takes; never 0."""
    gpus = shape.demand_milli / max(1, sum(room.free_milli))
    cpu = shape.cpu_milli / max(1, room.cpu_milli)
    memory = shape.memory_mib / max(1, room.memory_mib)
    return max(1e-6, weights[0] * gpus + weights[1] * cpu + weights[2] * memory)


def _filled(room: Room, ordered: Sequence[PodShape]) -> NodePattern:
    """Return the node filled in that order, each shape as often as it goes."""
    free, cpu, memory = list(room.free_milli), room.cpu_milli, room.memory_mib
    counts: Counter[PodShape] = Counter()
    on_gpu: dict[int, list[PodShape]] = {}
    for shape in ordered:
        while shape.cpu_milli <= cpu and shape.memory_mib <= memory:
            chosen = _gpus_for(free, shape)
            if chosen is None:
                break
            for gpu in chosen:
                free[gpu] -= shape.gpu_milli
                if shape.takes_part:
                    on_gpu.setdefault(gpu, []).append(shape)
            cpu -= shape.cpu_milli
            memory -= shape.memory_mib
            counts[shape] += 1
            if not (shape.gpus or shape.cpu_milli or shape.memory_mib):
                break
    return _pattern(counts, on_gpu)


def _gpus_for(free: Sequence[int], shape: PodShape) -> list[int] | None:
    """Return the GPUs that a pod takes: the fullest that has room for a part, the first whole ones; None for none."""
    able = [gpu for gpu, milli in enumerate(free) if milli >= shape.gpu_milli]
    if len(able) < shape.gpus:
        return None
    return sorted(able, key=lambda gpu: (free[gpu], gpu))[:1] if shape.takes_part else able[: shape.gpus]
