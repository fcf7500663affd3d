"""Cloud instance types: what one machine holds and what it was seen to cost. For shopping lists, not for billing."""

from __future__ import annotations

import csv
import functools
import io
from dataclasses import dataclass
from decimal import Decimal

from deepseek_operator.catalog.data_files import read_text
from deepseek_operator.errors import CatalogError


@dataclass(frozen=True, kw_only=True)
class CloudInstance:
    """One instance type. ``None`` means that no source was found.

    Args:
        name: as the provider spells it.
        gpu_id: catalogue id of its GPUs.
        gpus: whole GPUs; 0 for shapes that hold a fraction of one.
        host_memory_gib: main memory as the provider states it.
        network_gbps: of the fastest fabric, all ports together.
        network: the source's own words where they say more.
        architecture: ``amd64`` or ``arm64``.
        price_per_hour_usd: cheapest on-demand price seen, of the whole machine.
    """

    provider: str
    name: str
    gpu_id: str
    gpus: int
    vcpus: int | None
    host_memory_gib: int | None
    network_gbps: float | None
    network: str
    architecture: str
    price_per_hour_usd: Decimal | None
    price_as_of: str
    source: str
    notes: str

    @property
    def price_per_gpu_hour_usd(self) -> Decimal | None:
        """The price divided by its whole GPUs; None without a price or without a whole GPU."""
        if self.price_per_hour_usd is None or self.gpus == 0:
            return None
        return self.price_per_hour_usd / self.gpus


@functools.cache
def instances() -> tuple[CloudInstance, ...]:
    """Return every instance type, by provider and name."""
    rows = csv.DictReader(io.StringIO(read_text("cloud_instances.csv")))
    return tuple(sorted(map(_instance, rows), key=lambda row: (row.provider, row.name)))


def instance(name: str) -> CloudInstance:
    """Return one instance type by the provider's name for it.

    Raises:
        CatalogError: no such name; the text offers the nearest ones.

    >>> instance("p5.48xlarge").gpus
    8
    """
    found = _by_name().get(name)
    if found is None:
        raise CatalogError("instance type", name, _by_name(), "see `catalog instances` for the names")
    return found


@functools.cache
def _by_name() -> dict[str, CloudInstance]:
    return {row.name: row for row in instances()}


def _instance(row: dict[str, str]) -> CloudInstance:
    return CloudInstance(
        provider=row["provider"],
        name=row["instance"],
        gpu_id=row["gpu_id"],
        gpus=int(row["gpus"]),
        vcpus=int(row["vcpus"]) if row["vcpus"] else None,
        host_memory_gib=int(row["host_memory_gib"]) if row["host_memory_gib"] else None,
        network_gbps=float(row["network_gbps"]) if row["network_gbps"] else None,
        network=row["network"],
        architecture=row["architecture"],
        price_per_hour_usd=Decimal(row["price_per_hour_usd"]) if row["price_per_hour_usd"] else None,
        price_as_of=row["price_as_of"],
        source=row["source"],
        notes=row["notes"],
    )
