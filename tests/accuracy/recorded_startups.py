"""Start-ups of vLLM that users posted, joined with the catalogue model of the same shape."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deepseek_operator.catalog.hf_config import shape_from_config
from deepseek_operator.catalog.models import shape
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings

DATA = Path(__file__).parent / "data"
GIB = 2**30

QUANTIZATION_BY_REMARK = {
    "": "Native",
    "fp8 per channel": "FP8",
    "int8 w8a8": "INT8W8A8",
    "w4a16 g128": "GPTQ",
}
"""The remark behind ``same_shape_as`` names the checkpoint's format; the rung stores the same bits."""

CONFIG_BY_MODEL: Mapping[str, Mapping[str, object]] = {
    # Shapes that the catalogue lacks, from the public configs of their repositories.
    "codellama/CodeLlama-7b-hf": {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "max_position_embeddings": 16384,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 32,
        "torch_dtype": "bfloat16",
        "vocab_size": 32016,
    },
    "Qwen/Qwen3-14B": {
        "architectures": ["Qwen3ForCausalLM"],
        "head_dim": 128,
        "hidden_size": 5120,
        "intermediate_size": 17408,
        "max_position_embeddings": 40960,
        "num_attention_heads": 40,
        "num_hidden_layers": 40,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": 151936,
    },
}

LEFT_OUT = {
    "P013": "weights are offloaded to the host by 0.7.2; judged in test_host_offload.py",
    "P020": "V4 is not estimated yet",
    "P026": "V4 is not estimated yet",
}
"""Eligible rows with a catalogue model that cannot be judged, with the reason."""


@dataclass(frozen=True, kw_only=True)
class RecordedStartup:
    """One row; figures that the log did not show are None."""

    id: str
    model: ModelShape
    quantization: str
    release: str
    uses: frozenset[str]
    split: Parallelism
    cells: Mapping[str, str]

    def gib(self, column: str) -> float | None:
        text = self.cells[column]
        return float(text) if text else None

    @property
    def is_recent_nvidia(self) -> bool:
        """vLLM 0.9 or later on NVIDIA."""
        version = self.release.removeprefix("v").split(".")
        return bool(self.release) and (int(version[0]), int(version[1])) >= (0, 9)

    @property
    def settings(self) -> EngineSettings:
        """What the engine was told; what the log did not show is the default of that time."""
        is_v0 = self.cells["engine"] == "V0"
        max_model_len = int(self.cells["max_model_len"])
        tokens = self.cells["max_num_batched_tokens"]
        basis_points = round(10_000 * float(self.cells["gpu_memory_utilization"]))
        return EngineSettings(
            release=self.release,
            gpu_memory_utilization_percent=basis_points // 100,
            gpu_memory_utilization_basis_points=basis_points % 100,
            max_model_len=max_model_len,
            max_num_seqs=int(self.cells["max_num_seqs"] or (256 if is_v0 else 1024)),
            max_num_batched_tokens=int(tokens or (max(2048, max_model_len) if is_v0 else 8192)),
            quantization=self.quantization,
            enforce_eager=self.cells["enforce_eager"] == "True",
        )

    @property
    def total_memory_bytes(self) -> int:
        """Memory of one GPU; the version sweep on H100 80GB left it out."""
        return round(float(self.cells["gpu_memory_gib"] or 79.19) * GIB)


def recorded_startups(use: str) -> list[RecordedStartup]:
    """Return the rows that can judge ``full``, ``weights`` or ``kv-per-token`` of families that are estimated."""
    with (DATA / "vllm_memory_observations.csv").open(newline="") as file:
        observations = {row["id"]: row for row in csv.DictReader(file)}
    with (DATA / "vllm_memory_eligible.csv").open(newline="") as file:
        eligible = list(csv.DictReader(file))
    rows = []
    for row in eligible:
        name, _, remark = row["same_shape_as"].partition(" (")
        known = bool(name) or row["model_id"] in CONFIG_BY_MODEL
        if use not in row["uses"].split() or not known or row["id"] in LEFT_OUT:
            continue
        cells = observations[row["id"]]
        rows.append(
            RecordedStartup(
                id=row["id"],
                model=shape(name) if name else shape_from_config(CONFIG_BY_MODEL[row["model_id"]]),
                quantization=QUANTIZATION_BY_REMARK[remark.removesuffix(")")],
                release=cells["vllm_version"],
                uses=frozenset(row["uses"].split()),
                split=Parallelism(tensor=int(cells["tp"] or 1), pipeline=int(cells["pp"] or 1)),
                cells=cells,
            )
        )
    return rows
