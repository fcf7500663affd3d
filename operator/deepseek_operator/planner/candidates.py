"""Everything that could be tried on one pool: quantization rungs times legal splits that its nodes can hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from deepseek_operator.catalog.hashed_once import hashed_once
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.feature_splits import illegal_with_features
from deepseek_operator.planner.hardware import Rung
from deepseek_operator.planner.parallelism import illegal
from deepseek_operator.planner.request import GpuPool, PlanRequest, Workload
from deepseek_operator.planner.result import InfeasibleReason
from deepseek_operator.planner.splits import splits
from deepseek_operator.planner.topology import is_geforce, layouts

SINGLE_GPU = Parallelism()
NO_WORKLOAD = Workload(input_tokens=1, output_tokens=1, max_context_tokens=2)

GEFORCE_CAUTION = "NVIDIA's driver licence excludes GeForce software from data centres (section 2.8)"
"""Source: NVIDIA Driver License Agreement, section 2.8; before it License For Customer Use of NVIDIA GeForce Software,
section 2.1.3 "No Datacenter Deployment"."""


@hashed_once
@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to run one replica on a pool.

    Args:
        nodes: nodes that one replica spans.
        most_replicas: replicas that both the request and the pool's nodes allow, 1 or more.
    """

    pool: GpuPool
    split: Parallelism
    rung: Rung
    nodes: int
    most_replicas: int


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """Why one candidate, or a whole pool, is not used: the limit and its numbers, as one sentence.

    Args:
        shortfall: needed over available for the broken limit (1.1 needs a tenth more); infinite when no number would
            help.
    """

    gpu: str
    split: Parallelism
    quantization: str
    reason: InfeasibleReason
    detail: str
    shortfall: float = math.inf


def is_named(request: PlanRequest, pool: GpuPool) -> bool:
    """Whether the user wrote this product into ``hardware.gpus``."""
    return pool.gpu.id in request.gpus


def joins_gpus(request: PlanRequest, pool: GpuPool) -> bool:
    """Whether a replica may span several GPUs of the pool.

    GeForce boards are joined only when the request names the product. A stated policy: GeForce boards of the 40 and 50
    series have no link of their own, their driver offers no peer-to-peer copies, and its
    licence excludes data centres (NVIDIA Driver License Agreement, section 2.8).
    """
    return not is_geforce(pool.gpu) or is_named(request, pool)


def not_joined(pool: GpuPool) -> str:
    """Return the policy of ``joins_gpus`` as people read it."""
    return (
        f"several boards are joined only when hardware.gpus names {pool.gpu.id}: no link, no peer-to-peer copies, and "
        f"{GEFORCE_CAUTION}"
    )


def candidates(request: PlanRequest, pool: GpuPool, rung: Rung) -> tuple[tuple[Candidate, ...], tuple[Exclusion, ...]]:
    """Return what is worth estimating on a pool with one quantization, and what was ruled out before.

    The splits are those of ``splits``; what the user pins is the only value tried.
    """
    return _candidates(where_it_runs(request), pool, rung)


@lru_cache(maxsize=64)
def where_it_runs(request: PlanRequest) -> PlanRequest:
    """Return a question with only what decides which splits are tried; equal for questions that differ in the rest."""
    return PlanRequest(
        model_name="",
        model=request.model,
        workload=NO_WORKLOAD,
        gpus=request.gpus,
        max_replicas=request.max_replicas,
        parallelism=request.parallelism,
        features=request.features,
        draft_model=request.draft_model,
    )


@lru_cache(maxsize=1024)
def _candidates(request: PlanRequest, pool: GpuPool, rung: Rung) -> tuple[tuple[Candidate, ...], tuple[Exclusion, ...]]:
    found: list[Candidate] = []
    excluded: list[Exclusion] = []
    for split in splits(request, pool, rung.linear):
        broken = illegal(request.model, split, linear=rung.linear) or illegal_with_features(request, split)
        if broken:
            excluded.append(_excluded(pool, split, rung, f"{split}: {broken}"))
            continue
        if split.world_size > 1 and not joins_gpus(request, pool):
            excluded.append(_excluded(pool, split, rung, f"{split}: {not_joined(pool)}"))
            continue
        if split.world_size > 1 and pool.share is not None and pool.share.is_part:
            excluded.append(_excluded(pool, split, rung, _no_split(pool, split)))
            continue
        possible = layouts(pool, split)
        if not possible:
            excluded.append(_excluded(pool, split, rung, _no_room(pool, split)))
        found += [
            Candidate(pool=pool, split=split, rung=rung, nodes=nodes, most_replicas=min(request.max_replicas, held))
            for nodes, held in possible
        ]
    return tuple(found), tuple(excluded)


def node_shapes(pool: GpuPool) -> str:
    """Return the nodes of a pool as people read them, such as ``1 x 4 GPUs and 2 x 8 GPUs``."""
    what = "GPUs" if pool.share is None or not pool.share.is_part else "shares"
    return " and ".join(f"{nodes} x {count} {what}" for count, nodes in pool.nodes_by_gpu_count)


def _no_split(pool: GpuPool, split: Parallelism) -> str:
    return f"{split}: a replica cannot be split over several shares such as {pool.name}; leave parallelism out"


def _no_room(pool: GpuPool, split: Parallelism) -> str:
    return (
        f"{split} needs {split.world_size} x {pool.gpu.id} with {split.tensor} in each node; the nodes have "
        f"{node_shapes(pool) or 'none'}"
    )


def _excluded(pool: GpuPool, split: Parallelism, rung: Rung, detail: str) -> Exclusion:
    return Exclusion(
        gpu=pool.gpu.id,
        split=split,
        quantization=rung.name,
        reason=InfeasibleReason.SPLIT_ILLEGAL,
        detail=detail,
    )
