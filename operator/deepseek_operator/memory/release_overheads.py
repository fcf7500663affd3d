"""What one engine release keeps on a GPU besides weights and KV cache, as data with a band for each quantity.

The figures lie in ``catalog/data/engine_overheads.json``; ``hack/fit_overheads.py`` fits them on recorded start-ups.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.catalog.shapes import CompressedAttention, ModelShape
from deepseek_operator.errors import UnknownEngineReleaseError
from deepseek_operator.units import GIB, MIB

ENOUGH_CAMPAIGNS = 2
"""Independent log series from which on a release counts as measured; with fewer the answer says so."""

SMALL_GPU_BYTES = 23 * GIB
"""Total memory below which the smaller context was seen: 0.11 GiB of 16 and 0.23 GiB of 22.06 (L4)."""

MEASURED_GROUPS_MAJOR = 9
"""Major compute capability of the GPUs (Hopper) on which tensor parallel start-ups were recorded in full."""

_RELEASE = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:\.?[a-z+\-].{0,64})?")


@dataclass(frozen=True, kw_only=True)
class Band:
    """Half width of the 90 % band of a quantity: the larger of a share of the figure and a floor.

    Args:
        percent: share of the figure.
        floor_bytes: for figures so small that a share says nothing.

    >>> Band(percent=10, floor_bytes=5).half_width_bytes(200)
    20
    """

    percent: int
    floor_bytes: int

    def half_width_bytes(self, figure_bytes: int) -> int:
        """Return the half width around a figure."""
        return max(abs(figure_bytes) * self.percent // 100, self.floor_bytes)

    def half_width_percent(self, figure_bytes: int) -> int:
        """Return the half width as a share of the figure, rounded up; 100 for a figure of nothing.

        >>> Band(percent=10, floor_bytes=64).half_width_percent(128)
        50
        """
        if figure_bytes <= 0:
            return 100
        return -(-100 * self.half_width_bytes(figure_bytes) // figure_bytes)


@dataclass(frozen=True, kw_only=True)
class ReleaseOverheads:
    """Figures of one engine release.

    Args:
        release: the release that the figures belong to.
        stands_in_for: the release that was asked for, when it has no figures of its own; else empty.
        sampler_bytes_per_logit: peak of the sampler's buffers per (request, vocabulary entry).
        workspace_stays: whether workspaces of experts and sparse attention lie beside the sampler's peak; where not,
            they are freed before the sampler runs.
        cuda_graphs_inside_budget: whether the engine subtracts the graphs before it sizes the KV cache (since
            0.21); before, they lie in the memory that the utilization leaves free.
        gpu_memory_utilization_percent: the release's default.
        campaigns: independent log series of start-ups of the release; 0 when its figures are another's.
        activations_band_elsewhere: for model families of which no complete start-up is recorded.
        non_torch_band_elsewhere: for groups of GPUs of another generation than the one that was measured.
        source: the start-ups or the code that the figures come from.
    """

    release: str
    stands_in_for: str
    campaigns: int
    sampler_bytes_per_logit: float
    workspace_stays: bool
    non_torch_bytes_by_tensor: tuple[tuple[int, int], ...]
    outside_budget_bytes_by_tensor: tuple[tuple[int, int], ...]
    outside_budget_bytes_small_gpu: int
    graph_base_bytes: int
    graph_layer_bytes: int
    graph_moe_layer_bytes: int
    graph_reference_sizes: int
    cuda_graphs_inside_budget: bool
    gpu_memory_utilization_percent: int
    activations_band: Band
    activations_band_elsewhere: Band
    non_torch_band: Band
    non_torch_band_elsewhere: Band
    cuda_graphs_band: Band
    source: str

    def non_torch_bytes(self, tensor: int) -> int:
        """Return what a rank keeps outside torch inside the budget: NCCL and library workspaces."""
        return _at_least(self.non_torch_bytes_by_tensor, tensor)

    def outside_budget_bytes(self, world_size: int, total_memory_bytes: int) -> int:
        """Return what lies outside the accounting: the CUDA context and the first NCCL buffers.

        Args:
            world_size: GPUs of the replica.
            total_memory_bytes: of one GPU; the context of a small one, which has few multiprocessors, is smaller.
        """
        if world_size == 1 and total_memory_bytes < SMALL_GPU_BYTES:
            return self.outside_budget_bytes_small_gpu
        return _at_least(self.outside_budget_bytes_by_tensor, world_size)

    def non_torch_band_on(self, tensor: int, compute_capability: tuple[int, int] | None) -> Band:
        """Return the band of memory outside torch on a GPU; None stands for the measured generation, Hopper.

        The buffers of all-reduce depend on the link between GPUs, so that of another generation is hardly known: 0.95
        GiB was logged at TP4 on GB200 and 1.63 on B300, where H100 and H200 log 2.2.
        """
        if tensor > 1 and compute_capability is not None and compute_capability[0] != MEASURED_GROUPS_MAJOR:
            return self.non_torch_band_elsewhere
        return self.non_torch_band

    def activations_band_of(self, shape: ModelShape) -> Band:
        """Return the band of activations for a model; V4 and V4.1 were never seen in a complete start-up."""
        return self.activations_band_elsewhere if _is_unseen(shape) else self.activations_band

    def basis(self, shape: ModelShape) -> str:
        """Return one sentence on what the figures rest on: whose start-ups, and whether they are few or none."""
        if self.stands_in_for:
            return (
                f"no start-up of vLLM {self.stands_in_for} is recorded, so the figures of {self.release} stand in with "
                "a wide band"
            )
        if not self.campaigns:
            return f"no start-up of vLLM {self.release} is recorded, so older figures stand in with a wide band"
        if _is_unseen(shape):
            return f"no complete start-up of {shape.architecture} is recorded, so its activations have a wide band"
        if self.campaigns < ENOUGH_CAMPAIGNS:
            return f"vLLM {self.release} is known from one series of start-ups; its band is that of all known releases"
        return f"{self.campaigns} independent series of start-ups of vLLM {self.release}"


@lru_cache(maxsize=256)
def release_overheads(release: str) -> ReleaseOverheads:
    """Return the figures of an engine release; a release without its own takes the next older one's.

    Args:
        release: such as ``0.32.0`` or ``v0.11.2rc1``.

    Raises:
        UnknownEngineReleaseError: the text is no release number; write one such as ``0.32.0``.

    >>> release_overheads("0.19.1").release, release_overheads("0.19.1").stands_in_for
    ('0.19.0', '0.19.1')
    """
    return overheads_of(read_json("engine_overheads.json"), release)


def overheads_of(data: Mapping[str, Any], release: str) -> ReleaseOverheads:
    """Return the figures of a release out of data of the form of ``engine_overheads.json``.

    Raises:
        UnknownEngineReleaseError: the text is no release number; write one such as ``0.32.0``.
    """
    wanted = release_key(release)
    rows = sorted(data["releases"], key=lambda row: release_key(row["release"]))
    row = next((row for row in reversed(rows) if release_key(row["release"]) <= wanted), rows[0])
    is_own = release_key(row["release"]) == wanted
    bands = data["bands"]["measured" if is_own and row["campaigns"] else "stand_in"]
    graphs = data["cuda_graphs"]
    return ReleaseOverheads(
        release=row["release"],
        stands_in_for="" if is_own else release.strip().removeprefix("v"),
        campaigns=len(row["campaigns"]) if is_own else 0,
        sampler_bytes_per_logit=data["sampler_bytes_per_logit"][row["sampler"]],
        workspace_stays=row["workspace_stays"],
        non_torch_bytes_by_tensor=_bytes_by_ranks(data["non_torch_mib_by_tensor"][row["non_torch"]]),
        outside_budget_bytes_by_tensor=_bytes_by_ranks(data["outside_budget_mib_by_tensor"]),
        outside_budget_bytes_small_gpu=data["outside_budget_mib_small_gpu"] * MIB,
        graph_base_bytes=int(graphs["base_mib"] * MIB),
        graph_layer_bytes=int(graphs["mib_per_layer"] * MIB),
        graph_moe_layer_bytes=int(graphs["mib_per_moe_layer"] * MIB),
        graph_reference_sizes=graphs["reference_sizes"],
        cuda_graphs_inside_budget=row["cuda_graphs_inside_budget"],
        gpu_memory_utilization_percent=row["gpu_memory_utilization_percent"],
        activations_band=_band(bands["activations"]),
        activations_band_elsewhere=_band(data["bands"]["stand_in"]["activations"]),
        non_torch_band=_band(bands["non_torch"]),
        non_torch_band_elsewhere=_band(data["bands"]["stand_in"]["non_torch"]),
        cuda_graphs_band=_band(bands["cuda_graphs"]),
        source=row["source"],
    )


def release_key(release: str) -> tuple[int, int, int]:
    """Return a release as numbers that sort.

    Raises:
        UnknownEngineReleaseError: the text is no release number; write one such as ``0.32.0``.

    >>> release_key("v0.11.2rc1+rhai0.cuda")
    (0, 11, 2)
    """
    match = _RELEASE.fullmatch(release.strip())
    if match is None:
        raise UnknownEngineReleaseError("engine release", release, (), "write a number such as 0.32.0")
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch or 0)


def _is_unseen(shape: ModelShape) -> bool:
    return isinstance(shape.attention, CompressedAttention)


def _band(entry: Mapping[str, int]) -> Band:
    return Band(percent=entry["percent"], floor_bytes=entry["floor_mib"] * MIB)


def _bytes_by_ranks(mib_by_ranks: Mapping[str, int]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((int(ranks), mib * MIB) for ranks, mib in mib_by_ranks.items()))


def _at_least(rows: tuple[tuple[int, int], ...], ranks: int) -> int:
    """Return the figure of the smallest listed rank count that is not below ``ranks``, else the largest."""
    return next((size for listed, size in rows if listed >= ranks), rows[-1][1])
