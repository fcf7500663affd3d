"""V4 and V4.1 against what vLLM's own code computes, and against what users' engines logged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.errors import UnsupportedKvCacheError
from deepseek_operator.memory.kv_cache import KvCachePool, kv_cache_pool
from deepseek_operator.memory.kv_groups import cache_groups
from deepseek_operator.memory.kv_laws import CacheOptions, GroupedQueryCache, WindowedCache
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings, IndexerKvDtype, KvCacheDtype

GIB = 2**30
VLLM = json.loads((Path(__file__).parent / "data" / "vllm_0.32.0_kv_groups.json").read_text(encoding="utf-8"))
PRO, FLASH, V41 = "DeepSeek-V4-Pro", "DeepSeek-V4-Flash", "DeepSeek-V4.1-Flash"
MILLION = 2**20
SETTINGS = EngineSettings(
    release="0.32.0",
    gpu_memory_utilization_percent=92,
    max_model_len=MILLION,
    max_num_seqs=1024,
    max_num_batched_tokens=8192,
)


def pool_of(
    name: str, split: Parallelism, settings: EngineSettings = SETTINGS, capability: tuple[int, int] | None = None
) -> KvCachePool:
    return kv_cache_pool(shape(f"deepseek-ai/{name}"), split, settings, capability)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            id=f"{row['model']} {row['kv_cache_dtype']} on {row['compute_capability'][0]}.x, TP{row['tensor']} "
            f"PP{row['pipeline']}, {row['indexer_kv_dtype']} keys, {row['num_speculative_tokens']} drafts",
        )
        for row in VLLM["compressed"]
    ],
)
def test_groups_blocks_and_bytes_are_those_of_the_engine(row: dict[str, Any]):
    told = replace(
        SETTINGS,
        kv_cache_dtype=KvCacheDtype(row["kv_cache_dtype"]),
        indexer_kv_dtype=IndexerKvDtype(row["indexer_kv_dtype"]),
        num_speculative_tokens=row["num_speculative_tokens"],
    )
    split = Parallelism(tensor=row["tensor"], pipeline=row["pipeline"])
    pool = pool_of(row["model"], split, told, tuple(row["compute_capability"]))
    assert sorted(len(group.caches) for group in pool.groups) == sorted(row["caches_per_group"])
    assert list(pool.stage_block_bytes) == row["stage_block_bytes"]
    for question, blocks in row["blocks"].items():
        tokens, in_flight = map(int, question.split("/"))
        assert pool.blocks_per_request(tokens, in_flight) == blocks, question


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row['num_layers']} layers") for row in VLLM["windowed"]])
def test_windowed_layers_are_grouped_as_the_engine_does(row: dict[str, Any]):
    law = WindowedCache(
        law=GroupedQueryCache(num_layers=row["num_layers"], num_kv_heads=8, head_dim=128),
        sliding_window=4096,
        window_layers=tuple(row["window_layers"]),
    )
    groups = cache_groups(law.caches(CacheOptions()))
    assert sorted(len(group.caches) for group in groups) == sorted(row["caches_per_group"])
    assert max(group.page_bytes(range(row["num_layers"])) for group in groups) == row["block_bytes"]
    assert sum(group.blocks(131_072, 8192) for group in groups) == row["blocks_131072_8192"]


@pytest.mark.parametrize(
    ("name", "dtype", "indexer", "capability", "per_token", "fixed_blocks", "chunk_blocks"),
    [
        (PRO, "bfloat16", "auto", (10, 0), 8948, 26, 3328),
        (PRO, "fp8", "auto", None, 5609.25, 26, 3328),
        (PRO, "fp8", "mxfp4", (10, 0), 5136.75, 26, 3328),
        (FLASH, "bfloat16", "auto", (10, 0), 6250, 26, 3328),
        (FLASH, "fp8", "auto", None, 3915, 26, 3328),
        (V41, "bfloat16", "auto", (10, 0), 2890, 11, 512),
        (V41, "fp8_ds_mla", "auto", (10, 0), 1650, 11, 512),
        (V41, "nvfp4_ds_mla", "mxfp4", (10, 0), 890, 21, 1024),
    ],
)
def test_a_token_the_fixed_cost_and_a_chunk_in_flight(
    name: str,
    dtype: str,
    indexer: str,
    capability: tuple[int, int] | None,
    per_token: float,
    fixed_blocks: int,
    chunk_blocks: int,
):
    told = replace(SETTINGS, kv_cache_dtype=KvCacheDtype(dtype), indexer_kv_dtype=IndexerKvDtype(indexer))
    pool = pool_of(name, Parallelism(tensor=8), told, capability)
    growing = MILLION // 256
    decoding = pool.blocks_per_request(MILLION, 1)
    assert pool.bytes_per_token == per_token
    assert decoding - growing == fixed_blocks
    assert pool.blocks_per_request(MILLION, 8192) - decoding == chunk_blocks


@pytest.mark.parametrize(("name", "fixed_bytes", "million_gb"), [(PRO, 37_335_168, 5.92), (FLASH, 26_058_240, 4.13)])
def test_one_request_of_a_million_tokens(name: str, fixed_bytes: int, million_gb: float):
    pool = pool_of(name, Parallelism(tensor=8))
    block = pool.stage_block_bytes[0]
    assert 26 * block == fixed_bytes
    assert round(pool.blocks_per_request(MILLION, 1) * block / 1e9, 2) == million_gb


def test_a_start_of_release_0_22_that_was_refused():
    """vLLM issue 44376: 6.66 GiB for 30,000 tokens; 5.44 GiB would have held 13,528, with 8,192 per step."""
    pool = pool_of(FLASH, Parallelism(tensor=2), replace(SETTINGS, release="0.22.0"))
    block = pool.stage_block_bytes[0]
    assert round(pool.blocks_per_request(30_000, 16_384) * block / GIB, 2) == 6.66
    assert round(pool.blocks_per_request(13_528, 16_384) * block / GIB, 2) == 5.44
    assert pool.blocks_per_request(13_529, 16_384) == pool.blocks_per_request(13_528, 16_384) + 2


@pytest.mark.parametrize(
    ("name", "gib", "logged_tokens"),
    [(f"{FLASH}-0731", 18.08, 2_493_464), (f"{FLASH}-Vision-Exp", 17.04, 2_331_430)],
)
def test_logged_tokens_of_v4_flash_with_its_draft(name: str, gib: float, logged_tokens: int):
    """Public boot logs of a million tokens of context; the tokens in flight are not logged, 8,192 explain both."""
    pool = pool_of(name, Parallelism(tensor=2), replace(SETTINGS, release="0.31.0", num_speculative_tokens=6))
    tokens = pool.reported_tokens(int(gib * GIB) // pool.stage_block_bytes[0], MILLION, 8192, "0.31.0")
    assert abs(tokens / logged_tokens - 1) < 0.005


def test_requests_that_decode_share_the_chunks_in_flight():
    pool = pool_of(FLASH, Parallelism(tensor=8))
    for_chunks, decoding = 6656, 32 + 26
    assert pool.blocks_per_request(8192, 1) == decoding
    assert pool.requests_held(1 + for_chunks + 10 * decoding, MILLION, 16_384) == 0
    assert pool.requests_held(1 + 3328 + 10 * decoding, 8192, 8192) == 10


@pytest.mark.parametrize(
    ("name", "split", "dtype", "capability", "refusal"),
    [
        pytest.param(
            PRO,
            Parallelism(tensor=8),
            "bfloat16",
            (9, 0),
            "the compressed attention of V4 cannot store a KV cache of bfloat16 on compute capability 9.0; use auto or "
            "fp8 or fp8_ds_mla or fp8_e4m3 or fp8_e5m2",
            id="16 bits need datacenter Blackwell",
        ),
        pytest.param(
            PRO,
            Parallelism(tensor=8),
            "nvfp4_ds_mla",
            (10, 0),
            "the compressed attention of V4 cannot store a KV cache of nvfp4_ds_mla on compute capability 10.0; use "
            "auto or bfloat16 or fp8 or fp8_ds_mla or fp8_e4m3 or fp8_e5m2",
            id="4 bits are of V4.1",
        ),
        pytest.param(
            PRO,
            Parallelism(tensor=8, decode_context=8),
            "auto",
            None,
            "decode-context parallelism does not work with sliding windows; use 1",
            id="windows are not shared",
        ),
        pytest.param(
            V41,
            Parallelism(tensor=8, pipeline=4),
            "auto",
            None,
            "a pipeline stage cannot begin at layer 10, which shares the KV cache of an earlier stage; stages can "
            "begin at layers 2, 8, 14, 20",
            id="layers that share a cache stay together",
        ),
    ],
)
def test_what_the_engine_cannot_keep_is_refused(
    name: str, split: Parallelism, dtype: str, capability: tuple[int, int] | None, refusal: str
):
    with pytest.raises(UnsupportedKvCacheError) as caught:
        pool_of(name, split, replace(SETTINGS, kv_cache_dtype=KvCacheDtype(dtype)), capability)
    assert str(caught.value) == refusal


def test_four_bit_keys_need_datacenter_blackwell():
    told = replace(SETTINGS, indexer_kv_dtype=IndexerKvDtype.MXFP4)
    with pytest.raises(
        UnsupportedKvCacheError, match=r"^indexer keys in mxfp4 need compute capability 10\.x, not Hopper; use auto$"
    ):
        pool_of(PRO, Parallelism(tensor=8), told)


def test_the_engine_must_be_told_the_backend_of_sixteen_bits():
    told = replace(SETTINGS, kv_cache_dtype=KvCacheDtype.BFLOAT16)
    stored = pool_of(PRO, Parallelism(tensor=8), told, (10, 0)).stored
    assert (stored.backend, stored.told) == ("FLASHINFER_MLA_SPARSE_DSV4", True)
