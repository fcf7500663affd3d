"""Nodes whose GPUs are divided, as their plugins and feature discovery show them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cluster_objects import gpu_node
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.inventory import Inventory, NodeInventory, inventory
from deepseek_operator.resources.features import ClusterFeatures

L40S_LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-L40S",
    "nvidia.com/gpu.memory": "46068",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.compute.major": "8",
    "nvidia.com/gpu.compute.minor": "9",
}
"""Of eight L40S, whole."""

MIG_MIB = {"1g.10gb": "9984", "3g.40gb": "40448", "1g.10gb.me": "9984", "1g.20gb": "20096"}
"""Memory labels of an H100's slices, by profile as labels spell it."""


def mig_node(
    name: str,
    slices: Mapping[str, int],
    whole: int = 0,
    counted: bool = True,
    **changes: Any,  # noqa: ANN401 - of gpu_node
) -> dict[str, Any]:
    """Return a node of eight H100 under MIG strategy ``mixed``, some of them whole; uncounted without the label."""
    labels = {f"nvidia.com/mig-{profile}.memory": MIG_MIB[profile] for profile in slices if profile in MIG_MIB}
    labels |= {"nvidia.com/mig.strategy": "mixed", "nvidia.com/mig.capable": "true"} | changes.pop("more_labels", {})
    allocatable = {f"nvidia.com/mig-{profile}": str(count) for profile, count in slices.items()}
    node = gpu_node(name, more_labels=labels, allocatable={"nvidia.com/gpu": str(whole)} | allocatable, **changes)
    if not counted:
        del node["metadata"]["labels"]["nvidia.com/gpu.count"]
    return node


def single_mig_node(name: str, profile: str = "1g.10gb", slices: int = 56, **more_labels: str) -> dict[str, Any]:
    """Return a node of eight H100 under MIG strategy ``single``."""
    labels = {
        "nvidia.com/gpu.product": f"NVIDIA-H100-80GB-HBM3-MIG-{profile}",
        "nvidia.com/gpu.memory": MIG_MIB.get(profile, "9984"),
        "nvidia.com/mig.strategy": "single",
    }
    return gpu_node(name, gpus=slices, more_labels=labels | more_labels)


def sliced_node(
    name: str, replicas: int = 4, strategy: str = "time-slicing", offered: int | None = None, **more_labels: str
) -> dict[str, Any]:
    """Return a node of eight L40S that the device plugin offers several times each."""
    labels = {
        "nvidia.com/gpu.product": "NVIDIA-L40S-SHARED",
        "nvidia.com/gpu.replicas": str(replicas),
        "nvidia.com/gpu.sharing-strategy": strategy,
    }
    count = 8 * replicas if offered is None else offered
    return gpu_node(
        name, labels=L40S_LABELS, more_labels=labels | more_labels, allocatable={"nvidia.com/gpu": str(count)}
    )


def hami_node(
    name: str, gpus: int = 8, splits: int = 10, mib: int = 46068, offered: int | None = None, **device: object
) -> dict[str, Any]:
    """Return a node of L40S that HAMi divides."""
    devices = [
        {"id": f"GPU-{name}-{index}", "count": splits, "devmem": mib, "devcore": 100, "type": "NVIDIA-NVIDIA L40S"}
        | {"mode": "hami-core", "health": True, "index": index}
        | device
        for index in range(gpus)
    ]
    return gpu_node(
        name,
        gpus=gpus,
        labels=L40S_LABELS,
        annotations={"hami.io/node-nvidia-register": json.dumps(devices)},
        allocatable={"nvidia.com/gpu": str(gpus * splits if offered is None else offered)},
    )


def share_pod(name: str, node: str, limits: Mapping[str, str], **metadata: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a running pod with these limits."""
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", **metadata},
        "spec": {"nodeName": node, "containers": [{"name": "main", "resources": {"limits": dict(limits)}}]},
        "status": {"phase": "Running"},
    }


def inventory_of(*objects: dict[str, Any], features: ClusterFeatures | None = None) -> Inventory:
    """Return the inventory of Node and Pod objects."""
    nodes = [each for each in objects if "spec" in each and "containers" not in each["spec"]]
    pods = [each for each in objects if "containers" in each["spec"]]
    return inventory([read_node(each) for each in nodes], [read_pod(each) for each in pods], features=features)


def only_node(*objects: dict[str, Any]) -> NodeInventory:
    """Return the one GPU node of an inventory."""
    (found,) = inventory_of(*objects).nodes
    return found
