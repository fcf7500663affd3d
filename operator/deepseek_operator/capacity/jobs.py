"""Training and fine-tuning jobs beside serving: which GPUs they may have without taking any from a model that serves.

A job that may be stopped runs on what is free now. One that may not be stopped gets no GPU that a deployment may need
later: it is laid beside serving at its most replicas as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deepseek_operator.api.spec_hardware import Spot
from deepseek_operator.capacity.board import Board, Need, Spots
from deepseek_operator.capacity.host_use import HostUse
from deepseek_operator.capacity.inventory import Inventory, NodeInventory
from deepseek_operator.capacity.selection import why_excluded
from deepseek_operator.units import ceil_div


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training run.

    Args:
        name: of the job.
        mode: ``training`` or ``lora``.
        gpu: product, an id of the catalogue.
        gpus: of one copy, 1 or more.
        tensor: GPUs that must share a node, a divisor of ``gpus``.
        host_bytes: host memory of one copy.
        preemptible: whether it may be stopped for serving; then it may use interruptible nodes, too.
        copies: that should run at once, 1 or more.
        limit: why it does not fit its GPUs, one sentence; empty when it does.
    """

    name: str
    mode: str
    gpu: str
    gpus: int
    tensor: int = 1
    host_bytes: int = 0
    preemptible: bool = False
    copies: int = 1
    limit: str = ""


def job_rows(jobs: Sequence[Job], inventory: Inventory, now: Board, at_max: Board) -> list[dict[str, Any]]:
    """Return where the jobs go, as JSON values: those that may not be stopped first, then in their order.

    Args:
        jobs: to place.
        inventory: of the cluster.
        now: what serving leaves today; what the jobs take is taken from it.
        at_max: what it leaves at its most replicas; likewise.
    """
    found: dict[str, dict[str, Any]] = {}
    for job in sorted(jobs, key=lambda each: each.preemptible):
        nodes = _nodes(job, inventory)
        need, why_not = _need(job, nodes)
        spots: list[Spots] = []
        if need is not None:
            names = tuple(node.name for node in nodes)
            while len(spots) < job.copies:
                free = names if job.preemptible else tuple(name for name in names if at_max.room(name, need))
                placed = now.place(need, free, 1)
                if not placed:
                    break
                if not job.preemptible:
                    for name in placed[0]:
                        at_max.take(name, need)
                spots += placed
            why_not = "" if len(spots) == job.copies else _why_not(job, need, names, now)
        found[job.name] = {
            "name": job.name,
            "mode": job.mode,
            "gpu": job.gpu,
            "gpusPerCopy": job.gpus,
            "nodesPerCopy": None if need is None else need.spans,
            "preemptible": job.preemptible,
            "copies": job.copies,
            "fitNow": len(spots),
            "nodes": [list(each) for each in spots],
            "reason": why_not,
        }
    return [found[job.name] for job in jobs]


def _nodes(job: Job, inventory: Inventory) -> list[NodeInventory]:
    spot = Spot.ALLOW if job.preemptible else Spot.NEVER
    return [
        node
        for node in inventory.nodes
        if node.gpu is not None and node.gpu.id == job.gpu and not why_excluded(node, {}, (), spot)
    ]


def _need(job: Job, nodes: Sequence[NodeInventory]) -> tuple[Need | None, str]:
    """Return what each node of a copy gives, on as few nodes as possible, or why there is no such split."""
    if job.limit:
        return None, job.limit
    largest = max((node.allocatable_gpus for node in nodes), default=0)
    if not largest:
        return None, f"no node with {job.gpu} takes its pods"
    for spans in range(1, job.gpus + 1):
        each = job.gpus // spans
        if job.gpus % spans == 0 and each <= largest and each % job.tensor == 0:
            host = HostUse(memory_bytes=ceil_div(job.host_bytes, spans), pods=1)
            return Need(gpus=each, spans=spans, host=host), ""
    return None, f"its tensor-parallel group of {job.tensor} GPUs fits no node; the largest has {largest} {job.gpu}"


def _why_not(job: Job, need: Need, names: Sequence[str], now: Board) -> str:
    each = f"{need.gpus} free {job.gpu} on one node"
    if need.spans > 1:
        each = f"{need.gpus} free {job.gpu} on each of {need.spans} nodes"
    if now.count(need, names):
        return f"needs {each}; what is free belongs to deployments at maxReplicas, and it is not preemptible"
    return f"needs {each}; serving leaves fewer now"
