"""Start-ups of vLLM that users posted, joined with the shape of their model: what each row can judge and what not."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deepseek_operator.catalog.hf_config import shape_from_config
from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.release_overheads import release_key
from deepseek_operator.memory.settings import EngineSettings, KvCacheDtype

DATA = Path(__file__).parent / "data"
GIB = 2**30

H100_GIB = "79.19"
"""Memory of one GPU of the version sweep on H100 80GB, which left it out."""

H200_GIB = "139.81"
"""Memory of one GPU of those rows that name the GPU only."""

V0_BLOCK_TOKENS = 16

USES = frozenset({"full", "parts", "weights", "kv-per-token", "kv-need", "does-not-fit", "starts"})
"""What a row can judge: the whole budget; weights and overheads without the cache; weights; bytes per token; bytes of
one request; a refusal with its limit; that it starts."""

QUANTIZATION_BY_REMARK = {
    "": "Native",
    "fp8 per channel": "FP8",
    "int8 w8a8": "INT8W8A8",
    "w4a16 g128": "GPTQ",
    "with draft": "Native",
}
"""The remark behind ``same_shape_as`` names the checkpoint's format; the rung stores the same bits."""


@dataclass(frozen=True, kw_only=True)
class RecordedStartup:
    """One row; figures that the log did not show are None.

    Args:
        release: as logged; where the log named none, the one assumed in the list of eligible rows.
        is_release_known: whether the log named it.
        with_draft: whether the checkpoint's draft was loaded.
        campaign: the series of runs or the log that the row comes from; rows of one campaign are not independent.
    """

    id: str
    model: ModelShape
    quantization: str
    release: str
    is_release_known: bool
    with_draft: bool
    campaign: str
    uses: frozenset[str]
    split: Parallelism
    cells: Mapping[str, str]

    def gib(self, column: str) -> float | None:
        text = self.cells.get(column, "")
        return float(text) if text else None

    @property
    def is_recent_nvidia(self) -> bool:
        """vLLM 0.9 or later on NVIDIA, as the log says."""
        return self.is_release_known and release_key(self.release) >= (0, 9, 0)

    @property
    def settings(self) -> EngineSettings:
        """What the engine was told; what the log did not show is the default of that time."""
        is_v0 = self.cells.get("engine") == "V0"
        max_model_len = int(self.cells["max_model_len"] or self.model.max_position_embeddings)
        tokens = self.cells["max_num_batched_tokens"]
        basis_points = round(10_000 * float(self.cells["gpu_memory_utilization"] or 0.9))
        return EngineSettings(
            release=self.release,
            gpu_memory_utilization_percent=basis_points // 100,
            gpu_memory_utilization_basis_points=basis_points % 100,
            max_model_len=max_model_len,
            max_num_seqs=int(self.cells["max_num_seqs"] or (256 if is_v0 else 1024)),
            max_num_batched_tokens=int(tokens or (max(2048, max_model_len) if is_v0 else 8192)),
            quantization=self.quantization,
            enforce_eager=self.cells.get("enforce_eager") == "True",
            kv_cache_dtype=KvCacheDtype.FP8 if self.cells.get("kv_cache_dtype") == "fp8" else KvCacheDtype.AUTO,
        )

    @property
    def total_memory_bytes(self) -> int:
        """Memory of one GPU."""
        default = H200_GIB if self.cells.get("gpu_name", "").startswith("H200") else H100_GIB
        return round(float(self.cells["gpu_memory_gib"] or default) * GIB)

    @property
    def logged_tokens(self) -> int | None:
        """Tokens of the cache; logs of the V0 engine count blocks of 16."""
        if tokens := self.cells.get("kv_cache_tokens"):
            return int(tokens)
        blocks = self.cells.get("num_gpu_blocks")
        return V0_BLOCK_TOKENS * int(blocks) if blocks and self.cells["engine"] == "V0" else None

    @property
    def logged_overhead_gib(self) -> float | None:
        """Everything in the budget beside weights and KV cache: budget - weights - KV cache."""
        if (total := self.gib("overhead_gib")) is not None:
            return total
        kv_cache, weights = self.gib("kv_cache_gib_per_rank"), self.gib("model_weights_gib_per_rank")
        if kv_cache is None or weights is None or "full" not in self.uses:
            return None
        return self.budget_gib - weights - kv_cache

    @property
    def budget_gib(self) -> float:
        """Share of the memory that the engine may use."""
        settings = self.settings
        share = settings.gpu_memory_utilization_percent + settings.gpu_memory_utilization_basis_points / 100
        return self.total_memory_bytes / GIB * share / 100


@functools.cache
def recorded_startups() -> tuple[RecordedStartup, ...]:
    """Return every row that can judge something."""
    rows = _joined("vllm_memory_eligible.csv", "vllm_memory_observations.csv")
    rows += _joined("further_eligible.csv", "further_startups.csv")
    return tuple(rows)


@functools.cache
def overhead_totals() -> tuple[RecordedStartup, ...]:
    """Return the runs of which only the overheads in all are known: one GPU type, equal flags, several releases."""
    what = {"uses": "total", "assumed_release": "", "config": ""}
    return tuple(_startup(row, row | what) for row in _rows("overhead_totals.csv"))


def startups_for(use: str) -> list[RecordedStartup]:
    """Return the rows that can judge something; ``use`` is one of ``USES``."""
    return [row for row in recorded_startups() if use in row.uses]


def observation_ids() -> set[str]:
    return {row["id"] for row in _rows("vllm_memory_observations.csv")}


def excluded() -> dict[str, str]:
    """Return the rows that judge nothing, with the reason."""
    return {row["id"]: row["reason"] for row in _rows("vllm_memory_excluded.csv")}


def _joined(eligible: str, observations: str) -> list[RecordedStartup]:
    cells = {row["id"]: row for row in _rows(observations)}
    return [_startup(cells[row["id"]], row) for row in _rows(eligible)]


def _startup(cells: Mapping[str, str], row: Mapping[str, str]) -> RecordedStartup:
    name, _, remark = row["same_shape_as"].partition(" (")
    is_expert = cells.get("ep") == "True"
    return RecordedStartup(
        id=row["id"],
        model=shape(name) if name else shape_from_config(_configs()[row["config"]]["config"]),
        quantization=QUANTIZATION_BY_REMARK[remark.removesuffix(")")],
        release=cells["vllm_version"] or row["assumed_release"],
        is_release_known=bool(cells["vllm_version"]),
        with_draft=remark == "with draft)",
        campaign=row["campaign"],
        uses=frozenset(row["uses"].split()),
        split=Parallelism(
            tensor=int(cells["tp"] or 1),
            pipeline=int(cells.get("pp") or 1),
            data=int(cells.get("dp") or 1),
            expert=is_expert,
        ),
        cells=cells,
    )


@functools.cache
def _configs() -> dict[str, dict[str, dict[str, object]]]:
    with (DATA / "model_configs.json").open() as file:
        content: dict[str, dict[str, dict[str, object]]] = json.load(file)
    return content


@functools.cache
def _rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))
