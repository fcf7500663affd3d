"""MIG profiles: which slices a GPU can be cut into, and how much of the GPU each of them is."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.errors import UnknownMigProfileError

_NAME = re.compile(r"(?P<compute>\d+)g\.(?P<gb>\d+)gb(?P<media>[+-].*)?")

_ONE_MEDIA_ENGINE = ("+me", "+me.all", "+gfx.all")
"""Attributes of a profile of which one GPU has a single instance. Source: mig-parted's default configuration."""


@dataclass(frozen=True, kw_only=True)
class MigProfile:
    """One kind of slice of one GPU product.

    Args:
        name: as NVIDIA writes it, such as ``3g.40gb`` or ``1g.10gb+me``.
        most_per_gpu: slices of this kind that one GPU holds, 1 or more.
        memory_share: part of the GPU's memory and of its bandwidth, above 0 to 1.
        compute_share: part of the GPU's multiprocessors, above 0 to 1.
        gpu_share: part of the GPU that nobody else can have, for its price: the larger of both by slices.
    """

    name: str
    most_per_gpu: int
    memory_share: Fraction
    compute_share: Fraction
    gpu_share: Fraction


def mig_profile(gpu: Gpu, name: str) -> MigProfile:
    """Return a profile of a product.

    Args:
        gpu: a product of the catalogue.
        name: of the profile; the spelling of labels and resources (``1g.10gb.me``) is taken too.

    Raises:
        UnknownMigProfileError: the product has no such profile; the text names those that it has.

    >>> from deepseek_operator.catalog.gpus import gpu
    >>> half = mig_profile(gpu("h100-sxm5-80gb"), "3g.40gb")
    >>> half.most_per_gpu, half.memory_share, half.compute_share, half.gpu_share
    (2, Fraction(1, 2), Fraction(5, 11), Fraction(1, 2))
    """
    written = profile_name(name)
    if written not in gpu.mig_profiles:
        there = f"{gpu.id} can be cut into {', '.join(gpu.mig_profiles)}" if gpu.mig_profiles else _cannot_be_cut(gpu)
        raise UnknownMigProfileError("MIG profile", name, (), there)
    parts = [_parts(each) for each in gpu.mig_profiles]
    largest_compute, largest_gb, _ = max(parts)
    tables = _tables()
    total: Mapping[str, int] = tables["slices_by_largest_profile"][str(largest_compute)]
    compute, gigabytes, media = _parts(written)
    memory = round(Fraction(gigabytes * total["memory"], largest_gb))
    processors: Mapping[str, int] = tables["multiprocessors"][str(largest_compute)]
    nominal = Fraction(compute, total["compute"])
    share = Fraction(processors.get(f"{compute}g/{memory}", 0), processors["total"]) or nominal
    most = 1 if media in _ONE_MEDIA_ENGINE else min(total["compute"] // compute, total["memory"] // memory)
    return MigProfile(
        name=written,
        most_per_gpu=most,
        memory_share=Fraction(memory, total["memory"]),
        compute_share=share,
        gpu_share=max(nominal, Fraction(memory, total["memory"])),
    )


def profile_name(name: str) -> str:
    """Return a profile as NVIDIA writes it; labels and resource names have a dot for the plus sign.

    >>> profile_name("1g.10gb.me"), profile_name("1g.10gb+me"), profile_name("3g.40gb")
    ('1g.10gb+me', '1g.10gb+me', '3g.40gb')
    """
    base, separator, attributes = name.partition("gb.")
    return f"{base}gb+{attributes}" if separator else name


def resource_profile(name: str) -> str:
    """Return a profile as resource names and labels spell it.

    >>> resource_profile("1g.10gb+me")
    '1g.10gb.me'
    """
    return name.replace("+", ".")


def _cannot_be_cut(gpu: Gpu) -> str:
    return f"{gpu.id} cannot be cut into slices, as far as the catalogue knows"


def _parts(name: str) -> tuple[int, int, str]:
    """Return compute slices, nominal gigabytes and further attributes of a profile."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"gpus.csv: {name!r} is no MIG profile")
    return int(match["compute"]), int(match["gb"]), match["media"] or ""


@functools.cache
def _tables() -> Mapping[str, Any]:
    return read_json("mig_slices.json")
