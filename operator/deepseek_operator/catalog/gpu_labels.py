"""What the labels of a node say about its GPUs: exact names only, never a guess from memory or from a substring.

H20 is inside H200, L4 inside L40 and L40S, A10 inside A10G and A100, and 143771 MiB is four different products.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from deepseek_operator.catalog.gpu_rows import label_tables, usable_bytes_from_label
from deepseek_operator.catalog.gpus import Gpu, gpu, gpus
from deepseek_operator.errors import shortened
from deepseek_operator.units import MIB

NVIDIA_PRODUCT = "nvidia.com/gpu.product"
NVIDIA_MEMORY = "nvidia.com/gpu.memory"
NVIDIA_COUNT = "nvidia.com/gpu.count"
NVIDIA_REPLICAS = "nvidia.com/gpu.replicas"
NVIDIA_COMPUTE_MAJOR = "nvidia.com/gpu.compute.major"
NVIDIA_COMPUTE_MINOR = "nvidia.com/gpu.compute.minor"
AMD_PRODUCT = "amd.com/gpu.product-name"
AMD_DEVICE_ID = "amd.com/gpu.device-id"
AMD_VRAM = "amd.com/gpu.vram"
GKE_ACCELERATOR = "cloud.google.com/gke-accelerator"
GKE_PARTITION_SIZE = "cloud.google.com/gke-gpu-partition-size"
GKE_SHARED_CLIENTS = "cloud.google.com/gke-max-shared-clients-per-gpu"

MEMORY_TOLERANCE_PERCENT = 3
"""A label this far from the table is the same product; beyond it is a slice, a vGPU, toggled ECC or another product.

Source: spread of the totals that drivers of different ages report for one product (T4 15109 and 15360 MiB).
"""

_MIG = re.compile(r"(?P<product>.+?)-MIG-(?P<profile>.+)")
_VGPU = re.compile(r".+-\d+[ABCQ]")
_VRAM = re.compile(r"(\d{1,6})([MGT])")
_MIB_PER_UNIT = {"M": 1, "G": 1024, "T": 1024 * 1024}
_LARGEST_LABEL_NUMBER = 10**9


class GpuSharing(StrEnum):
    """Whether a device that the scheduler hands out is a whole GPU."""

    WHOLE = "Whole"
    SHARED = "Shared"
    MIG = "Mig"


@dataclass(frozen=True, kw_only=True)
class GpuMatch:
    """What a node's labels say.

    Args:
        gpu: the product; None when the labels name none, an unknown one or contradict the catalogue.
        sharing: engines are planned on whole GPUs only.
        usable_memory_bytes: of one device, as an engine will see it; None when nothing tells.
        gpu_count: physical GPUs of the node; None when no label counts them.
        warnings: sentences for the owner of the cluster, most important first.
    """

    gpu: Gpu | None
    sharing: GpuSharing
    usable_memory_bytes: int | None
    gpu_count: int | None
    warnings: tuple[str, ...]


def match_label(labels: Mapping[str, str]) -> GpuMatch:
    """Return what the labels of one node say about its GPUs.

    NVIDIA's GPU feature discovery is asked first, then AMD's node labeller, then GKE's own label.

    Args:
        labels: ``metadata.labels`` of the node.

    >>> match = match_label({"nvidia.com/gpu.product": "NVIDIA-H200", "nvidia.com/gpu.memory": "143771"})
    >>> match.gpu.id, match.sharing.value, match.warnings
    ('h200-sxm', 'Whole', ())
    """
    if NVIDIA_PRODUCT in labels:
        return _match_nvidia(labels)
    if any(key.startswith((AMD_PRODUCT, AMD_DEVICE_ID)) for key in labels):
        return _match_amd(labels)
    if GKE_ACCELERATOR in labels:
        return _match_gke(labels)
    return GpuMatch(
        gpu=None,
        sharing=GpuSharing.WHOLE,
        usable_memory_bytes=None,
        gpu_count=None,
        warnings=(f"no label names the GPU product; install GPU feature discovery, which sets {NVIDIA_PRODUCT}",),
    )


def _match_nvidia(labels: Mapping[str, str]) -> GpuMatch:
    warnings: list[str] = []
    product, sharing = _whole_product(labels[NVIDIA_PRODUCT])
    if sharing is GpuSharing.WHOLE and (_whole_number(labels, NVIDIA_REPLICAS, warnings) or 1) > 1:
        sharing = GpuSharing.SHARED
    found, why_not = _nvidia_product(product)
    if found is None:
        warnings.append(f"{NVIDIA_PRODUCT} {shortened(labels[NVIDIA_PRODUCT])!r} is not used: {why_not}")
        if _VGPU.fullmatch(product):
            sharing = GpuSharing.SHARED
    elif (conflict := _compute_capability_conflict(found, labels, warnings)) is not None:
        warnings.append(conflict)
        found = None
    label_mib = _whole_number(labels, NVIDIA_MEMORY, warnings)
    if sharing is GpuSharing.MIG:
        usable_bytes = None if label_mib is None else usable_bytes_from_label(label_mib)
    else:
        usable_bytes = _usable_bytes(found, label_mib, NVIDIA_MEMORY, warnings)
    if found is not None and found.unified_memory:
        warnings.append(
            f"{found.id} shares its memory with the operating system; plan from the node's allocatable memory"
        )
    return GpuMatch(
        gpu=found,
        sharing=sharing,
        usable_memory_bytes=usable_bytes,
        gpu_count=_whole_number(labels, NVIDIA_COUNT, warnings),
        warnings=tuple(warnings),
    )


def _whole_product(label: str) -> tuple[str, GpuSharing]:
    """Return the product without the suffixes of sharing, and what those suffixes said."""
    product = label.removesuffix("-SHARED")
    mig = _MIG.fullmatch(product)
    if mig is not None:
        return mig["product"], GpuSharing.MIG
    return product, GpuSharing.SHARED if product != label else GpuSharing.WHOLE


def _key(product: str) -> str:
    """Return a product without the vendor words that driver generations added or dropped."""
    return product.removeprefix("NVIDIA-").removeprefix("Tesla-")


@functools.cache
def _nvidia_by_key() -> dict[str, tuple[Gpu, ...]]:
    """Return the products of each key; a key of several products names none of them."""
    by_key: dict[str, dict[str, Gpu]] = {}
    for row in gpus():
        if row.vendor == "nvidia" and row.label_value is not None:
            for value in (row.label_value, *row.label_variants):
                by_key.setdefault(_key(value), {})[row.id] = row
    return {key: tuple(rows.values()) for key, rows in by_key.items()}


def _nvidia_product(product: str) -> tuple[Gpu | None, str]:
    """Return the product, or None and the reason."""
    reason = label_tables().not_a_product.get(product)
    if reason is not None:
        return None, reason
    rows = _nvidia_by_key().get(_key(product), ())
    if len(rows) == 1:
        return rows[0], ""
    if rows:
        return None, f"the same label stands for {' and '.join(row.id for row in rows)}"
    if _VGPU.fullmatch(product):
        return None, "it is a vGPU profile, a fraction of a GPU"
    return None, "the catalogue does not know this product, so its speed and price are unknown"


def _compute_capability_conflict(found: Gpu, labels: Mapping[str, str], warnings: list[str]) -> str | None:
    """Return why the compute labels contradict the product, or None."""
    major = _whole_number(labels, NVIDIA_COMPUTE_MAJOR, warnings)
    minor = _whole_number(labels, NVIDIA_COMPUTE_MINOR, warnings)
    expected = found.compute_capability
    if major is None or minor is None or expected is None or expected == (major, minor):
        return None
    return (
        f"the node's compute capability is {major}.{minor} but {found.id} has {expected[0]}.{expected[1]}, "
        "so the product is treated as unknown"
    )


def _match_amd(labels: Mapping[str, str]) -> GpuMatch:
    warnings: list[str] = []
    device_ids = _amd_values(labels, AMD_DEVICE_ID)
    products = _amd_values(labels, AMD_PRODUCT)
    found = None
    if len(device_ids) > 1 or len(products) > 1:
        warnings.append("the node has GPUs of several AMD products, which are not planned together")
    else:
        found = _amd_product(device_ids, products)
        if found is None:
            said = ", ".join(shortened(value) for value in (*device_ids, *products))
            warnings.append(f"AMD's labels ({said}) do not name one product of the catalogue")
    label_mib = _vram_mib(labels, warnings)
    return GpuMatch(
        gpu=found,
        sharing=GpuSharing.WHOLE,
        usable_memory_bytes=_usable_bytes(found, label_mib, AMD_VRAM, warnings),
        gpu_count=None,
        warnings=tuple(warnings),
    )


def _amd_product(device_ids: list[str], products: list[str]) -> Gpu | None:
    """Return the product of a device id, or else of a name; None when both are known and differ.

    The device id is asked first: names come from the driver or from libdrm and vary between their releases.
    """
    by_id = label_tables().amd_device_ids.get(device_ids[0].lower()) if device_ids else None
    by_name = _amd_by_product().get(products[0]) if products else None
    if by_id is not None and by_name is not None and by_id != by_name:
        return None
    known = by_id or (by_name if not device_ids else None)
    return None if known is None else gpu(known)


def _amd_values(labels: Mapping[str, str], key: str) -> list[str]:
    """Return the values of a label; a node of mixed GPUs has ``<key>.<value>=<count>`` instead of ``<key>=<value>``."""
    if key in labels:
        return [labels[key]]
    return sorted(name.removeprefix(f"{key}.") for name in labels if name.startswith(f"{key}."))


@functools.cache
def _amd_by_product() -> dict[str, str]:
    return {
        value: row.id
        for row in gpus()
        if row.vendor == "amd"
        for value in (row.label_value, *row.label_variants)
        if value is not None
    }


def _vram_mib(labels: Mapping[str, str], warnings: list[str]) -> int | None:
    """Return AMD's memory label in MiB; it is text such as ``192G``, rounded to whole GiB."""
    text = labels.get(AMD_VRAM)
    if text is None:
        return None
    match = _VRAM.fullmatch(text)
    if match is None:
        warnings.append(f"label {AMD_VRAM} is {shortened(text)!r}; expected text such as 192G")
        return None
    return int(match[1]) * _MIB_PER_UNIT[match[2]]


def _match_gke(labels: Mapping[str, str]) -> GpuMatch:
    """Return GKE's own statement; its GPU nodes carry it even without GPU feature discovery."""
    value = labels[GKE_ACCELERATOR]
    gpu_id = label_tables().gke_accelerators.get(value)
    found = None if gpu_id is None else gpu(gpu_id)
    sharing = GpuSharing.WHOLE
    if labels.get(GKE_PARTITION_SIZE):
        sharing = GpuSharing.MIG
    elif labels.get(GKE_SHARED_CLIENTS):
        sharing = GpuSharing.SHARED
    known_whole = found is not None and sharing is not GpuSharing.MIG
    return GpuMatch(
        gpu=found,
        sharing=sharing,
        usable_memory_bytes=found.usable_memory_bytes if found is not None and known_whole else None,
        gpu_count=None,
        warnings=() if found else (f"{GKE_ACCELERATOR} {shortened(value)!r} is not in the catalogue",),
    )


def _usable_bytes(found: Gpu | None, label_mib: int | None, key: str, warnings: list[str]) -> int | None:
    """Return the memory of one device: the catalogue's within tolerance of the label, else the label's."""
    if label_mib is None:
        return found.usable_memory_bytes if found is not None else None
    from_label = usable_bytes_from_label(label_mib)
    if found is None or found.memory_label_mib is None:
        return from_label
    expected = found.memory_label_mib
    if abs(label_mib - expected) * 100 > MEMORY_TOLERANCE_PERCENT * expected:
        warnings.append(
            f"label {key} says {label_mib} MiB but {found.id} has {expected} MiB; the label's memory is used "
            "(a slice, a vGPU, ECC switched, or another product)"
        )
        return from_label
    if found.usable_memory_bytes is None:
        return from_label
    return min(found.usable_memory_bytes, label_mib * MIB)


def _whole_number(labels: Mapping[str, str], key: str, warnings: list[str]) -> int | None:
    """Return a label as a whole number; an unreadable one is None with a warning."""
    text = labels.get(key)
    if text is None:
        return None
    if text.isascii() and text.isdecimal() and len(text) < len(str(_LARGEST_LABEL_NUMBER)):
        return int(text)
    warnings.append(f"label {key} is {shortened(text)!r}; expected a whole number")
    return None
