from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest

from deepseek_operator.catalog import gpus
from deepseek_operator.catalog.data_files import read_text
from deepseek_operator.catalog.gpu_rows import label_tables, usable_bytes_from_label
from deepseek_operator.catalog.host_links import host_links
from deepseek_operator.errors import UnknownGpuError
from deepseek_operator.units import GIB

ROWS = {row["id"]: row for row in csv.DictReader(io.StringIO(read_text("gpus.csv")))}


@pytest.mark.parametrize("gpu_id", sorted(ROWS))
def test_every_row_parses(gpu_id: str):
    row = gpus.gpu(gpu_id)
    print(row)
    assert (row.id, row.vendor) == (gpu_id, ROWS[gpu_id]["vendor"])
    assert row.usable_memory_bytes is None or row.usable_memory_bytes > 10 * GIB
    assert all("(" not in name and " " not in name for name in row.formats)


def test_the_table_is_sorted_and_complete():
    assert [row.id for row in gpus.gpus()] == sorted(ROWS)
    assert len(ROWS) == 53


def test_h100_as_a_whole():
    row = gpus.gpu("h100-sxm5-80gb")
    assert row == gpus.Gpu(
        id="h100-sxm5-80gb",
        vendor="nvidia",
        product=ROWS[row.id]["product"],
        k8s_resource="nvidia.com/gpu",
        label_key="nvidia.com/gpu.product",
        label_value="NVIDIA-H100-80GB-HBM3",
        label_variants=(),
        memory_label_mib=81559,
        usable_memory_bytes=int(79.1 * GIB),
        compute_capability=(9, 0),
        memory_bandwidth_gb_per_second=3350.0,
        bf16_tflops=989.0,
        fp16_tflops=989.0,
        fp8_tflops=1979.0,
        int8_tops=1979.0,
        fp4_tflops=None,
        link_kind="NVLink4 + NVSwitch",
        link_gb_per_second=900.0,
        link_spans_node=True,
        gpus_per_node=8,
        mig_profiles=("1g.10gb", "1g.10gb+me", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"),
        formats=frozenset(
            {
                "bf16",
                "fp16",
                "awq",
                "gptq",
                "int8-w8a8",
                "fp8-w8a16",
                "nvfp4-w4a16",
                "mxfp4-w4a16",
                "fp8-w8a8",
                "fp8-block-deepgemm",
                "w4a8-fp8",
            }
        ),
        unified_memory=False,
        tdp_watts=700,
        price_per_hour_usd=Decimal("1.99"),
        price_spot_per_hour_usd=Decimal("0.8"),
        price_as_of="2026-03..2026-07",
        price_source=ROWS[row.id]["price_source"],
        unsourced_fields=(),
        notes="",
        host_link="pcie-5.0-x16",
    )


def test_memory_derived_from_a_label_is_never_above_what_engines_were_seen_to_report():
    compared = 0
    for row in ROWS.values():
        independent = row["label_value"] != "Orin"  # its label was itself taken from the engine's total
        if row["vendor"] == "nvidia" and independent and row["memory_label_mib"] and row["torch_total_gib_min"]:
            compared += 1
            reported_bytes = float(row["torch_total_gib_min"]) * GIB
            derived_bytes = usable_bytes_from_label(int(row["memory_label_mib"]))
            assert 0 <= reported_bytes - derived_bytes < 0.9 * GIB, row["id"]
    assert compared >= 25


@pytest.mark.parametrize(
    ("gpu_id", "usable_gib", "derived"),
    [
        pytest.param("h200-sxm", 139.8, False, id="the smallest total seen"),
        pytest.param("l20", 46068 / 1024 - 1.05, True, id="derived from the label where no log was seen"),
        pytest.param("mi325x", 256 - 1.05, True, id="AMD's label is whole GiB"),
        pytest.param("gb10", 119.7, False, id="unified memory has no label"),
    ],
)
def test_usable_memory(gpu_id: str, usable_gib: float, derived: bool):
    row = gpus.gpu(gpu_id)
    assert row.usable_memory_bytes is not None
    assert abs(row.usable_memory_bytes - usable_gib * GIB) <= 1
    assert any("derived from the label" in field for field in row.unsourced_fields) is derived


def test_memory_is_unknown_where_nothing_tells_it():
    unknown = {row.id for row in gpus.gpus() if row.usable_memory_bytes is None}
    assert unknown == {"gaudi2", "gaudi3", "h100-64gb", "jetson-agx-orin-64gb", "l20y-80gb"}


def test_only_fabrics_that_join_every_gpu_span_a_node():
    assert {row.id for row in gpus.gpus() if row.link_spans_node} == {
        "a100-sxm4-40gb",
        "a100-sxm4-80gb",
        "a800-sxm4-80gb",
        "ascend-910b",
        "ascend-910c",
        "b200",
        "b300",
        "gb200",
        "gb300",
        "h100-sxm5-80gb",
        "h20-3e-141gb",
        "h20-96gb",
        "h200-sxm",
        "h800-sxm",
        "l20y-80gb",
        "mi250x",
        "mi300x",
        "mi325x",
        "mi350x",
        "mi355x",
        "v100-sxm2-16gb",
        "v100-sxm2-32gb",
    }


def test_a_package_of_two_devices_is_described_per_device():
    row = gpus.gpu("mi250x")
    assert (row.memory_bandwidth_gb_per_second, row.bf16_tflops, row.link_gb_per_second) == (1600.0, 191.5, 400.0)
    assert (row.memory_label_mib, row.gpus_per_node) == (64 * 1024, 16)
    assert "speeds(a package's figures divided by its 2 devices)" in row.unsourced_fields


def test_hand_written_tables_name_only_products_that_exist():
    tables = label_tables()
    named = (
        set(tables.aliases)
        | set(tables.gke_accelerators.values())
        | set(tables.amd_device_ids.values())
        | set(tables.devices_per_package)
        | set(tables.gpus_per_node)
        | set(tables.formats)
        | tables.formats_unknown
    )
    assert named <= set(ROWS)


@pytest.mark.parametrize(
    ("gpu_id", "said"),
    [
        pytest.param("H100", "h100-nvl-94gb, h100-pcie-80gb, h100-sxm5-80gb", id="a family names its members"),
        pytest.param("h100-sxm", "h100-sxm5-80gb", id="a shortened id"),
        pytest.param("a100-sxm-80gb", "a100-sxm4-80gb", id="a misspelt id"),
        pytest.param("NVIDIA-H100-80GB-HBM3", "catalog gpus", id="a label is no id"),
        pytest.param("", "catalog gpus", id="empty"),
    ],
)
def test_an_unknown_id_is_refused_with_what_is_near(gpu_id: str, said: str):
    with pytest.raises(UnknownGpuError, match=said):
        gpus.gpu(gpu_id)


def test_sparse_attention_has_no_backend_on_ampere_and_ada():
    without = {row.id for row in gpus.gpus() if not gpus.runs_sparse_attention(row)}
    assert {"a100-sxm4-80gb", "l40s", "rtx-4090", "t4", "mi250x", "gaudi3"} <= without
    assert not {"h100-sxm5-80gb", "b300", "rtx-pro-6000-server", "mi300x", "mi355x"} & without


def test_a_plain_slot_is_a_known_host_link_and_others_are_left_out():
    by_slot = {ROWS[row.id]["pcie"]: row.host_link for row in gpus.gpus() if row.id in ROWS}
    assert by_slot == {
        "": "",
        "Gen3 x16": "pcie-3.0-x16",
        "Gen4 x16": "pcie-4.0-x16",
        "Gen4 x16 shared by 4": "",
        "Gen5 x16": "pcie-5.0-x16",
        "Gen5 x16 (AIC)": "",
        "Gen5 x16 (BWDS) / Gen6 (AIC)": "",
        "Gen5/Gen4": "",
        "Gen6 x16": "",
    }
    assert {name for name in by_slot.values() if name} <= {link.name for link in host_links()}
