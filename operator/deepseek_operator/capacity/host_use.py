"""CPU, memory and pods of a host: what a node has of them, what pods hold, and what one more pod would need.

GPUs that are free are of no use on a node whose CPU or memory others have requested, or that runs as many pods as its
kubelet takes; kube-scheduler's NodeResourcesFit looks at all of them, so these are counted for every pod of a GPU node,
also for those without GPUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from deepseek_operator.capacity.fields import count_of, integer_at, items_at, mapping_at
from deepseek_operator.capacity.gpu_resources import RESTART_POLICY_SIDECAR
from deepseek_operator.errors import InventoryError, QuantityError, shortened
from deepseek_operator.units import parse_quantity

MILLI = 1000
"""Thousandths of a CPU core in a core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUse:
    """Amounts of a host that pods request; a node's own amounts are 0 where it does not tell them.

    Args:
        cpu_milli: thousandths of a CPU core.
        memory_bytes: memory.
        pods: how many.
    """

    cpu_milli: int = 0
    memory_bytes: int = 0
    pods: int = 0

    def plus(self, other: HostUse) -> HostUse:
        """Return both together.

        >>> HostUse(cpu_milli=500, pods=1).plus(HostUse(cpu_milli=250, pods=1))
        HostUse(cpu_milli=750, memory_bytes=0, pods=2)
        """
        return HostUse(
            cpu_milli=self.cpu_milli + other.cpu_milli,
            memory_bytes=self.memory_bytes + other.memory_bytes,
            pods=self.pods + other.pods,
        )

    def minus(self, other: HostUse) -> HostUse:
        """Return what is left of this one, never below 0."""
        return HostUse(
            cpu_milli=max(0, self.cpu_milli - other.cpu_milli),
            memory_bytes=max(0, self.memory_bytes - other.memory_bytes),
            pods=max(0, self.pods - other.pods),
        )


NOTHING = HostUse()


def pod_host_use(pod_spec: Mapping[str, object]) -> HostUse:
    """Return what a pod requests of its host, as the scheduler counts it.

    Containers and sidecars add up; an ordinary init container runs beside the sidecars declared before it, and the
    larger of both counts, plus the overhead of the runtime class. A limit stands in for a request that is left out.

    Args:
        pod_spec: ``spec`` of a Pod as the API server serves it.

    Raises:
        InventoryError: a quantity cannot be read.

    Source: ``PodRequests`` of Kubernetes 1.36, ``component-helpers/resource/helpers.go``.

    >>> server = {"resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "2", "memory": "4Gi"}}}
    >>> loader = {"resources": {"limits": {"cpu": "1", "memory": "3Gi"}}}
    >>> pod_host_use({"containers": [server], "initContainers": [loader]})
    HostUse(cpu_milli=1000, memory_bytes=4294967296, pods=1)
    """
    running = sidecars = peak = NOTHING
    for container in items_at(pod_spec, "containers"):
        running = running.plus(_requested(container))
    for container in items_at(pod_spec, "initContainers"):
        needs = _requested(container)
        if container.get("restartPolicy") == RESTART_POLICY_SIDECAR:
            running, sidecars = running.plus(needs), sidecars.plus(needs)
        else:
            peak = _larger(peak, sidecars.plus(needs))
    return _larger(running, peak).plus(read_host_use(mapping_at(pod_spec, "overhead"))).plus(HostUse(pods=1))


def read_host_use(quantities: Mapping[str, object]) -> HostUse:
    """Return the CPU, memory and pods among quantities.

    Raises:
        InventoryError: one of them cannot be read, or is negative.

    >>> read_host_use({"cpu": "1500m", "memory": "1Ki", "pods": "110"})
    HostUse(cpu_milli=1500, memory_bytes=1024, pods=110)
    """
    if not quantities:
        return NOTHING
    return HostUse(
        cpu_milli=cpu_milli(quantities.get("cpu", 0)),
        memory_bytes=count_of("memory", quantities.get("memory", 0)),
        pods=count_of("pods", quantities.get("pods", 0)),
    )


def cpu_milli(value: object) -> int:
    """Return a CPU quantity in thousandths of a core, rounded up as the scheduler does.

    Raises:
        InventoryError: the value is no quantity, or is negative.

    >>> cpu_milli("1"), cpu_milli("250m"), cpu_milli("0.1"), cpu_milli("0.0001")
    (1000, 250, 100, 1)
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InventoryError(f"cpu is {shortened(repr(value)[:200])} where a quantity is expected")
    try:
        milli = parse_quantity(value) * MILLI
    except QuantityError as error:
        raise InventoryError(f"cpu: {error}") from error
    if milli < 0:
        raise InventoryError(f"cpu is {shortened(repr(value)[:200])} where a quantity of 0 or more is expected")
    return ceil(milli)


def stored_host_use(use: HostUse) -> dict[str, object]:
    """Return amounts as a snapshot keeps them; zeros are left out."""
    stored = {"cpuMilli": use.cpu_milli, "memoryBytes": use.memory_bytes, "count": use.pods}
    return {field: value for field, value in stored.items() if value}


def loaded_host_use(stored: Mapping[str, object]) -> HostUse:
    """Return amounts from a snapshot.

    Raises:
        InventoryError: a field has the wrong type or is negative.
    """
    amounts = [integer_at(stored, field) for field in ("cpuMilli", "memoryBytes", "count")]
    if min(amounts) < 0:
        raise InventoryError("cpuMilli, memoryBytes and count are 0 or more")
    cpu, memory, pods = amounts
    return HostUse(cpu_milli=cpu, memory_bytes=memory, pods=pods)


def _requested(container: Mapping[str, object]) -> HostUse:
    resources = mapping_at(container, "resources")
    if not resources:
        return NOTHING
    limits, requests = mapping_at(resources, "limits"), mapping_at(resources, "requests")
    return read_host_use({name: value for name, value in {**limits, **requests}.items() if name in ("cpu", "memory")})


def _larger(one: HostUse, other: HostUse) -> HostUse:
    return HostUse(
        cpu_milli=max(one.cpu_milli, other.cpu_milli), memory_bytes=max(one.memory_bytes, other.memory_bytes)
    )
