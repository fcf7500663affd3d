"""GPUs that a DRA driver offers: what ResourceSlices say, as facts of the node that they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from deepseek_operator.capacity.fields import count_of, integer_at, is_set, items_at, mapping_at, text_at
from deepseek_operator.errors import InventoryError, shortened
from deepseek_operator.resources.resource_claim_template import NVIDIA_DRIVER

CLAIMED = "resource.k8s.io/claims"
"""Our own name for devices that a pod has by claims."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class DraDevices:
    """Equal devices of one driver on one node.

    Args:
        product: as the driver names it, such as ``NVIDIA H100 80GB HBM3``.
        profile: MIG profile; empty for whole GPUs.
        memory_bytes: of one device, as the driver tells.
        shareable: whether several claims may each have a part of its memory (consumable capacity).
        count: devices; of slices that are made on demand, the places where they may be made.
    """

    product: str
    profile: str = ""
    memory_bytes: int
    shareable: bool = False
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceFacts:
    """One ResourceSlice.

    Args:
        node: that it belongs to; empty for devices of no single node.
        pool: that it is a part of.
        generation: of the pool; slices of an older one are stale.
        devices: equal ones together, sorted.
    """

    name: str
    node: str
    pool: str
    generation: int
    devices: tuple[DraDevices, ...]


def read_slice(found: Mapping[str, object]) -> SliceFacts:
    """Return the facts of a ResourceSlice of ``resource.k8s.io/v1``; one of another driver holds no devices.

    A whole GPU that is cut into slices is listed beside them and left out here: nobody can have both.

    Raises:
        InventoryError: the object has no name, or a field that is read has the wrong type.

    Source: NVIDIA DRA driver 0.5, attributes ``type``, ``productName``, ``profile``, ``parentUUID`` and capacity
    ``memory``; issue 719 of kubernetes-sigs/dra-driver-nvidia-gpu for GPUs that are cut.
    """
    name, spec = text_at(mapping_at(found, "metadata"), "name"), mapping_at(found, "spec")
    if not name:
        raise InventoryError("a ResourceSlice has no metadata.name")
    try:
        pool = mapping_at(spec, "pool")
        ours = text_at(spec, "driver") == NVIDIA_DRIVER
        return SliceFacts(
            name=name,
            node=text_at(spec, "nodeName"),
            pool=text_at(pool, "name"),
            generation=integer_at(pool, "generation"),
            devices=_devices(items_at(spec, "devices")) if ours else (),
        )
    except InventoryError as error:
        raise InventoryError(f"ResourceSlice {shortened(name)}: {error}") from error


def _devices(found: Iterable[Mapping[str, object]]) -> tuple[DraDevices, ...]:
    devices = list(found)
    cut = {_attribute(each, "parentUUID") for each in devices if not each.get("consumesCounters")} - {""}
    kinds: Counter[DraDevices] = Counter()
    for each in devices:
        profile, memory = _attribute(each, "profile"), mapping_at(mapping_at(each, "capacity"), "memory")
        if not profile and (_attribute(each, "type") != "gpu" or _attribute(each, "uuid") in cut):
            continue
        kinds[
            DraDevices(
                product=_attribute(each, "productName"),
                profile=profile,
                memory_bytes=count_of("memory", memory.get("value", 0)),
                shareable=is_set(each, "allowMultipleAllocations"),
                count=0,
            )
        ] += 1
    return tuple(sorted(replace(kind, count=count) for kind, count in kinds.items()))


def _attribute(device: Mapping[str, object], name: str) -> str:
    return text_at(mapping_at(mapping_at(device, "attributes"), name), "string")


def devices_of(slices: Iterable[SliceFacts]) -> tuple[DraDevices, ...]:
    """Return all devices of one node, of the newest generation of each pool; equal ones together, sorted."""
    known = list(slices)
    newest: dict[str, int] = {}
    for each in known:
        newest[each.pool] = max(newest.get(each.pool, 0), each.generation)
    kinds: Counter[DraDevices] = Counter()
    for each in known:
        if each.generation == newest[each.pool]:
            for devices in each.devices:
                kinds[replace(devices, count=0)] += devices.count
    return tuple(sorted(replace(kind, count=count) for kind, count in kinds.items()))


def claimed_devices(pod_spec: Mapping[str, object], annotation: str) -> dict[str, int]:
    """Return how many devices a pod has by claims.

    Args:
        pod_spec: ``spec`` of a Pod.
        annotation: what our own pods tell of their claim; a claim of another pod counts as one device.

    >>> claimed_devices({"resourceClaims": [{"name": "gpu"}]}, ""), claimed_devices({"resourceClaims": [{}]}, "4")
    ({'resource.k8s.io/claims': 1}, {'resource.k8s.io/claims': 4})
    """
    claims = len(items_at(pod_spec, "resourceClaims"))
    if claims and annotation.isascii() and annotation.isdecimal() and len(annotation) <= len("1000"):
        return {CLAIMED: int(annotation)}
    return {CLAIMED: claims} if claims else {}


def stored_devices(devices: Iterable[DraDevices]) -> list[dict[str, object]]:
    """Return a node's devices as a snapshot stores them."""
    return [
        {
            "product": each.product,
            "profile": each.profile,
            "memoryBytes": each.memory_bytes,
            "shareable": each.shareable,
            "count": each.count,
        }
        for each in devices
    ]


def loaded_devices(stored: Mapping[str, object]) -> tuple[DraDevices, ...]:
    """Return the devices of a node of a snapshot.

    Raises:
        InventoryError: a field has the wrong type.
    """
    return tuple(
        DraDevices(
            product=text_at(each, "product"),
            profile=text_at(each, "profile"),
            memory_bytes=integer_at(each, "memoryBytes"),
            shareable=is_set(each, "shareable"),
            count=integer_at(each, "count"),
        )
        for each in items_at(stored, "devices")
    )
