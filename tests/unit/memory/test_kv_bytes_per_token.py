"""Bytes per token of every model against the table that ``data/kv_cache_bytes_per_token.md`` explains."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from deepseek_operator.catalog.models import model_names, shape
from deepseek_operator.memory.kv_cache import kv_cache_pool
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings, KvCacheDtype

with (Path(__file__).parent / "data" / "kv_cache_bytes_per_token.csv").open(newline="") as file:
    ROWS = list(csv.DictReader(file))


def bytes_per_token(name: str, dtype: str, compute_capability: str) -> float:
    told = EngineSettings(
        release="0.32.0",
        gpu_memory_utilization_percent=92,
        max_model_len=4096,
        max_num_seqs=64,
        max_num_batched_tokens=8192,
        kv_cache_dtype=KvCacheDtype(dtype),
    )
    major, minor = map(int, compute_capability.split("."))
    return kv_cache_pool(shape(name), Parallelism(), told, (major, minor)).bytes_per_token


def test_the_table_holds_every_model():
    assert [row["model"] for row in ROWS] == list(model_names())


@pytest.mark.parametrize("row", [pytest.param(row, id=row["model"]) for row in ROWS])
def test_bytes_per_token_are_those_of_the_table(row: dict[str, str]):
    found = (
        bytes_per_token(row["model"], "bfloat16", "10.0"),
        bytes_per_token(row["model"], row["fp8_dtype"], row["fp8_compute_capability"]),
    )
    assert found == (float(row["bf16_bytes"]), float(row["fp8_bytes"]))
