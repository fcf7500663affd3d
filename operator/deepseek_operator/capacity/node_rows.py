"""Every GPU node as one row of plain values: who holds its GPUs, what would come, and what stays free or stranded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from deepseek_operator.capacity.facts import PodFacts
from deepseek_operator.capacity.fits import gpus_per_node
from deepseek_operator.capacity.fleet import FleetAnswer
from deepseek_operator.capacity.inventory import Inventory, NodeInventory
from deepseek_operator.capacity.what_if import INSTANCE_TYPE_LABEL
from deepseek_operator.catalog.gpu_labels import GpuSharing
from deepseek_operator.memory.estimate import RankMemory
from deepseek_operator.resources.names import LABEL_DEPLOYMENT
from deepseek_operator.units import format_usd

ZONE_LABEL = "topology.kubernetes.io/zone"
"""Source: Kubernetes, well-known labels."""


def node_rows(inventory: Inventory, answer: FleetAnswer, stranded: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per GPU node, by name.

    ``held`` + ``coming`` + ``free`` + ``stranded`` + ``unhealthy`` + ``shared`` are the GPUs of the row. Of a node
    whose GPUs are all shared, ``held`` is told in the units that its pods ask for; of one that has MIG slices beside
    whole GPUs, who holds slices is in ``sharedHeld``, and ``coming`` tells of whole GPUs.

    Args:
        inventory: of the cluster.
        answer: where new replicas would go.
        stranded: rows of the report with ``node`` and ``gpus``.
    """
    useless = {row["node"]: row["gpus"] for row in stranded}
    coming: dict[str, Counter[str]] = {}
    beside = {node.name for node in inventory.nodes if _beside_whole(node)}
    for verdict in answer.verdicts:
        metadata = verdict.member.deployment.metadata
        for node in verdict.nodes:
            if node in beside and verdict.member.plan.share is not None:
                continue
            who = coming.setdefault(node, Counter())
            who[f"{metadata.namespace}/{metadata.name}"] += gpus_per_node(verdict.member.plan)
    return [
        _row(node, coming.get(node.name, Counter()), answer.free_after[node.name], useless.get(node.name, 0))
        for node in inventory.nodes
    ]


def _row(node: NodeInventory, coming: Mapping[str, int], left: int, stranded: int) -> dict[str, Any]:
    whole, beside = bool(node.allocatable_gpus), _beside_whole(node)
    others = max(0, node.physical_gpus - node.allocatable_gpus)
    all_shared = node.sharing is not GpuSharing.WHOLE and not whole
    cost = node_cost_per_hour_usd(node)
    return {
        "node": node.name,
        "gpu": node.gpu.id if node.gpu else node.product or "unknown",
        "gpus": max(node.physical_gpus, node.allocatable_gpus),
        "sharing": node.sharing.value,
        "zone": node.labels.get(ZONE_LABEL, ""),
        "instance": node.labels.get(INSTANCE_TYPE_LABEL, ""),
        "costPerHourUsd": None if cost is None else format_usd(cost),
        "held": _held(node, of_slices=False) if beside else _held(node),
        "coming": [{"by": who, "gpus": gpus} for who, gpus in sorted(coming.items())],
        "free": left - stranded if whole else 0,
        "stranded": stranded if whole else 0,
        "unhealthy": others if whole and not beside else 0,
        "shared": others if beside or all_shared else 0,
        "sharedHeld": _held(node, of_slices=True) if beside else [],
        "unusable": node.exclusions[0] if node.exclusions else "",
    }


def _beside_whole(node: NodeInventory) -> bool:
    """Return whether a node offers whole GPUs beside others that are cut into slices."""
    return node.sharing is not GpuSharing.WHOLE and bool(node.allocatable_gpus)


def _held(node: NodeInventory, *, of_slices: bool | None = None) -> list[dict[str, Any]]:
    """Return who holds the node's GPUs; pods of one owner are one entry.

    Args:
        node: that they are on.
        of_slices: only of those that hold slices, or only of those that hold whole GPUs; None for all.
    """
    units: Counter[tuple[str, bool]] = Counter()
    for pod in node.pods:
        whole = node.held_by(pod)
        if of_slices is None or of_slices is not bool(whole):
            units[holder(pod), LABEL_DEPLOYMENT in pod.labels] += whole or sum(pod.gpus.values())
    return [{"by": who, "gpus": count, "ours": ours} for (who, ours), count in sorted(units.items())]


def node_cost_per_hour_usd(node: NodeInventory) -> Decimal | None:
    """Return what all GPUs of a node cost per hour: by its label, else by the catalogue; None without a price."""
    price = node.price_per_hour_usd
    if price is None and node.gpu is not None:
        price = node.gpu.price_per_hour_usd
    return None if price is None else price * node.physical_gpus


def holder(pod: PodFacts) -> str:
    """Return whose a pod is: its DeepSeekDeployment, else its controller, else itself.

    >>> holder(PodFacts(namespace="ml", name="job-x7", gpus={}, owner_kind="Job", owner_name="job", labels={}))
    'ml/job'
    """
    return f"{pod.namespace}/{pod.labels.get(LABEL_DEPLOYMENT) or pod.owner_name or pod.name}"


def memory_percent(rank: RankMemory) -> dict[str, int]:
    """Return what the memory of one GPU of a replica goes to, in percent of the GPU, the rank with the least room.

    >>> memory_percent(RankMemory(stage=0, total_bytes=100, budget_bytes=92, weights_bytes=40, activations_bytes=5,
    ...     non_torch_bytes=3, cuda_graph_bytes=2, kv_cache_bytes=42))
    {'weights': 40, 'kvCache': 42, 'other': 10, 'free': 8}
    """
    other = rank.activations_bytes + rank.non_torch_bytes + rank.cuda_graph_bytes
    parts = {"weights": rank.weights_bytes, "kvCache": max(0, rank.kv_cache_bytes), "other": other}
    percent = {name: round(100 * size / rank.total_bytes) for name, size in parts.items()}
    return percent | {"free": max(0, 100 - sum(percent.values()))}
