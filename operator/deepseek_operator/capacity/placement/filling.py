"""Nodes as patterns of pods: filled one by one, refilled after a choice, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from deepseek_operator.capacity.placement.node_pattern import NodePattern
from deepseek_operator.capacity.placement.one_by_one import OneByOne
from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room


def evenly(pods: Mapping[PodShape, int]) -> list[PodShape]:
    """Return every pod by its shape, the shapes mixed as evenly as they go.

    >>> one, two = PodShape(gpus=1, gpu_milli=1000), PodShape(gpus=2, gpu_milli=1000)
    >>> [shape.gpus for shape in evenly({one: 4, two: 2})]
    [1, 2, 1, 1, 2, 1]
    """
    turns = [((turn + 0.5) / count, shape) for shape, count in pods.items() for turn in range(count)]
    return [shape for _, shape in sorted(turns)]


def best_order(rooms: Sequence[Room], pods: Mapping[PodShape, int]) -> list[NodePattern]:
    """Return the pattern of each node when the pods come one by one: in the better of two orders."""
    largest_first = sorted(
        pods, key=lambda shape: (not shape.gpus, -bool(shape.products), -shape.gpus, -shape.gpu_milli, shape)
    )
    empty = [NodePattern(())] * len(rooms)
    found = filled_up(rooms, empty, evenly(pods), pods)
    if sum(count for node in found for _, count in node.counts) == sum(pods.values()):
        return found
    order = [shape for shape in largest_first for _ in range(pods[shape])]
    return max(found, filled_up(rooms, empty, order, pods), key=gpus_of)


def filled_up(
    rooms: Sequence[Room], nodes: Sequence[NodePattern], order: Sequence[PodShape], pods: Mapping[PodShape, int]
) -> list[NodePattern]:
    """Return the nodes' patterns after more pods were placed one by one beside those that are there."""
    counts = [Counter(dict(node.counts)) for node in nodes]
    parts = [{gpu: list(shapes) for gpu, shapes in node.parts} for node in nodes]
    placer = OneByOne([left_of(room, node) for room, node in zip(rooms, nodes, strict=True)], pods)
    for shape in order:
        spot = placer.place(shape)
        if spot is not None:
            counts[spot.node][shape] += 1
            if shape.takes_part:
                parts[spot.node].setdefault(spot.gpus[0], []).append(shape)
    return [
        NodePattern(
            counts=tuple(sorted(count.items())),
            parts=tuple((gpu, tuple(sorted(shapes))) for gpu, shapes in sorted(part.items())),
        )
        for count, part in zip(counts, parts, strict=True)
    ]


def left_of(room: Room, node: NodePattern) -> Room:
    """Return what a pattern leaves of a node."""
    if not node.counts:
        return room
    free = list(room.free_milli)
    for gpu, shapes in node.parts:
        free[gpu] -= sum(shape.gpu_milli for shape in shapes)
    shared = {gpu for gpu, _ in node.parts}
    whole = [gpu for gpu, milli in enumerate(free) if milli == WHOLE_GPU_MILLI and gpu not in shared]
    taken = sum(shape.gpus * count for shape, count in node.counts if not shape.takes_part)
    for gpu in whole[:taken]:
        free[gpu] = 0
    return Room(
        product=room.product,
        free_milli=tuple(free),
        cpu_milli=room.cpu_milli - sum(shape.cpu_milli * count for shape, count in node.counts),
        memory_mib=room.memory_mib - sum(shape.memory_mib * count for shape, count in node.counts),
    )


def gpu_part(node: NodePattern) -> NodePattern:
    """Return a pattern without its pods that take no GPU; these find their places last, where they cost none."""
    return NodePattern(tuple((shape, count) for shape, count in node.counts if shape.gpus), node.parts)


def gpus_of(nodes: Sequence[NodePattern]) -> float:
    """Return the GPUs that the pods of patterns take."""
    return sum(shape.demand_milli * count for node in nodes for shape, count in node.counts) / WHOLE_GPU_MILLI


def refilled(rooms: Sequence[Room], nodes: Sequence[NodePattern], pods: Mapping[PodShape, int]) -> list[NodePattern]:
    """Return the nodes without pods beyond those that there are, and with the others placed one by one."""
    left, kept = Counter(pods), []
    for node in nodes:
        parts, counts = [], Counter[PodShape]()
        for gpu, shapes in node.parts:
            stay = []
            for shape in shapes:
                if left[shape] > 0:
                    left[shape] -= 1
                    stay.append(shape)
            counts.update(stay)
            if stay:
                parts.append((gpu, tuple(stay)))
        for shape, count in node.counts:
            if not shape.takes_part:
                counts[shape] = min(count, left[shape])
                left[shape] -= counts[shape]
        kept.append(NodePattern(tuple(sorted((s, c) for s, c in counts.items() if c)), tuple(parts)))
    return filled_up(rooms, kept, evenly(+left), pods)
