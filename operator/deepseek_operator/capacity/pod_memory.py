"""What a pod requests of its node's memory."""

from __future__ import annotations

from collections.abc import Mapping

from deepseek_operator.capacity.fields import count_of, items_at, mapping_at
from deepseek_operator.capacity.gpu_resources import RESTART_POLICY_SIDECAR


def pod_memory_request(pod_spec: Mapping[str, object]) -> int:
    """Return the bytes of memory that a pod requests, as the scheduler counts them.

    Containers and sidecars add up; an ordinary init container runs beside the sidecars declared before it, and the
    larger of both counts, plus the overhead of the runtime class. A limit stands in for a request that is left out.

    Args:
        pod_spec: ``spec`` of a Pod as the API server serves it.

    Raises:
        InventoryError: a quantity cannot be read.

    Source: ``PodRequests`` of Kubernetes 1.36, ``component-helpers/resource/helpers.go``.

    >>> server = {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "4Gi"}}}
    >>> loader = {"resources": {"limits": {"memory": "3Gi"}}}
    >>> pod_memory_request({"containers": [server], "initContainers": [loader]}) == 3 * 2**30
    True
    """
    running = sum(_requested(container) for container in items_at(pod_spec, "containers"))
    sidecars = peak = 0
    for container in items_at(pod_spec, "initContainers"):
        if container.get("restartPolicy") == RESTART_POLICY_SIDECAR:
            running += _requested(container)
            sidecars += _requested(container)
        else:
            peak = max(peak, sidecars + _requested(container))
    return max(running, peak) + _quantity(mapping_at(pod_spec, "overhead"))


def _requested(container: Mapping[str, object]) -> int:
    resources = mapping_at(container, "resources")
    requests, limits = mapping_at(resources, "requests"), mapping_at(resources, "limits")
    return _quantity(requests if "memory" in requests else limits)


def _quantity(quantities: Mapping[str, object]) -> int:
    return count_of("memory", quantities.get("memory", 0))
