"""In which format an engine stores the KV cache, from the data file: by attention, GPU generation and option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.catalog.gpus import gfx_architecture

HOPPER = (9, 0)
"""Compute capability that stands for a GPU without one, or an unknown GPU."""


class AttentionKind(StrEnum):
    """Kinds of attention that differ in what they store per token."""

    GROUPED_QUERY = "grouped-query"
    LATENT = "latent"
    INDEXED_LATENT = "indexed-latent"
    COMPRESSED = "compressed"
    SHARED_COMPRESSED = "shared-compressed"


class CacheFormat(StrEnum):
    """Layouts of a cached state; ``mxfp8_ds_mla`` is the V4.1 record that the engine also calls ``fp8_ds_mla``."""

    SIXTEEN_BIT = "16-bit"
    FP8 = "fp8"
    FP8_DS_MLA = "fp8_ds_mla"
    MXFP8_DS_MLA = "mxfp8_ds_mla"
    NVFP4_DS_MLA = "nvfp4_ds_mla"


@dataclass(frozen=True, kw_only=True)
class KvCacheFormat:
    """How a KV cache is stored.

    Args:
        block_tokens: tokens of one block.
        backend: attention backend that stores it; empty where several do it alike.
        told: whether the engine takes that backend only when it is told to (``--attention-backend``).
    """

    format: CacheFormat
    block_tokens: int
    backend: str = ""
    told: bool = False


@lru_cache(maxsize=512)
def kv_cache_format(
    attention: AttentionKind, dtype: str, compute_capability: tuple[int, int] | None
) -> KvCacheFormat | None:
    """Return how the engine stores a cache of that data type; None when it cannot.

    Args:
        attention: kind of attention.
        dtype: name of ``--kv-cache-dtype``.
        compute_capability: architecture of the GPU (`gpus.Gpu.architecture`); None stands for Hopper.

    >>> kv_cache_format(AttentionKind.INDEXED_LATENT, "fp8", (9, 0)).format.value
    'fp8_ds_mla'
    >>> kv_cache_format(AttentionKind.LATENT, "fp8", (8, 0)) is None
    True
    >>> kv_cache_format(AttentionKind.INDEXED_LATENT, "fp8", gfx_architecture("gfx942")).format.value
    'fp8'
    """
    wanted = compute_capability or HOPPER
    return next(
        (
            KvCacheFormat(
                format=CacheFormat(row["format"]),
                block_tokens=row["block_tokens"],
                backend=row.get("backend", ""),
                told=row.get("told", False),
            )
            for row in _rows()
            if row["attention"] == attention and dtype in row["dtypes"] and _covers(row, wanted)
        ),
        None,
    )


@lru_cache(maxsize=128)
def kv_cache_dtypes(attention: AttentionKind, compute_capability: tuple[int, int] | None) -> tuple[str, ...]:
    """Return every ``--kv-cache-dtype`` that the engine accepts for an attention on a GPU, sorted.

    >>> kv_cache_dtypes(AttentionKind.COMPRESSED, (9, 0))
    ('auto', 'fp8', 'fp8_ds_mla', 'fp8_e4m3', 'fp8_e5m2')
    """
    wanted = compute_capability or HOPPER
    rows = [row for row in _rows() if row["attention"] == attention and _covers(row, wanted)]
    return tuple(sorted({dtype for row in rows for dtype in row["dtypes"]}))


@lru_cache(maxsize=1)
def _rows() -> tuple[Mapping[str, Any], ...]:
    data: dict[str, Any] = read_json("kv_cache_formats.json")
    return tuple(data["formats"])


def _covers(row: Mapping[str, Any], capability: tuple[int, int]) -> bool:
    return _architecture(row["from"]) <= capability <= _architecture(row["to"])


@lru_cache(maxsize=64)
def _architecture(text: str) -> tuple[int, int]:
    """Return what a row names: a compute capability, or an instruction set of AMD."""
    if found := gfx_architecture(text if text.startswith("gfx") else ""):
        return found
    major, minor = text.split(".")
    return int(major), int(minor)
