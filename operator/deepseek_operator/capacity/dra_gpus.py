"""What a node offers whose GPUs are given by claims: from its ResourceSlices, which win over labels and resources.

A node that changed from the device plugin to a DRA driver keeps the labels of feature discovery, which nobody renews.
"""

from __future__ import annotations

from collections.abc import Iterator

from deepseek_operator.capacity.dra import DraDevices
from deepseek_operator.capacity.node_shares import ShareOffer, flexible_offers, why_too_many
from deepseek_operator.catalog.gpu_labels import NVIDIA_MEMORY, NVIDIA_PRODUCT, GpuMatch, match_label
from deepseek_operator.catalog.gpu_rows import usable_bytes_from_label
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.mig import mig_profile
from deepseek_operator.errors import UnknownMigProfileError
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.units import MIB


def dra_match(devices: tuple[DraDevices, ...]) -> GpuMatch:
    """Return the product that a node's devices name, as labels would; its memory is that of a whole GPU.

    Args:
        devices: of one node, of one product.
    """
    labels = {NVIDIA_PRODUCT: devices[0].product.replace(" ", "-")}
    least_bytes = min((each.memory_bytes for each in devices if not each.profile), default=0)
    if least_bytes:
        labels[NVIDIA_MEMORY] = str(least_bytes // MIB)
    return match_label(labels)


def dra_shares(
    devices: tuple[DraDevices, ...], gpu: Gpu, usable_bytes: int | None
) -> tuple[tuple[ShareOffer, ...], str]:
    """Return what claims can have of a node, and why they can have nothing.

    Args:
        devices: of the node, all of one product.
        gpu: that product.
        usable_bytes: memory of a whole GPU, as an engine sees it; None when it is not known.
    """
    try:
        offers = tuple(offer for each in devices for offer in _offers(each, devices, gpu, usable_bytes))
    except UnknownMigProfileError as error:
        return (), str(error)
    if too_many := why_too_many(offers):
        return (), too_many
    if not offers:
        return (), "its ResourceSlices do not tell the memory of its GPUs"
    return tuple(sorted(offers, key=lambda offer: (-offer.share.memory_bytes, str(offer.share)))), ""


def _offers(
    found: DraDevices, all_devices: tuple[DraDevices, ...], gpu: Gpu, usable_bytes: int | None
) -> Iterator[ShareOffer]:
    if found.profile and found.memory_bytes:
        profile = mig_profile(gpu, found.profile)
        gpus = sum(each.count for each in all_devices if not each.profile)
        share = GpuShare(
            mechanism=ShareMechanism.DRA,
            profile=profile.name,
            slices_per_gpu=profile.most_per_gpu,
            memory_bytes=usable_bytes_from_label(found.memory_bytes // MIB),
        )
        yield ShareOffer(share=share, slices=min(found.count, gpus * profile.most_per_gpu) if gpus else found.count)
    elif not found.profile and usable_bytes:
        whole = GpuShare(mechanism=ShareMechanism.DRA, slices_per_gpu=1, memory_bytes=usable_bytes)
        if found.shareable:
            yield from flexible_offers(whole, found.count, usable_bytes)
        else:
            yield ShareOffer(share=whole, slices=found.count)
