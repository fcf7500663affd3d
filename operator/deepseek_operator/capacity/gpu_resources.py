"""Which resource names and labels mean "here is a GPU", and how many GPUs a pod holds."""

from __future__ import annotations

from collections.abc import Mapping

from deepseek_operator.capacity.fields import count_of, items_at, mapping_at

_RESOURCE_PREFIXES = (
    "nvidia.com/gpu",
    "nvidia.com/mig-",
    "amd.com/gpu",
    "amd.com/spx",
    "amd.com/dpx",
    "amd.com/qpx",
    "amd.com/cpx",
    "habana.ai/gaudi",
    "huawei.com/Ascend",
    "gpu.intel.com/",
    "aliyun.com/gpu",
    "volcano.sh/vgpu",
    "tencent.com/vcuda",
    "tke.cloud.tencent.com/qgpu",
)
"""Extended resources of GPU device plugins and of GPU sharing layers.

Source: NVIDIA k8s-device-plugin README, AMD k8s-device-plugin README (partition resources such as
``amd.com/cpx_nps4``), Habana, MindCluster and Intel plugin documentation, HAMi, Volcano, gpushare and
gpu-manager resource names.
"""

_LABEL_PREFIXES = (
    "nvidia.com/gpu.",
    "nvidia.com/mig.",
    "gpu.nvidia.com/",
    "amd.com/gpu.",
    "beta.amd.com/gpu.",
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-",
    "aliyun.accelerator/",
    "habana.ai/",
    "node.kubernetes.io/npu.chip.name",
    "accelerator-type",
    "feature.node.kubernetes.io/pci-10de.",
    "feature.node.kubernetes.io/pci-0302_10de.",
)
"""Labels that feature discovery and clouds write on GPU nodes only.

The last two are node feature discovery's own, by which GPU nodes are commonly chosen (PCI vendor 10de).
"""

RESTART_POLICY_SIDECAR = "Always"


def is_gpu_resource(name: str) -> bool:
    """Return whether an extended resource is a GPU, a part of one, or a share of one.

    >>> is_gpu_resource("nvidia.com/gpu"), is_gpu_resource("nvidia.com/mig-3g.40gb"), is_gpu_resource("cpu")
    (True, True, False)
    """
    return name.startswith(_RESOURCE_PREFIXES)


def has_gpu_label(labels: Mapping[str, str]) -> bool:
    """Return whether a node is labelled as a GPU node, even while its device plugin is down.

    >>> has_gpu_label({"nvidia.com/gpu.product": "NVIDIA-L4"}), has_gpu_label({"zone": "a"})
    (True, False)
    """
    return any(key.startswith(_LABEL_PREFIXES) for key in labels)


def gpu_quantities(quantities: Mapping[str, object]) -> dict[str, int]:
    """Return the GPU resources among quantities, sorted by name; zeros are kept.

    Raises:
        InventoryError: a GPU quantity cannot be read.

    >>> gpu_quantities({"cpu": "192", "nvidia.com/gpu": "8"})
    {'nvidia.com/gpu': 8}
    """
    return {name: count_of(name, quantities[name]) for name in sorted(quantities) if is_gpu_resource(name)}


def pod_gpu_requests(pod_spec: Mapping[str, object]) -> dict[str, int]:
    """Return the GPUs that a pod holds on its node, by resource name, sorted; zeros are left out.

    Containers and sidecars (init containers that always restart) run together and add up; an ordinary init
    container runs beside the sidecars declared before it, and the pod needs the larger of both, plus the
    overhead of its runtime class. GPU requests equal limits, so limits stand in when requests are left out.

    Args:
        pod_spec: ``spec`` of a Pod as the API server serves it.

    Raises:
        InventoryError: a GPU quantity cannot be read.

    Source: ``PodRequests`` and ``AggregateContainerRequests`` of Kubernetes 1.36,
    ``component-helpers/resource/helpers.go``.

    >>> sidecar = {"restartPolicy": "Always", "resources": {"requests": {"nvidia.com/gpu": "1"}}}
    >>> warmup = {"resources": {"requests": {"nvidia.com/gpu": "4"}}}
    >>> server = {"resources": {"limits": {"nvidia.com/gpu": "2"}}}
    >>> pod_gpu_requests({"initContainers": [sidecar, warmup], "containers": [server]})
    {'nvidia.com/gpu': 5}
    """
    running: dict[str, int] = {}
    for container in items_at(pod_spec, "containers"):
        _add(running, _container_requests(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in items_at(pod_spec, "initContainers"):
        requests = _container_requests(container)
        if container.get("restartPolicy") == RESTART_POLICY_SIDECAR:
            _add(running, requests)
            _add(sidecars, requests)
            requests = dict(sidecars)
        else:
            _add(requests, sidecars)
        for name, count in requests.items():
            peak[name] = max(peak.get(name, 0), count)
    for name, count in peak.items():
        running[name] = max(running.get(name, 0), count)
    _add(running, gpu_quantities(mapping_at(pod_spec, "overhead")))
    return {name: running[name] for name in sorted(running) if running[name]}


def _container_requests(container: Mapping[str, object]) -> dict[str, int]:
    resources = mapping_at(container, "resources")
    if not resources:
        return {}
    limits = gpu_quantities(mapping_at(resources, "limits"))
    return limits | gpu_quantities(mapping_at(resources, "requests"))


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    """Add ``more`` into ``total``, which is changed."""
    for name, count in more.items():
        total[name] = total.get(name, 0) + count
