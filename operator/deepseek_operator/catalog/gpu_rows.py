"""From ``data/gpus.csv`` (facts with their sources) and ``data/gpu_labels.json`` (our reading of them) to ``Gpu``."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from deepseek_operator.catalog.data_files import read_json, read_text
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.units import GIB, MIB

LABEL_TO_USABLE_GAP_BYTES = int(1.05 * GIB)
"""What an engine sees less than the label states, at most.

Source: the 25 rows of ``gpus.csv`` with both figures; the observed gap is 0.19 to 1.03 GiB.
"""

LINKS_SPANNING_NODE = frozenset(
    {
        "HCCS",
        "Infinity Fabric",
        "Infinity Fabric (7 peers)",
        "NVLink2",
        "NVLink3",
        "NVLink3 (cut)",
        "NVLink4",
        "NVLink4 (cut)",
        "NVLink4 + NVSwitch",
        "NVLink5 + NVSwitch",
        "NVLink5, NVL72 rack domain",
        "NVLink5, NVL72 rack domain (nvidia.com/gpu.clique)",
    }
)
"""Values of ``link_kind`` that join every GPU of a node. Bridges join two or four; the C2C link of GH200 joins a GPU
to its CPU, so it is left out, as is Gaudi's RoCE, of which no source says how a node is wired."""

_GFX = re.compile(r"gfx[0-9a-f]+")
_PLAIN_FORMAT = re.compile(r"([a-z0-9-]+)(?:\(marlin\))?")
_PCIE = re.compile(r"Gen([345]) x16")
_MIG_PROFILE = re.compile(r"\d+g\.\d+gb[a-z0-9.+-]*")
_SEPARATOR_OUTSIDE_PARENTHESES = re.compile(r";(?![^(]*\))")


@dataclass(frozen=True, kw_only=True)
class LabelTables:
    """Our own reading of the label facts, one table per question.

    Args:
        aliases: further label values of a catalogue id that mean exactly the same product.
        gke_accelerators: value of ``cloud.google.com/gke-accelerator`` to id.
        amd_device_ids: value of ``amd.com/gpu.device-id`` to id.
        not_a_product: product labels that must not match, with the reason.
        devices_per_package: ids whose row describes a package of several schedulable devices.
        gpus_per_node: ids whose ``gpus_per_node`` column is prose.
        formats: ids whose ``vllm_quant`` column is prose.
        formats_unknown: ids for which upstream vLLM runs nothing that we know of.
    """

    aliases: Mapping[str, tuple[str, ...]]
    gke_accelerators: Mapping[str, str]
    amd_device_ids: Mapping[str, str]
    not_a_product: Mapping[str, str]
    devices_per_package: Mapping[str, int]
    gpus_per_node: Mapping[str, int]
    formats: Mapping[str, tuple[str, ...]]
    formats_unknown: frozenset[str]


@functools.cache
def label_tables() -> LabelTables:
    """Return the tables of ``gpu_labels.json``."""
    tables = read_json("gpu_labels.json")
    unknown = tables["formats_unknown"]
    return LabelTables(
        aliases=_lists(tables, "aliases"),
        gke_accelerators=_strings(tables, "gke_accelerators"),
        amd_device_ids=_strings(tables, "amd_device_ids"),
        not_a_product=_strings(tables, "not_a_product"),
        devices_per_package=_integers(tables, "devices_per_package"),
        gpus_per_node=_integers(tables, "gpus_per_node"),
        formats=_lists(tables, "formats"),
        formats_unknown=frozenset(unknown) if isinstance(unknown, list) else frozenset(),
    )


def parse_gpus() -> Iterable[Gpu]:
    """Yield every row of the table, in file order."""
    for row in csv.DictReader(io.StringIO(read_text("gpus.csv"))):
        yield _gpu(row)


def usable_bytes_from_label(label_mib: int) -> int:
    """Return the memory that an engine can count on when only the node label is known.

    Args:
        label_mib: memory that the label states, in MiB.

    >>> usable_bytes_from_label(81559) / GIB < 79.1  # H100: engines report 79.10 to 79.25 GiB
    True
    """
    return max(0, label_mib * MIB - LABEL_TO_USABLE_GAP_BYTES)


def _gpu(row: Mapping[str, str]) -> Gpu:
    tables = label_tables()
    gpu_id = row["id"]
    devices = tables.devices_per_package.get(gpu_id, 1)
    label_mib = _memory_label_mib(row["memory_label_mib"])
    usable_bytes = int(float(row["torch_total_gib_min"]) * GIB) if row["torch_total_gib_min"] else None
    derived = []
    if usable_bytes is None and label_mib is not None:
        usable_bytes = usable_bytes_from_label(label_mib)
        derived.append("usable_memory_bytes(derived from the label)")
    if devices > 1:
        derived.append(f"speeds(a package's figures divided by its {devices} devices)")
    link_speed = _number(row["link_gbs_total_bidir"], devices)
    return Gpu(
        id=gpu_id,
        vendor=row["vendor"],
        product=row["product"],
        k8s_resource=row["k8s_resource"].split(" ", 1)[0],
        label_key=row["label_key"] or None,
        label_value=row["label_value"] if row["label_value"] and "|" not in row["label_value"] else None,
        label_variants=tables.aliases.get(gpu_id, ()),
        memory_label_mib=label_mib,
        usable_memory_bytes=usable_bytes,
        compute_capability=_compute_capability(row["compute_capability"]),
        memory_bandwidth_gb_per_second=_number(row["mem_bw_gbs"], devices),
        bf16_tflops=_number(row["bf16_tflops"], devices),
        fp16_tflops=_number(row["fp16_tflops"], devices),
        fp8_tflops=_number(row["fp8_tflops"], devices),
        int8_tops=_number(row["int8_tops"], devices),
        fp4_tflops=_number(row["fp4_tflops"], devices),
        link_kind=row["link_kind"],
        link_gb_per_second=link_speed,
        link_spans_node=row["link_kind"] in LINKS_SPANNING_NODE,
        gpus_per_node=_gpus_per_node(gpu_id, row["gpus_per_node"]),
        mig_profiles=tuple(_MIG_PROFILE.findall(re.sub(r"\([^)]*\)", "", row["mig_profiles"]))),
        formats=_formats(gpu_id, row["vllm_quant"]),
        unified_memory=row["unified_memory"] == "y",
        tdp_watts=int(row["tdp_w"]) if row["tdp_w"] else None,
        price_per_hour_usd=Decimal(row["price_od_min"]) if row["price_od_min"] else None,
        price_spot_per_hour_usd=Decimal(row["price_spot_min"]) if row["price_spot_min"] else None,
        price_as_of=row["price_asof"],
        price_source=row["price_source"],
        unsourced_fields=(
            *(part.strip() for part in _SEPARATOR_OUTSIDE_PARENTHESES.split(row["unsourced_fields"]) if part),
            *derived,
        ),
        notes=row["notes"],
        gfx_target=row["compute_capability"] if _GFX.fullmatch(row["compute_capability"]) else "",
        host_link=_host_link(row["pcie"]),
    )


def _host_link(text: str) -> str:
    """Return a slot such as ``Gen4 x16`` by its name in ``host_links.json``; empty for what is not as plain."""
    match = _PCIE.fullmatch(text)
    return f"pcie-{match.group(1)}.0-x16" if match else ""


def _memory_label_mib(text: str) -> int | None:
    """Return a label's memory in MiB; AMD's label is text such as ``192G`` (whole GiB)."""
    if not text:
        return None
    return int(text.removesuffix("G")) * 1024 if text.endswith("G") else int(text)


def _compute_capability(text: str) -> tuple[int, int] | None:
    if not text or _GFX.fullmatch(text):
        return None
    major, minor = text.split(".")
    return int(major), int(minor)


def _number(text: str, devices: int) -> float | None:
    """Return a figure of one schedulable device; None when unknown (empty) or not native (``none``)."""
    return None if text in ("", "none") else float(text) / devices


def _gpus_per_node(gpu_id: str, text: str) -> int | None:
    """Return the upper end of a range such as ``4-8``."""
    curated = label_tables().gpus_per_node.get(gpu_id)
    if curated is not None:
        return curated
    return int(text.rsplit("-", 1)[-1]) if text else None


def _formats(gpu_id: str, text: str) -> frozenset[str]:
    """Return the weight formats; a GPU that runs bf16 runs fp16 too."""
    tables = label_tables()
    if gpu_id in tables.formats_unknown:
        return frozenset()
    formats = set(tables.formats.get(gpu_id, ()))
    if not formats:
        for token in text.split(";"):
            match = _PLAIN_FORMAT.fullmatch(token)
            if match is None:
                raise ValueError(f"gpus.csv, row {gpu_id}: vllm_quant holds prose, list it in gpu_labels.json")
            formats.add(match.group(1))
    return frozenset(formats | ({"fp16"} if "bf16" in formats else set()))


def _strings(tables: Mapping[str, object], name: str) -> dict[str, str]:
    table = tables[name]
    return {str(key): str(value) for key, value in table.items()} if isinstance(table, dict) else {}


def _integers(tables: Mapping[str, object], name: str) -> dict[str, int]:
    table = tables[name]
    return {str(key): int(value) for key, value in table.items()} if isinstance(table, dict) else {}


def _lists(tables: Mapping[str, object], name: str) -> dict[str, tuple[str, ...]]:
    table = tables[name]
    if not isinstance(table, dict):
        return {}
    return {str(key): tuple(str(item) for item in value) for key, value in table.items()}
