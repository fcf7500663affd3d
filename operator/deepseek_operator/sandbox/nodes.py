"""Fake GPU nodes: what the API server would show of a real node with the GPU feature discovery on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deepseek_operator.sandbox.versions import KUBERNETES_VERSION
from deepseek_operator.units import KIB

FAKE_NODE_ANNOTATION = ("kwok.x-k8s.io/node", "fake")
"""The annotation by which the KWOK controller knows the nodes that it has to keep alive."""

_FAMILIES = {5: "maxwell", 6: "pascal", 9: "hopper", 10: "blackwell", 12: "blackwell"}


@dataclass(frozen=True)
class GpuFacts:
    """What a node label tells about a GPU product.

    Args:
        resource: extended resource that a pod requests, such as ``nvidia.com/gpu``.
        label_key: label that names the product; ``None`` when there is none.
        label_value: its value.
        memory_mib: ``nvidia.com/gpu.memory``.
        compute_capability: major and minor.
    """

    resource: str
    label_key: str | None
    label_value: str | None
    memory_mib: int | None = None
    compute_capability: tuple[int, int] | None = None


def catalog_facts(gpu_id: str) -> GpuFacts:
    """Return a product's facts from the catalogue.

    Raises:
        UnknownGpuError: no such product; the remedy is an id of ``catalog gpus``.
    """
    from deepseek_operator.catalog.gpus import gpu

    product = gpu(gpu_id)
    return GpuFacts(
        resource=product.k8s_resource,
        label_key=product.label_key,
        label_value=product.label_value,
        memory_mib=product.memory_label_mib,
        compute_capability=product.compute_capability,
    )


def gpu_labels(facts: GpuFacts, gpus: int) -> dict[str, str]:
    """Return the labels that the GPU feature discovery puts on a node with so many whole, unshared GPUs.

    Source: NVIDIA k8s-device-plugin, ``internal/lm/resource.go``; other vendors get only their product label.

    >>> l40s = GpuFacts("nvidia.com/gpu", "nvidia.com/gpu.product", "NVIDIA-L40S", 46068, (8, 9))
    >>> labels = gpu_labels(l40s, 8)
    >>> labels["nvidia.com/gpu.family"], labels["nvidia.com/gpu.count"]
    ('ada-lovelace', '8')
    """
    if facts.label_key is None or facts.label_value is None:
        return {}
    labels = {facts.label_key: facts.label_value}
    if facts.resource != "nvidia.com/gpu":
        return labels
    labels |= {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": str(gpus),
        "nvidia.com/gpu.replicas": "1",
        "nvidia.com/gpu.sharing-strategy": "none",
    }
    if facts.memory_mib is not None:
        labels["nvidia.com/gpu.memory"] = str(facts.memory_mib)
    if facts.compute_capability is not None:
        major, minor = facts.compute_capability
        labels["nvidia.com/gpu.compute.major"] = str(major)
        labels["nvidia.com/gpu.compute.minor"] = str(minor)
        labels["nvidia.com/gpu.family"] = _family(major, minor)
    return labels


def _family(major: int, minor: int) -> str:
    if major == 7:
        return "volta" if minor < 5 else "turing"
    if major == 8:
        return "ampere" if minor < 9 else "ada-lovelace"
    return _FAMILIES.get(major, "undefined")


@dataclass(frozen=True)
class FakeNode:
    """A node that exists only in the API server; its pods become Ready without running anything.

    Args:
        name: node name and host name.
        gpu_id: catalogue id of its GPUs; ``None`` makes a node without.
        gpus: number of GPUs.
        cpu_cores: allocatable cores.
        memory_gib: allocatable memory in GiB.
        ephemeral_storage_gib: allocatable disk in GiB.
        pods: how many pods the node takes.
        instance_type: value of ``node.kubernetes.io/instance-type``; empty leaves the label out.
        zone: value of ``topology.kubernetes.io/zone``.
        architecture: value of ``kubernetes.io/arch``.
        labels: further labels; they win over the computed ones.
        capacity: further resources, such as ``{"rdma/hca": "8"}``; they win over the computed ones.
        taints: taints as the node's spec has them; none by default, so that any pod may land there.
        gpu_facts: stands in for the catalogue's facts of ``gpu_id``, for products that it does not hold.
    """

    name: str
    gpu_id: str | None = None
    gpus: int = 8
    cpu_cores: int = 96
    memory_gib: int = 1024
    ephemeral_storage_gib: int = 2000
    pods: int = 110
    instance_type: str = ""
    zone: str = "zone-a"
    architecture: str = "amd64"
    labels: Mapping[str, str] = field(default_factory=dict)
    capacity: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    gpu_facts: GpuFacts | None = None

    def manifest(self) -> dict[str, Any]:
        """Return the v1 Node to create, its status with capacity and allocatable included.

        Raises:
            UnknownGpuError: the catalogue does not hold ``gpu_id``.
        """
        facts = self.gpu_facts
        if facts is None and self.gpu_id is not None:
            facts = catalog_facts(self.gpu_id)
        resources = self._resources(facts)
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": self._labels(facts),
                "annotations": dict([FAKE_NODE_ANNOTATION]),
            },
            "spec": {"taints": [dict(taint) for taint in self.taints]} if self.taints else {},
            "status": {
                "capacity": resources,
                "allocatable": dict(resources),
                "nodeInfo": {
                    "architecture": self.architecture,
                    "operatingSystem": "linux",
                    "kubeletVersion": KUBERNETES_VERSION,
                },
            },
        }

    def _labels(self, facts: GpuFacts | None) -> dict[str, str]:
        labels = {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/arch": self.architecture,
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": self.zone,
        }
        if self.instance_type:
            labels["node.kubernetes.io/instance-type"] = self.instance_type
        if facts is not None:
            labels |= gpu_labels(facts, self.gpus)
        return labels | dict(self.labels)

    def _resources(self, facts: GpuFacts | None) -> dict[str, str]:
        resources = {
            "cpu": str(self.cpu_cores),
            "memory": f"{self.memory_gib * KIB}Mi",
            "ephemeral-storage": f"{self.ephemeral_storage_gib}Gi",
            "pods": str(self.pods),
        }
        if facts is not None:
            resources[facts.resource] = str(self.gpus)
        return resources | dict(self.capacity)


def alike(count: int, node: FakeNode) -> tuple[FakeNode, ...]:
    """Return so many copies of a node, with ``-0``, ``-1``, ... after its name."""
    return tuple(replace(node, name=f"{node.name}-{number}") for number in range(count))


DEFAULT_NODES: tuple[FakeNode, ...] = (
    *alike(3, FakeNode("h100", "h100-sxm5-80gb", cpu_cores=192, memory_gib=2048, instance_type="p5.48xlarge")),
    *alike(2, FakeNode("a100", "a100-sxm4-80gb", cpu_cores=96, memory_gib=1152, instance_type="p4de.24xlarge")),
    *alike(2, FakeNode("l40s", "l40s", cpu_cores=192, memory_gib=1536, instance_type="g6e.48xlarge")),
    *alike(2, FakeNode("rtx4090", "rtx-4090", cpu_cores=128, memory_gib=768)),
)
"""A mixed cluster of 72 GPUs, on which everything from one small model to a two-node replica can be tried."""
