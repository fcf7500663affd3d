"""KV cache formats on AMD, whose kernels are not those of any NVIDIA generation."""

from __future__ import annotations

import pytest

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.kv_cache_formats import AttentionKind, CacheFormat, kv_cache_dtypes, kv_cache_format
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.estimate import EngineSettings, KvCacheDtype, estimate
from deepseek_operator.memory.parallelism import Parallelism

CDNA3, CDNA2 = gpu("mi300x").architecture, gpu("mi210").architecture


@pytest.mark.parametrize(
    ("attention", "dtype", "stored"),
    [
        pytest.param(AttentionKind.GROUPED_QUERY, "fp8", CacheFormat.FP8, id="keys and values"),
        pytest.param(AttentionKind.LATENT, "auto", CacheFormat.SIXTEEN_BIT, id="latent"),
        pytest.param(AttentionKind.LATENT, "fp8", CacheFormat.FP8, id="latent in 8 bits"),
        pytest.param(AttentionKind.INDEXED_LATENT, "auto", CacheFormat.SIXTEEN_BIT, id="indexed"),
        pytest.param(AttentionKind.INDEXED_LATENT, "fp8", CacheFormat.FP8, id="plain rows, not Hopper's packed ones"),
        pytest.param(AttentionKind.COMPRESSED, "auto", CacheFormat.FP8_DS_MLA, id="V4"),
        pytest.param(AttentionKind.SHARED_COMPRESSED, "auto", CacheFormat.FP8_DS_MLA, id="V4.1"),
    ],
)
def test_formats_of_an_mi300x(attention: AttentionKind, dtype: str, stored: CacheFormat) -> None:
    found = kv_cache_format(attention, dtype, CDNA3)
    assert found is not None
    assert found.format is stored


@pytest.mark.parametrize(
    ("attention", "dtype"),
    [
        pytest.param(AttentionKind.INDEXED_LATENT, "fp8_ds_mla", id="Hopper's packed rows"),
        pytest.param(AttentionKind.INDEXED_LATENT, "nvfp4_ds_mla", id="Blackwell's packed rows"),
        pytest.param(AttentionKind.COMPRESSED, "bfloat16", id="V4 in 16 bits"),
    ],
)
def test_formats_that_an_mi300x_lacks(attention: AttentionKind, dtype: str) -> None:
    assert kv_cache_format(attention, dtype, CDNA3) is None


def test_older_products_store_16_bits_only() -> None:
    assert kv_cache_dtypes(AttentionKind.LATENT, CDNA2) == ("auto", "bfloat16", "float16")


def test_v32_stores_plain_8_bit_rows_on_amd() -> None:
    """576 B of a latent row and 132 B of an index key per layer, where Hopper packs 656 B."""
    told = EngineSettings(
        release="0.32.0",
        gpu_memory_utilization_percent=92,
        max_model_len=4096,
        max_num_seqs=64,
        max_num_batched_tokens=8192,
        kv_cache_dtype=KvCacheDtype.FP8,
    )
    product = gpu("mi300x")
    assert product.usable_memory_bytes is not None
    answer = estimate(
        shape("deepseek-ai/DeepSeek-V3.2"),
        Parallelism(tensor=8),
        told,
        product.usable_memory_bytes,
        product.architecture,
    )
    assert answer.kv_cache_bytes_per_token == 61 * (576 + 132)


def test_a_refusal_names_the_instruction_set() -> None:
    told = EngineSettings(
        release="0.32.0",
        gpu_memory_utilization_percent=92,
        max_model_len=4096,
        max_num_seqs=64,
        max_num_batched_tokens=8192,
        kv_cache_dtype=KvCacheDtype.FP8_DS_MLA,
    )
    answer = estimate(shape("deepseek-ai/DeepSeek-V3.2"), Parallelism(tensor=8), told, 2**37, CDNA3)
    assert answer.limit == (
        "sparse latent attention cannot store a KV cache of fp8_ds_mla on gfx942; use auto or bfloat16 or float16 or "
        "fp8 or fp8_e4m3"
    )
