"""A share of one GPU: which mechanism makes it, how large it is, and what the engine may count on inside it.

Two laws hold for every share that is planned: the engine's budget lies within the share's memory, and the shares of a
GPU lie within the GPU's physical memory. Where nothing but good manners keeps an engine inside its share, its KV cache
is given in bytes, because an engine sizes its cache by the whole device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.mig import mig_profile

PRICE_STEP_USD = Decimal("0.0001")
"""To what the price of a share is rounded, as other small prices are."""


MIG_RESOURCE_PREFIX = "nvidia.com/mig-"
"""Resources of slices under MIG strategy ``mixed``. Source: NVIDIA/k8s-device-plugin README."""


class Sharing(StrEnum):
    """Whether a GPU may serve other pods too."""

    AUTO = "Auto"
    EXCLUSIVE = "Exclusive"
    SHARED = "Shared"


class ShareMechanism(StrEnum):
    """What divides a GPU among pods."""

    MIG = "MIG"
    TIME_SLICING = "TimeSlicing"
    MPS = "MPS"
    HAMI = "HAMi"
    KAI = "KAI"
    DRA = "DRA"


_ISOLATING = frozenset({ShareMechanism.MIG, ShareMechanism.HAMI})
"""Mechanisms that refuse memory beyond a pod's share: in hardware, and in HAMi's hook of the CUDA library.

Under the device plugin's MPS, memory limits are experimental; they are not relied on. Source: NVIDIA/k8s-device-plugin
README, "With CUDA MPS"; Project-HAMi/HAMi; kai-scheduler docs/gpu-sharing ("does not enforce memory allocation limit").
"""

_WORDS = {ShareMechanism.TIME_SLICING: "time slicing"}


@dataclass(frozen=True, kw_only=True)
class GpuShare:
    """How one pod gets its part of a GPU, or a whole GPU from a mechanism that could also divide it.

    Args:
        mechanism: who divides the GPU.
        resource: extended resource of which the pod asks for one; empty where the mechanism takes something else (KAI
            annotations, DRA claims).
        profile: MIG profile such as ``3g.40gb``; empty for other shares.
        slices_per_gpu: equal shares that one GPU holds, 1 for a whole one.
        memory_bytes: of the share, as much as an engine inside it may count on, above 0.
    """

    mechanism: ShareMechanism
    resource: str = ""
    profile: str = ""
    slices_per_gpu: int
    memory_bytes: int

    @property
    def is_part(self) -> bool:
        """Whether it is less than a whole GPU that nobody else uses; a part never takes part in a split."""
        return self.slices_per_gpu > 1 or bool(self.profile)

    @property
    def isolates_memory(self) -> bool:
        """Whether an engine cannot take memory beyond its share."""
        return self.mechanism in _ISOLATING or bool(self.profile) or not self.is_part

    @property
    def is_single_strategy(self) -> bool:
        """Whether a MIG slice is asked for as if it were a GPU (strategy ``single``); the product label says which."""
        return self.mechanism is ShareMechanism.MIG and not self.resource.startswith(MIG_RESOURCE_PREFIX)

    @property
    def seen_memory_bytes(self) -> int:
        """Memory of the device that an engine sees: its share where that is isolated, else the whole GPU."""
        return self.memory_bytes if self.isolates_memory else self.memory_bytes * self.slices_per_gpu

    @property
    def key(self) -> GpuShare:
        """The same kind of share without its size, which differs a little between drivers."""
        return replace(self, memory_bytes=0)

    def __str__(self) -> str:
        words = _WORDS.get(self.mechanism, self.mechanism.value)
        if self.profile:
            return f"{words} {self.profile}"
        return f"{words} 1/{self.slices_per_gpu}" if self.slices_per_gpu > 1 else words

    def engine_utilization_percent(self, percent: int) -> int:
        """Return the memory utilization to tell the engine, of the whole device that it sees.

        Args:
            percent: of the share, 1-100.

        Returns:
            Rounded down, so that the budget stays within the share; 1 at least, as the engine asks for more than 0.

        >>> half = GpuShare(mechanism=ShareMechanism.MPS, slices_per_gpu=2, memory_bytes=40)
        >>> half.engine_utilization_percent(92)
        46
        """
        return max(1, percent * self.memory_bytes // self.seen_memory_bytes)


def gpu_fraction(gpu: Gpu, share: GpuShare) -> Fraction:
    """Return the part of a GPU that a share takes from everybody else, above 0 to 1: its part of the price."""
    return mig_profile(gpu, share.profile).gpu_share if share.profile else Fraction(1, share.slices_per_gpu)


def shared_gpu(gpu: Gpu, share: GpuShare | None) -> Gpu:
    """Return the product as a share of it works and costs: its rates and its price, with no link to other GPUs.

    A MIG slice has its own multiprocessors and memory channels. Other shares have their even part of both while all
    sharers are busy, which is the slowest that they get.

    >>> from deepseek_operator.catalog.gpus import gpu
    >>> share = GpuShare(mechanism=ShareMechanism.MIG, profile="3g.40gb", slices_per_gpu=2, memory_bytes=1)
    >>> half = shared_gpu(gpu("h100-sxm5-80gb"), share)
    >>> half.memory_bandwidth_gb_per_second, half.price_per_hour_usd
    (1675.0, Decimal('0.9950'))
    """
    if share is None or not share.is_part:
        return gpu
    if share.profile:
        profile = mig_profile(gpu, share.profile)
        compute, bandwidth = float(profile.compute_share), float(profile.memory_share)
    else:
        compute = bandwidth = 1 / share.slices_per_gpu
    return replace(
        gpu,
        memory_bandwidth_gb_per_second=_part(gpu.memory_bandwidth_gb_per_second, bandwidth),
        bf16_tflops=_part(gpu.bf16_tflops, compute),
        fp16_tflops=_part(gpu.fp16_tflops, compute),
        fp8_tflops=_part(gpu.fp8_tflops, compute),
        int8_tops=_part(gpu.int8_tops, compute),
        fp4_tflops=_part(gpu.fp4_tflops, compute),
        link_gb_per_second=0,
        link_spans_node=False,
        price_per_hour_usd=_price_part(gpu.price_per_hour_usd, gpu_fraction(gpu, share)),
        price_spot_per_hour_usd=_price_part(gpu.price_spot_per_hour_usd, gpu_fraction(gpu, share)),
    )


def share_price(usd_per_hour: Decimal, fraction: Fraction) -> Decimal:
    """Return the price of a part of a GPU, rounded to 0.0001 USD.

    >>> share_price(Decimal("2.10"), Fraction(1, 7))
    Decimal('0.3000')
    """
    return (usd_per_hour * fraction.numerator / fraction.denominator).quantize(PRICE_STEP_USD)


def _part(rate: float | None, part: float) -> float | None:
    return None if rate is None else rate * part


def _price_part(usd_per_hour: Decimal | None, fraction: Fraction) -> Decimal | None:
    return None if usd_per_hour is None else share_price(usd_per_hour, fraction)
