from __future__ import annotations

import pytest

from deepseek_operator.catalog.gpu_labels import GpuMatch, GpuSharing, match_label
from deepseek_operator.catalog.gpu_rows import usable_bytes_from_label
from deepseek_operator.catalog.gpus import gpu, gpus
from deepseek_operator.units import GIB


def nvidia(product: str, **labels: str) -> dict[str, str]:
    return {"nvidia.com/gpu.product": product} | {
        f"nvidia.com/gpu.{key.replace('_', '.')}": value for key, value in labels.items()
    }


def name(match: GpuMatch) -> str | None:
    return match.gpu.id if match.gpu else None


def test_a_node_of_eight_h100_as_a_whole():
    labels = nvidia(
        "NVIDIA-H100-80GB-HBM3", memory="81559", count="8", replicas="1", compute_major="9", compute_minor="0"
    )
    assert match_label(labels) == GpuMatch(
        gpu=gpu("h100-sxm5-80gb"),
        sharing=GpuSharing.WHOLE,
        usable_memory_bytes=int(79.1 * GIB),
        gpu_count=8,
        warnings=(),
    )


@pytest.mark.parametrize(
    "gpu_id",
    [row.id for row in gpus() if row.vendor == "nvidia" and not row.id.startswith("jetson")],
)
def test_every_nvidia_product_is_found_by_its_own_label(gpu_id: str):
    row = gpu(gpu_id)
    for value in (row.label_value, *row.label_variants):
        assert value is not None
        assert name(match_label(nvidia(value))) == gpu_id


@pytest.mark.parametrize(
    ("product", "want"),
    [
        pytest.param("A100-SXM4-80GB", "a100-sxm4-80gb", id="drivers before 470 had no vendor prefix"),
        pytest.param("NVIDIA-A100-SXM-80GB", "a100-sxm4-80gb", id="an old driver's name"),
        pytest.param("GeForce-RTX-3090", "rtx-3090", id="a GeForce of an old driver"),
        pytest.param("NVIDIA-GH200-120GB", "gh200-96gb", id="the same GPU beside another CPU memory"),
        pytest.param("GH200-120GB", "gh200-96gb", id="an alias without prefix"),
        pytest.param("NVIDIA-A100-PCIE-40GB", "a100-pcie-40gb", id="the real PCIE label is the 40 GB board"),
        pytest.param("NVIDIA-H100", "h100-64gb", id="bare H100 is another board"),
    ],
)
def test_variants_of_the_same_product(product: str, want: str):
    assert name(match_label(nvidia(product))) == want


@pytest.mark.parametrize(
    "product",
    [
        "NVIDIA-H100-SXM5-80GB",
        "H100-SXM5-80GB",
        "NVIDIA-H100-SXM5-94GB",
        "NVIDIA-A100-PCIE-80GB",
        "NVIDIA-H200-141GB-HBM3",
        "NVIDIA-H200-SXM",
        "NVIDIA-H200-SXM5-141GB",
        "NVIDIA-L40-40GB",
        "Tesla-A100-80G",
        "Tesla-A100-SXM4-80GB",
        "NVIDIA-T4-16GB",
        "NVIDIA-V100-SXM2-16GB",
        "TESLA-T4",
        "A100",
        "NVIDIA-A100",
    ],
)
@pytest.mark.parametrize("suffix", ["", "-SHARED", "-MIG-1g.10gb"])
def test_an_invented_label_matches_nothing_and_says_why(product: str, suffix: str):
    match = match_label(nvidia(product + suffix, memory="81920"))
    assert match.gpu is None
    assert match.usable_memory_bytes == usable_bytes_from_label(81920)
    assert product in match.warnings[0]


@pytest.mark.parametrize(
    "product",
    [
        "NVIDIA-GeForce-RTX-4090-D",
        "NVIDIA-GeForce-RTX-5090-D",
        "NVIDIA-RTX-PRO-6000-Blackwell-Workstation-Edition",
        "NVIDIA-RTX-PRO-6000-Blackwell-Max-Q-Workstation-Edition",
        "NVIDIA-RTX-6000D",
        "NVIDIA-T4G",
        "NVIDIA-A10M",
        "NVIDIA-L40G",
        "NVIDIA-A100-SXM-64GB",
        "NVIDIA-A800-80GB-PCIe",
        "NVIDIA-H800-PCIe",
        "NVIDIA-H20-NVL16",
        "NVIDIA-GB300-WS",
        "NVIDIA-GB300-NVL",
        "NVIDIA-Graphics-Device",
        "NVIDIA-Thor",
        "Tesla-V100-PCIE-32GB",
        "Tesla-V100-SXM3-32GB",
        "NVIDIA-PG509-210",
        "nvidia-h200",
        "NVIDIA-H200 ",
        "",
    ],
)
def test_a_product_that_only_resembles_a_row_matches_nothing(product: str):
    match = match_label(nvidia(product, memory="143771"))
    assert (match.gpu, match.usable_memory_bytes) == (None, usable_bytes_from_label(143771))
    assert len(match.warnings) == 1


@pytest.mark.parametrize(
    ("labels", "sharing"),
    [
        pytest.param(nvidia("NVIDIA-L4-SHARED"), GpuSharing.SHARED, id="the plugin's own suffix"),
        pytest.param(nvidia("NVIDIA-L4", replicas="4"), GpuSharing.SHARED, id="replicas without the suffix"),
        pytest.param(nvidia("NVIDIA-L4", replicas="1"), GpuSharing.WHOLE, id="one replica is the whole GPU"),
    ],
)
def test_time_slicing(labels: dict[str, str], sharing: GpuSharing):
    match = match_label(labels)
    assert (name(match), match.sharing) == ("l4", sharing)


@pytest.mark.parametrize(
    "product",
    ["NVIDIA-A100-80GB-PCIe-MIG-3g.40gb", "NVIDIA-A100-80GB-PCIe-MIG-3g.40gb-SHARED"],
)
def test_a_mig_slice_is_told_from_a_whole_gpu_and_has_the_slices_memory(product: str):
    match = match_label(nvidia(product, memory="40192", count="2"))
    assert match == GpuMatch(
        gpu=gpu("a100-pcie-80gb"),
        sharing=GpuSharing.MIG,
        usable_memory_bytes=usable_bytes_from_label(40192),
        gpu_count=2,
        warnings=(),
    )


def test_a_broken_mig_layout_has_no_memory():
    match = match_label(nvidia("NVIDIA-A100-SXM4-40GB-MIG-INVALID", count="0"))
    assert (match.sharing, match.usable_memory_bytes, match.gpu_count) == (GpuSharing.MIG, None, 0)


@pytest.mark.parametrize(
    ("product", "label_mib", "usable_bytes", "warned"),
    [
        pytest.param("Tesla-T4", "15109", int(14.74 * GIB), False, id="an old driver is within tolerance"),
        pytest.param("NVIDIA-H100-80GB-HBM3", "84005", int(79.1 * GIB), False, id="just within 3 percent above"),
        pytest.param("NVIDIA-H100-80GB-HBM3", "84006", usable_bytes_from_label(84006), True, id="just beyond"),
        pytest.param("NVIDIA-H100-80GB-HBM3", "79113", 79113 * 2**20, False, id="never more than the label"),
        pytest.param("NVIDIA-RTX-A6000", "46068", usable_bytes_from_label(46068), True, id="ECC switched on"),
        pytest.param("NVIDIA-H100-80GB-HBM3", "0", 0, True, id="zero memory"),
        pytest.param("NVIDIA-L20Y", "81559", usable_bytes_from_label(81559), False, id="the row has no figure"),
    ],
)
def test_memory_of_the_label_against_the_row(product: str, label_mib: str, usable_bytes: int, warned: bool):
    match = match_label(nvidia(product, memory=label_mib))
    assert (match.usable_memory_bytes, bool(match.warnings)) == (usable_bytes, warned)
    assert match.gpu is not None


@pytest.mark.parametrize("text", ["81559Mi", "-1", "8.5", "٤", "9" * 4000, ""])
def test_an_unreadable_number_is_a_warning_and_not_an_error(text: str):
    match = match_label(nvidia("NVIDIA-H100-80GB-HBM3", memory=text))
    assert match.usable_memory_bytes == int(79.1 * GIB)
    assert "nvidia.com/gpu.memory" in match.warnings[0]
    assert len(match.warnings[0]) < 200


def test_the_compute_capability_overrules_the_name():
    match = match_label(nvidia("NVIDIA-H200", memory="143771", compute_major="8", compute_minor="9"))
    assert (match.gpu, match.usable_memory_bytes) == (None, usable_bytes_from_label(143771))
    assert "8.9" in match.warnings[0]
    assert "h200-sxm has 9.0" in match.warnings[0]


def test_orin_is_every_size_of_orin():
    match = match_label(nvidia("Orin", memory="30697"))
    assert match.gpu is None
    assert "jetson-agx-orin-32gb and jetson-agx-orin-64gb" in match.warnings[0]


def test_a_vgpu_is_a_fraction_of_a_gpu():
    match = match_label(nvidia("NVIDIA-A10-4Q", memory="4096"))
    assert (match.gpu, match.sharing) == (None, GpuSharing.SHARED)
    assert "vGPU" in match.warnings[0]


def test_unified_memory_is_planned_from_the_node():
    match = match_label(nvidia("NVIDIA-GB10"))
    assert (name(match), match.usable_memory_bytes) == ("gb10", int(119.7 * GIB))
    assert "allocatable" in match.warnings[0]


@pytest.mark.parametrize(
    ("labels", "want", "warned"),
    [
        pytest.param({"amd.com/gpu.device-id": "74a1"}, "mi300x", False, id="device id"),
        pytest.param({"amd.com/gpu.device-id": "74B5"}, "mi300x", False, id="device id in capitals"),
        pytest.param({"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}, "mi300x", False, id="name"),
        pytest.param({"amd.com/gpu.product-name": "AMD_Instinct_MI325X"}, "mi325x", False, id="libdrm's name"),
        pytest.param(
            {"amd.com/gpu.device-id": "75a3", "amd.com/gpu.product-name": "something"},
            "mi355x",
            False,
            id="the device id is safer than the name",
        ),
        pytest.param(
            {"amd.com/gpu.device-id": "74a1", "amd.com/gpu.product-name": "AMD_Instinct_MI325X"},
            None,
            True,
            id="a contradiction",
        ),
        pytest.param(
            {"amd.com/gpu.device-id": "ffff", "amd.com/gpu.product-name": "AMD_Instinct_MI325X"},
            None,
            True,
            id="an unknown device is not guessed from its name",
        ),
        pytest.param({"amd.com/gpu.device-id": "740c"}, None, True, id="MI250X or MI250"),
        pytest.param({"amd.com/gpu.product-name": "AMD-MI300X-192G"}, None, True, id="an invented name"),
        pytest.param({"amd.com/gpu.device-id.74a1": "8"}, "mi300x", False, id="a counted label"),
        pytest.param(
            {"amd.com/gpu.device-id.74a1": "4", "amd.com/gpu.device-id.74a5": "4"}, None, True, id="a mixed node"
        ),
    ],
)
def test_amd(labels: dict[str, str], want: str | None, warned: bool):
    match = match_label(labels)
    assert (name(match), bool(match.warnings)) == (want, warned)


@pytest.mark.parametrize(
    ("vram", "usable_bytes", "warned"),
    [
        pytest.param("192G", int(191.98 * GIB), False, id="the whole GPU"),
        pytest.param("24G", usable_bytes_from_label(24 * 1024), True, id="a partition"),
        pytest.param("lots", int(191.98 * GIB), True, id="unreadable"),
    ],
)
def test_amd_memory(vram: str, usable_bytes: int, warned: bool):
    match = match_label({"amd.com/gpu.device-id": "74a1", "amd.com/gpu.vram": vram})
    assert (match.usable_memory_bytes, bool(match.warnings)) == (usable_bytes, warned)


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("nvidia-tesla-t4", "t4"),
        ("nvidia-l4", "l4"),
        ("nvidia-tesla-a100", "a100-sxm4-40gb"),
        ("nvidia-a100-80gb", "a100-sxm4-80gb"),
        ("nvidia-h100-80gb", "h100-sxm5-80gb"),
        ("nvidia-h100-mega-80gb", "h100-sxm5-80gb"),
        ("nvidia-h200-141gb", "h200-sxm"),
        ("nvidia-b200", "b200"),
        ("nvidia-gb200", "gb200"),
        ("nvidia-rtx-pro-6000", "rtx-pro-6000-server"),
        ("nvidia-h100", None),
    ],
)
def test_gke_without_gpu_feature_discovery(value: str, want: str | None):
    match = match_label({"cloud.google.com/gke-accelerator": value})
    assert name(match) == want
    assert bool(match.warnings) is (want is None)


@pytest.mark.parametrize(
    ("key", "value", "sharing", "usable_known"),
    [
        ("cloud.google.com/gke-gpu-partition-size", "1g.10gb", GpuSharing.MIG, False),
        ("cloud.google.com/gke-max-shared-clients-per-gpu", "4", GpuSharing.SHARED, True),
    ],
)
def test_gke_fractions(key: str, value: str, sharing: GpuSharing, usable_known: bool):
    match = match_label({"cloud.google.com/gke-accelerator": "nvidia-h100-80gb", key: value})
    assert (match.sharing, match.usable_memory_bytes is not None) == (sharing, usable_known)


def test_gpu_feature_discovery_wins_over_gke():
    match = match_label(nvidia("NVIDIA-L4") | {"cloud.google.com/gke-accelerator": "nvidia-b200"})
    assert name(match) == "l4"


def test_a_node_without_any_label_says_what_to_install():
    match = match_label({"kubernetes.io/os": "linux"})
    assert (match.gpu, match.usable_memory_bytes, match.gpu_count) == (None, None, None)
    assert "GPU feature discovery" in match.warnings[0]
