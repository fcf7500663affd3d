"""The bound on the speed of a model that does not fit: bytes of active experts over what they are read through."""

from __future__ import annotations

import pytest

from deepseek_operator.catalog.host_links import host_link, host_links
from deepseek_operator.catalog.linear_formats import LinearFormat
from deepseek_operator.catalog.models import shape
from deepseek_operator.errors import CatalogError
from deepseek_operator.performance.offload_bound import OffloadBound, offload_bound

GIB = 2**30
R1 = shape("deepseek-ai/DeepSeek-R1")
FOUR_BIT = LinearFormat(weight_bits=4, group_rows=1, group_columns=128, scale_bits=20)
RTX_4090_GB_PER_SECOND = 1008.0


def bound(host: str, host_bytes: int, gpu_bytes: int = 19 * 10**9) -> OffloadBound:
    return offload_bound(
        R1,
        FOUR_BIT,
        gpu_weights_bytes=gpu_bytes,
        host_weights_bytes=host_bytes,
        gpu_memory_gb_per_second=RTX_4090_GB_PER_SECOND,
        host=host_link(host),
        disk=host_link("nvme-pcie-4.0-x4"),
    )


@pytest.mark.parametrize(
    ("host", "host_bytes", "tokens_per_second"),
    [
        pytest.param("ddr5-4800-2ch", 64 * GIB, "1.0", id="64 GiB: most experts are read from disk"),
        pytest.param("pcie-4.0-x16", 384 * GIB, "3.1", id="copied to the GPU over PCIe"),
        pytest.param("ddr4-3200-2ch", 384 * GIB, "5.0", id="computed by the CPU from DDR4"),
        pytest.param("ddr5-4800-2ch", 384 * GIB, "7.5", id="computed by the CPU from DDR5"),
        pytest.param("ddr5-4800-8ch", 384 * GIB, "29.9", id="a server's memory"),
    ],
)
def test_r1_in_four_bits_beside_one_rtx_4090(host: str, host_bytes: int, tokens_per_second: str):
    assert f"{bound(host, host_bytes).tokens_per_second:.1f}" == tokens_per_second


def test_the_bound_says_where_the_bytes_are():
    assert bound("ddr5-4800-2ch", 64 * GIB).explanation() == (
        "at most 1.0 tokens/s for one request: every token reads 8.7 GB from GPU memory, 2.1 GB from host memory and "
        "8.1 GB from disk, and nvme-pcie-4.0-x4 is the slowest"
    )


@pytest.mark.parametrize(
    ("name", "read"),
    [
        pytest.param("deepseek-ai/DeepSeek-V4.1-Flash", 16_130_588_784, id="tables of which a token reads a row"),
        pytest.param("deepseek-ai/DeepSeek-OCR", 574_127_360, id="an image encoder"),
    ],
)
def test_what_a_token_does_not_read_sets_no_bound(name: str, read: int):
    found = offload_bound(
        shape(name),
        LinearFormat(weight_bits=8),
        gpu_weights_bytes=10**13,
        host_weights_bytes=0,
        gpu_memory_gb_per_second=RTX_4090_GB_PER_SECOND,
        host=host_link("pcie-4.0-x16"),
        disk=host_link("nvme-pcie-4.0-x4"),
    )
    assert found.gpu_bytes_per_token == read


def test_a_model_on_the_gpu_is_bound_by_its_memory():
    found = bound("ddr5-4800-2ch", 0, gpu_bytes=400 * 10**9)
    assert (found.slowest, found.host_bytes_per_token, found.disk_bytes_per_token) == ("GPU memory", 0, 0)


def test_a_dense_model_reads_all_that_lies_outside():
    dense = shape("deepseek-ai/DeepSeek-R1-Distill-Llama-70B")
    found = offload_bound(
        dense,
        LinearFormat(weight_bits=16),
        gpu_weights_bytes=20 * 10**9,
        host_weights_bytes=400 * 10**9,
        gpu_memory_gb_per_second=RTX_4090_GB_PER_SECOND,
        host=host_link("pcie-4.0-x16"),
        disk=host_link("nvme-pcie-4.0-x4"),
    )
    embedding = dense.vocab_size * dense.hidden_size
    assert found.host_bytes_per_token == 2 * (70_553_706_496 - embedding) - 20 * 10**9
    assert f"{found.tokens_per_second:.2f}" == "0.26"


def test_an_unknown_link_is_refused_with_the_known_ones():
    with pytest.raises(CatalogError, match=r"unknown host link 'pcie-9'; known are pcie-3.0-x16, "):
        host_link("pcie-9")
    assert [link.name for link in host_links() if not link.source] == []
