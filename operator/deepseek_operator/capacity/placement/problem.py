"""What is to be placed where: nodes with free GPUs, and pods that need some of them."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE_GPU_MILLI = 1000
"""Thousandths of a GPU that make a whole one."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Room:
    """What is free on a node; nodes with the same room are alike.

    Args:
        product: of the node's GPUs; empty without GPUs.
        free_milli: free thousandths of each GPU, 0 to 1000, one item per GPU.
        cpu_milli: free thousandths of a CPU core.
        memory_mib: free host memory.
    """

    product: str
    free_milli: tuple[int, ...]
    cpu_milli: int
    memory_mib: int

    @property
    def free_gpus(self) -> float:
        """Free GPUs, parts counted."""
        return sum(self.free_milli) / WHOLE_GPU_MILLI


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PodShape:
    """What a pod needs; pods of the same shape are alike.

    Args:
        gpus: whole GPUs, or 1 for a part of one; 0 for none.
        gpu_milli: thousandths that it takes of each of its GPUs; 1000 takes them whole.
        cpu_milli: thousandths of a CPU core.
        memory_mib: host memory.
        products: GPU products that it may run on; empty for any.
    """

    gpus: int
    gpu_milli: int
    cpu_milli: int = 0
    memory_mib: int = 0
    products: tuple[str, ...] = ()

    @property
    def demand_milli(self) -> int:
        """Thousandths of GPUs that it takes in all."""
        return self.gpus * self.gpu_milli

    @property
    def takes_part(self) -> bool:
        """Whether it takes a part of one GPU."""
        return self.gpus == 1 and self.gpu_milli < WHOLE_GPU_MILLI

    def may_run_on(self, product: str) -> bool:
        """Return whether a GPU product is among those that it may run on.

        >>> PodShape(gpus=1, gpu_milli=1000, products=("t4",)).may_run_on("l4")
        False
        """
        return not self.gpus or (bool(product) and (not self.products or product in self.products))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a pod was put.

    Args:
        node: index of the node.
        gpus: indices of the GPUs that it takes on it.
    """

    node: int
    gpus: tuple[int, ...]
