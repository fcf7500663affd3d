"""Bandwidth of what lies beside the GPU: PCI Express, host memory, disks."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.errors import CatalogError


@dataclass(frozen=True, kw_only=True)
class HostLink:
    """One link or memory.

    Args:
        name: such as ``pcie-4.0-x16`` or ``ddr5-4800-2ch``.
        gb_per_second: peak of one direction, decimal GB/s.
        source: the standard and the arithmetic.
    """

    name: str
    gb_per_second: float
    source: str


@functools.cache
def host_links() -> tuple[HostLink, ...]:
    """Return every known link."""
    rows = read_json("host_links.json")["links"]
    if not isinstance(rows, list):
        raise TypeError("host_links.json holds no list")
    return tuple(HostLink(**row) for row in rows)


def host_link(name: str) -> HostLink:
    """Return a link by its name.

    Raises:
        CatalogError: no such link; the text lists them.

    >>> host_link("pcie-4.0-x16").gb_per_second
    31.5
    """
    for link in host_links():
        if link.name == name:
            return link
    raise CatalogError("host link", name, (), f"known are {', '.join(link.name for link in host_links())}")
