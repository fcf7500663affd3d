"""``catalog models|gpus|instances``: the facts that plans are made of, as a table, JSON or YAML."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import typer

from deepseek_operator.catalog import gpus as gpu_catalog
from deepseek_operator.catalog import instances as instance_catalog
from deepseek_operator.catalog import models as model_catalog
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.cli import output
from deepseek_operator.errors import UnsupportedModelError
from deepseek_operator.memory.weights import parameter_counts
from deepseek_operator.units import format_gib

app = typer.Typer(
    help="Show the facts that plans are made of, with their sources.", no_args_is_help=True, add_completion=False
)


Row = Mapping[str, object]

BILLION = 10**9
"""Parameters are counted in billions, as model names do."""


@app.command()
def models(form: output.Output = output.OutputFormat.TABLE) -> None:
    """List the models that are known by name, and whether they can be planned.

    GRADE says how far a row is to be trusted: A (config and checkpoint reproduced exactly), B, C, to D (geometry
    recalled, only the checkpoint's size agrees). JSON and YAML carry the config and where it was read.
    """
    columns = {
        "MODEL": "name",
        "ARCHITECTURE": "architecture",
        "PLANNED": "planned",
        "GRADE": "evidenceGrade",
        "PARAMETERS": "parametersText",
        "STORED AS": "storedPrecision",
        "CONTEXT": "contextTokens",
        "LICENSE": "license",
    }
    _print([_model_row(row) for row in model_catalog.models()], columns, form)


@app.command()
def gpus(form: output.Output = output.OutputFormat.TABLE) -> None:
    """List the GPU products; a figure that is not known is left empty, never guessed."""
    rows = [_gpu_row(row) for row in gpu_catalog.gpus()]
    columns = {
        "GPU": "id",
        "NODE LABEL": "labelValue",
        "USABLE": "usableMemory",
        "GB/s": "memoryBandwidthGbPerSecond",
        "BF16 TFLOPS": "bf16Tflops",
        "FP8 TFLOPS": "fp8Tflops",
        "LINK GB/s": "linkGbPerSecond",
        "USD/h": "pricePerHourUsd",
        "SEEN": "priceAsOf",
    }
    _print(rows, columns, form)


@app.command()
def instances(form: output.Output = output.OutputFormat.TABLE) -> None:
    """List cloud instance types with their GPUs and the cheapest price seen."""
    rows: list[Row] = [
        {
            "provider": row.provider,
            "name": row.name,
            "gpu": row.gpu_id,
            "gpus": row.gpus,
            "vcpus": row.vcpus,
            "hostMemoryGib": row.host_memory_gib,
            "networkGbps": row.network_gbps,
            "architecture": row.architecture,
            "pricePerHourUsd": _text(row.price_per_hour_usd),
            "priceAsOf": row.price_as_of,
            "source": row.source,
            "notes": row.notes,
        }
        for row in instance_catalog.instances()
    ]
    columns = {
        "PROVIDER": "provider",
        "INSTANCE": "name",
        "GPU": "gpu",
        "GPUS": "gpus",
        "VCPUS": "vcpus",
        "HOST GiB": "hostMemoryGib",
        "GBIT/s": "networkGbps",
        "USD/h": "pricePerHourUsd",
        "SEEN": "priceAsOf",
    }
    _print(rows, columns, form)


def _model_row(row: model_catalog.CatalogModel) -> Row:
    try:
        shape = model_catalog.shape(row.name)
    except UnsupportedModelError as error:
        shape, refusal = None, str(error)
    else:
        refusal = ""
    parameters = None if shape is None else sum(parameter_counts(shape).values())
    return {
        "name": row.name,
        "architecture": row.architecture,
        "planned": shape is not None,
        "refusal": refusal,
        "evidenceGrade": row.evidence_grade,
        "parameters": parameters,
        "parametersText": None if parameters is None else f"{parameters / BILLION:.1f} B",
        "storedPrecision": None if shape is None else _stored_as(shape),
        "contextTokens": None if shape is None else shape.max_position_embeddings,
        "license": row.license,
        "provenance": list(row.provenance),
        "notes": list(row.notes),
        "config": dict(row.config),
    }


def _stored_as(shape: ModelShape) -> str:
    in_fp4 = shape.experts is not None and shape.experts.stored_fp4
    return shape.stored_precision.value + (", experts fp4" if in_fp4 else "")


def _gpu_row(row: gpu_catalog.Gpu) -> Row:
    capability = row.compute_capability
    usable_bytes = row.usable_memory_bytes
    return {
        "id": row.id,
        "vendor": row.vendor,
        "product": row.product,
        "resource": row.k8s_resource,
        "labelKey": row.label_key,
        "labelValue": row.label_value,
        "memoryLabelMib": row.memory_label_mib,
        "usableMemoryBytes": usable_bytes,
        "usableMemory": None if usable_bytes is None else format_gib(usable_bytes),
        "computeCapability": f"{capability[0]}.{capability[1]}" if capability else row.gfx_target or None,
        "memoryBandwidthGbPerSecond": row.memory_bandwidth_gb_per_second,
        "bf16Tflops": row.bf16_tflops,
        "fp8Tflops": row.fp8_tflops,
        "linkKind": row.link_kind,
        "linkGbPerSecond": row.link_gb_per_second,
        "linkSpansNode": row.link_spans_node,
        "gpusPerNode": row.gpus_per_node,
        "migProfiles": list(row.mig_profiles),
        "formats": sorted(row.formats),
        "pricePerHourUsd": _text(row.price_per_hour_usd),
        "priceSpotPerHourUsd": _text(row.price_spot_per_hour_usd),
        "priceAsOf": row.price_as_of,
        "priceSource": row.price_source,
        "unsourcedFields": list(row.unsourced_fields),
        "notes": row.notes,
    }


def _print(rows: Sequence[Row], columns: Mapping[str, str], form: output.OutputFormat) -> None:
    if form is not output.OutputFormat.TABLE:
        output.write({"items": [dict(row) for row in rows]}, form)
        return
    cells = [[_cell(row[key]) for key in columns.values()] for row in rows]
    if sys.stdout.isatty():
        _print_for_people(list(columns), cells)
    else:
        _print_aligned([list(columns), *cells])


def _print_for_people(header: list[str], cells: list[list[str]]) -> None:
    from rich.table import Table  # here, because JSON, YAML and pipes do not need it

    table = Table(box=None, header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for line in cells:
        table.add_row(*line)
    output.console(unbroken=True).print(table)


def _print_aligned(lines: list[list[str]]) -> None:
    """Print one line per row, never wrapped, so that grep and awk can read it."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _text(value: object) -> str | None:
    """Return money as a decimal string, as manifests carry it."""
    return None if value is None else str(value)
