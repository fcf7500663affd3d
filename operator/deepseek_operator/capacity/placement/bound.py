"""No placement can allocate more: the linear relaxation over groups of nodes and groups of pods that are alike."""

from __future__ import annotations

from collections.abc import Mapping

from deepseek_operator.capacity.placement.problem import WHOLE_GPU_MILLI, PodShape, Room
from deepseek_operator.capacity.placement.solver import Program, solve


def allocation_bound_gpus(rooms: Mapping[Room, int], pods: Mapping[PodShape, int]) -> float:
    """Return a number of GPUs that no placement of the pods allocates more than.

    Nodes that are alike are taken as one large node and pods may be cut; GPUs, CPU and host memory are kept to.

    Args:
        rooms: what is free, and on how many nodes.
        pods: shapes and how many pods have them.
    """
    program = Program()
    rows_of_pods = {shape: program.row(count) for shape, count in pods.items()}
    for room, count in rooms.items():
        gpus = program.row(count * room.free_gpus)
        cpu = program.row(count * room.cpu_milli / 1000)
        memory = program.row(count * room.memory_mib / 1024)
        for shape, wanted in pods.items():
            if fits_an_empty(room, shape):
                share = shape.demand_milli / WHOLE_GPU_MILLI
                entries = [
                    (rows_of_pods[shape], 1.0),
                    (gpus, share),
                    (cpu, shape.cpu_milli / 1000),
                    (memory, shape.memory_mib / 1024),
                ]
                program.variable(share, wanted, entries)
    return solve(program).objective


def fits_an_empty(room: Room, shape: PodShape) -> bool:
    """Return whether one pod of a shape fits."""
    large_enough = sum(free >= shape.gpu_milli for free in room.free_milli)
    return (
        shape.may_run_on(room.product)
        and large_enough >= shape.gpus
        and shape.cpu_milli <= room.cpu_milli
        and shape.memory_mib <= room.memory_mib
    )
