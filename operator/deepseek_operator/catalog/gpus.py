"""GPU products: what the planner may count on. What a node label means lies in ``gpu_labels.py``."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from decimal import Decimal

from deepseek_operator.catalog.hashed_once import hashed_once
from deepseek_operator.errors import UnknownGpuError


@hashed_once
@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU product. ``None`` means the fact is not known; nothing is guessed.

    Args:
        id: the catalogue's own name, such as ``h100-sxm5-80gb``.
        vendor: ``nvidia``, ``amd``, ``intel`` or ``huawei``.
        k8s_resource: extended resource that a pod requests, such as ``nvidia.com/gpu``.
        label_key: node label that names the product.
        label_value: the label's value as current drivers write it.
        label_variants: other values that mean the same product.
        memory_label_mib: memory that the vendor's node label states, in MiB (AMD states whole GiB).
        usable_memory_bytes: total that the driver reports to the engine (smallest seen); where no engine's log was
            seen, derived from ``memory_label_mib`` and said so in ``unsourced_fields``.
        compute_capability: major and minor; None for GPUs without one (see ``gfx_target``).
        memory_bandwidth_gb_per_second: decimal GB/s.
        bf16_tflops: dense.
        fp8_tflops: dense; None when not native.
        link_gb_per_second: GPU-to-GPU link, both directions together; 0 when there is none.
        link_kind: name of that link, ``none`` when there is none.
        link_spans_node: whether that link joins all GPUs of a node (a bridge of two does not).
        host_link: name in ``host_links`` of the link to the processor; empty where it is not known or not plain PCIe.
        gpus_per_node: schedulable devices of the largest node commonly sold.
        mig_profiles: names of the slices that the GPU can be cut into.
        formats: weight formats that vLLM accepts on it, such as ``bf16`` or ``fp8-w8a8``.
        price_per_hour_usd: cheapest on-demand price seen, for ranking.
        price_spot_per_hour_usd: cheapest spot price seen.
        price_as_of: when the prices were seen.
        unsourced_fields: fields whose value was recalled or derived.
        gfx_target: AMD's instruction set name, such as ``gfx942``; empty for other vendors.
    """

    id: str
    vendor: str
    product: str
    k8s_resource: str
    label_key: str | None
    label_value: str | None
    label_variants: tuple[str, ...]
    memory_label_mib: int | None
    usable_memory_bytes: int | None
    compute_capability: tuple[int, int] | None
    memory_bandwidth_gb_per_second: float | None
    bf16_tflops: float | None
    fp16_tflops: float | None
    fp8_tflops: float | None
    int8_tops: float | None
    fp4_tflops: float | None
    link_kind: str
    link_gb_per_second: float | None
    link_spans_node: bool
    gpus_per_node: int | None
    mig_profiles: tuple[str, ...]
    formats: frozenset[str]
    unified_memory: bool
    tdp_watts: int | None
    price_per_hour_usd: Decimal | None
    price_spot_per_hour_usd: Decimal | None
    price_as_of: str
    price_source: str
    unsourced_fields: tuple[str, ...]
    notes: str
    gfx_target: str = ""
    host_link: str = ""

    @property
    def architecture(self) -> tuple[int, int] | None:
        """What decides which kernels run: the compute capability, or AMD's instruction set as `gfx_architecture`."""
        return self.compute_capability or gfx_architecture(self.gfx_target)


def gfx_architecture(gfx_target: str) -> tuple[int, int] | None:
    """Return AMD's instruction set as a pair that stands where a compute capability does, and is none; None for none.

    The first number is the target read as hexadecimal digits, beyond any compute capability.

    >>> gfx_architecture("gfx942"), gfx_architecture("gfx90a") < gfx_architecture("gfx950"), gfx_architecture("")
    ((2370, 0), True, None)
    """
    return (int(gfx_target.removeprefix("gfx"), 16), 0) if gfx_target else None


def architecture_name(architecture: tuple[int, int] | None) -> str:
    """Return an architecture as people name it.

    >>> architecture_name((9, 0)), architecture_name((0x942, 0)), architecture_name(None)
    ('compute capability 9.0', 'gfx942', 'Hopper')
    """
    if architecture is None:
        return "Hopper"
    major, minor = architecture
    return f"gfx{major:x}" if major >= LOWEST_GFX else f"compute capability {major}.{minor}"


LOWEST_GFX = 0x900
"""gfx900, the oldest target of the ROCm stack."""


def gpu(gpu_id: str) -> Gpu:
    """Return one product by its catalogue id; labels and marketing names are not accepted here.

    Raises:
        UnknownGpuError: no such id; the text offers the nearest ones.

    >>> gpu("h100-sxm5-80gb").compute_capability
    (9, 0)
    """
    found = _by_id().get(gpu_id)
    if found is None:
        key = gpu_id.lower()
        containing = [known for known in _by_id() if key and key in known]
        remedy = f"ids that contain it are {', '.join(containing)}" if containing else "see `catalog gpus` for the ids"
        raise UnknownGpuError("GPU", gpu_id, () if containing else _by_id(), remedy)
    return found


SPARSE_ATTENTION_CAPABILITY_MAJORS = frozenset({9, 10, 12})
SPARSE_ATTENTION_GFX_TARGETS = frozenset({"gfx942", "gfx950"})
"""GPUs for which vLLM 0.32.0 has a sparse MLA backend (V3.2 and later).

Source: vLLM 0.32.0 backend gates for NVIDIA (none on 7.x and 8.x, Ampere and Ada); for AMD the V3.2-Exp hardware
list of vllm-project/recipes@8959cf64 (MI300X, MI325X, MI355X verified). Gates were read, not run.
"""


def runs_sparse_attention(row: Gpu) -> bool:
    """Return whether models with an attention indexer (DeepSeek-V3.2, V4) have a backend on the GPU.

    >>> runs_sparse_attention(gpu("h200-sxm")), runs_sparse_attention(gpu("a100-sxm4-80gb"))
    (True, False)
    """
    if row.compute_capability is not None:
        return row.compute_capability[0] in SPARSE_ATTENTION_CAPABILITY_MAJORS
    return row.gfx_target in SPARSE_ATTENTION_GFX_TARGETS


@functools.cache
def gpus() -> tuple[Gpu, ...]:
    """Return every product, by id."""
    from deepseek_operator.catalog.gpu_rows import parse_gpus  # here, because the rows are made of ``Gpu``

    return tuple(sorted(parse_gpus(), key=lambda row: row.id))


@functools.cache
def _by_id() -> dict[str, Gpu]:
    return {row.id: row for row in gpus()}
