"""Node and Pod objects as the API server serves them, for tests; only what a test names differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

H100_LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.compute.major": "9",
    "nvidia.com/gpu.compute.minor": "0",
}
A100_LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
    "nvidia.com/gpu.memory": "81920",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.compute.major": "8",
    "nvidia.com/gpu.compute.minor": "0",
}


def gpu_node(
    name: str,
    *,
    gpus: int = 8,
    labels: Mapping[str, str] = H100_LABELS,
    more_labels: Mapping[str, str] | None = None,
    taints: tuple[Mapping[str, str], ...] = (),
    allocatable: Mapping[str, str] | None = None,
    unschedulable: bool = False,
    ready: str = "True",
    deleting: bool = False,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return a Node with that many GPUs; ``gpu.count`` follows ``gpus`` unless ``more_labels`` says otherwise."""
    counted = {**labels, "nvidia.com/gpu.count": str(gpus)} if "nvidia.com/gpu.count" in labels else dict(labels)
    metadata: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}",
        "labels": {"kubernetes.io/hostname": name, **counted, **(more_labels or {})},
        "annotations": {"example.com/note": "kept out of snapshots", **(annotations or {})},
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "spec": {"taints": [dict(taint) for taint in taints], "unschedulable": unschedulable},
        "status": {
            "allocatable": {"cpu": "190", "memory": "2000Gi", **(allocatable or {"nvidia.com/gpu": str(gpus)})},
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}],
        },
    }


def gpu_pod(
    name: str,
    *,
    gpus: int = 1,
    node: str = "",
    namespace: str = "default",
    phase: str = "Running",
    labels: Mapping[str, str] | None = None,
    deleting: bool = False,
    resource: str = "nvidia.com/gpu",
    uid: str = "",
) -> dict[str, Any]:
    """Return a Pod with one container that asks for that many GPUs, with environment that must not be copied."""
    quantity = {resource: str(gpus)}
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{namespace}-{name}",
        "labels": dict(labels or {}),
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    container = {
        "name": "main",
        "image": "registry.example.com/engine:1",
        "env": [{"name": "HF_TOKEN", "value": "secret-value"}],
        "resources": {"requests": {"cpu": "4", **quantity}, "limits": quantity},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], **({"nodeName": node} if node else {})},
        "status": {"phase": phase},
    }
