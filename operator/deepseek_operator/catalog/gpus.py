"""GPU products: what a node label means and what the planner may count on."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


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
        memory_label_mib: value of ``nvidia.com/gpu.memory``.
        usable_memory_bytes: total that the driver reports to the engine (smallest seen).
        compute_capability: major and minor.
        memory_bandwidth_gb_per_second: decimal GB/s.
        bf16_tflops: dense.
        fp8_tflops: dense; None when not native.
        link_gb_per_second: GPU-to-GPU link, both directions together; 0 when there is none.
        link_spans_node: whether that link joins all GPUs of a node (a bridge of two does not).
        formats: weight formats that vLLM accepts on it, such as ``bf16`` or ``fp8-w8a8``.
        price_per_hour_usd: cheapest on-demand price seen, for ranking.
        price_spot_per_hour_usd: cheapest spot price seen.
        price_as_of: when the prices were seen.
        unsourced_fields: fields whose value was recalled or derived.
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
