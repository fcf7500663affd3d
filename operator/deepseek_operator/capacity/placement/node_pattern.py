"""A set of pods that one node holds together, and the best such set for given gains per pod."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from deepseek_operator.capacity.placement.bound import fits_an_empty
from deepseek_operator.capacity.placement.gpu_fill import GpuFill, gpu_fills
from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room
from deepseek_operator.capacity.placement.solver import Program, solve

LEAST_GAIN = 1e-9
"""Gain of a pod below which it is not worth a place."""

WEIGHTS = ((1.0, 0.0, 0.0), (0.6, 0.3, 0.1), (0.4, 0.5, 0.1), (0.4, 0.2, 0.4))
"""How much GPUs, CPU and host memory count in the quick search, one try each."""


@dataclass(frozen=True, slots=True, order=True)
class NodePattern:
    """Pods of one node.

    Args:
        counts: shapes and how many pods have them, sorted.
        parts: for each GPU that is shared, its index and the shapes on it.
    """

    counts: tuple[tuple[PodShape, int], ...]
    parts: tuple[tuple[int, tuple[PodShape, ...]], ...] = ()


def quick_pattern(
    room: Room, gains: Mapping[PodShape, float], wanted: Mapping[PodShape, int]
) -> tuple[float, NodePattern]:
    """Return the best of a few greedy sets, by gain per use of the node, and its gain."""
    best = (0.0, NodePattern(()))
    worth = [shape for shape, gain in gains.items() if gain > LEAST_GAIN and fits_an_empty(room, shape)]
    for weights in WEIGHTS:
        ordered = sorted(worth, key=lambda shape: (-gains[shape] / _use(room, shape, weights), shape))
        pattern = _filled(room, ordered, wanted)
        gain = sum(gains[shape] * count for shape, count in pattern.counts)
        best = max(best, (gain, pattern), key=lambda found: found[0])
    return best


class FillCache:
    """Sets of pods that may share a GPU, looked for once per set of shapes while the gains are the same.

    Args:
        gains: of one pod of each shape.
    """

    def __init__(self, gains: Mapping[PodShape, float]) -> None:
        self._gains = gains
        self._found: dict[tuple[int, frozenset[PodShape], frozenset[PodShape]], list[GpuFill]] = {}

    def fills(self, free_milli: int, shapes: Iterable[PodShape], scarce: Iterable[PodShape]) -> list[GpuFill]:
        """Return the sets for a GPU; see `gpu_fills`."""
        usable = frozenset(shape for shape in shapes if shape.gpu_milli <= free_milli)
        key = (free_milli, usable, usable.intersection(scarce))
        if key not in self._found:
            self._found[key] = gpu_fills(free_milli, {shape: self._gains[shape] for shape in usable}, key[2])
        return self._found[key]


def best_pattern(
    room: Room, gains: Mapping[PodShape, float], wanted: Mapping[PodShape, int], seconds: float, cache: FillCache
) -> tuple[float, float, NodePattern]:
    """Return gain, a bound of the gain and the pods of the best set that one node holds.

    No shape is taken more often than there are pods of it: where the best set would, that shape counts as scarce, and
    the search begins anew.

    Args:
        room: what is free on the node.
        gains: of one pod of each shape.
        wanted: pods of each shape that there are.
        seconds: to look for; then the best that was found.
        cache: for these gains.
    """
    worth = [shape for shape, gain in gains.items() if gain > LEAST_GAIN and fits_an_empty(room, shape)]
    scarce: set[PodShape] = set()
    while True:
        bound, pattern = _best_of(room, gains, wanted, seconds, cache, worth, scarce)
        short = {shape for shape, count in pattern.counts if count > wanted[shape]}
        if not short:
            return sum(gains[shape] * count for shape, count in pattern.counts), bound, pattern
        scarce |= short


def _best_of(
    room: Room,
    gains: Mapping[PodShape, float],
    wanted: Mapping[PodShape, int],
    seconds: float,
    cache: FillCache,
    worth: Sequence[PodShape],
    scarce: Collection[PodShape],
) -> tuple[float, NodePattern]:
    """Return a bound and the best set of some shapes; of those with parts of GPUs only the scarce ones are counted."""
    wholes = [shape for shape in worth if not shape.takes_part]
    parts = [shape for shape in worth if shape.takes_part]
    program = Program()
    cpu, memory = program.row(1.0), program.row(1.0)
    by_level = Counter(free for free in room.free_milli if free)
    full_row = program.row(by_level[WHOLE_GPU_MILLI])

    def on_host(cpu_milli: int, memory_mib: int) -> list[tuple[int, float]]:
        return [(cpu, cpu_milli / max(1, room.cpu_milli)), (memory, memory_mib / max(1, room.memory_mib))]

    for shape in wholes:
        on_node = [*on_host(shape.cpu_milli, shape.memory_mib), (full_row, float(shape.gpus))]
        program.variable(gains[shape], wanted[shape], on_node)
    chosen: list[tuple[int, GpuFill]] = []
    scarce_rows = {shape: program.row(wanted[shape]) for shape in sorted(scarce)}
    for level, count in sorted(by_level.items()) if parts else ():
        row = full_row if level == WHOLE_GPU_MILLI else program.row(count)
        for fill in cache.fills(level, parts, scarce):
            counted = Counter(shape for shape in fill.shapes if shape in scarce)
            entries = [(scarce_rows[shape], float(copies)) for shape, copies in sorted(counted.items())]
            program.variable(fill.gain, count, [*on_host(fill.cpu_milli, fill.memory_mib), (row, 1.0), *entries])
            chosen.append((level, fill))
    found = solve(program, whole=True, seconds=seconds)
    if not found.values.size:
        return found.bound, NodePattern(())
    values = [round(value) for value in found.values]
    counts = Counter({shape: values[index] for index, shape in enumerate(wholes) if values[index]})
    on_gpu: dict[int, list[PodShape]] = {}
    gpus = {level: [gpu for gpu, free in enumerate(room.free_milli) if free == level] for level in by_level}
    for (level, fill), value in zip(chosen, values[len(wholes) :], strict=True):
        for _ in range(value):
            on_gpu[gpus[level].pop()] = list(fill.shapes)
            counts.update(fill.shapes)
    return found.bound, _pattern(counts, on_gpu)


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


def _filled(room: Room, ordered: Sequence[PodShape], wanted: Mapping[PodShape, int]) -> NodePattern:
    """Return the node filled in that order, each shape as often as it goes."""
    free, cpu, memory = list(room.free_milli), room.cpu_milli, room.memory_mib
    counts: Counter[PodShape] = Counter()
    on_gpu: dict[int, list[PodShape]] = {}
    for shape in ordered:
        while shape.cpu_milli <= cpu and shape.memory_mib <= memory and counts[shape] < wanted[shape]:
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
