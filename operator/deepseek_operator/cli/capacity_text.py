"""The capacity answer as people read it: GPUs by product, who has room, what is stranded, what to buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

PRODUCT_COLUMNS = ("GPU", "Nodes", "GPUs", "Used", "Free", "Unusable", "USD/hour")
PLACED_COLUMNS = ("Deployment", "GPU", "GPUs/replica", "Replicas", "Running", "Fit now", "Fit if packed", "More fit")
BUY_COLUMNS = ("Deployment", "Buy", "Nodes", "Replicas", "Plan", "USD/hour", "USD/month", "Price of")


def print_capacity(console: Console, found: Mapping[str, Any]) -> None:
    """Print the answer of `capacity.report.capacity_report`."""
    products = [
        (row["gpu"], row["nodes"], row["total"], row["used"], row["free"], row["unusable"], row["costPerHourUsd"])
        for row in found["gpus"]
    ]
    _print_table(console, "GPUs of the cluster", PRODUCT_COLUMNS, products)
    placed = [
        (
            row["name"],
            row["gpu"],
            _gpus(row),
            row["replicas"],
            row["running"],
            row["fitsNow"],
            row["fitsIfPacked"],
            row["moreFit"],
        )
        for row in found["placed"]
    ]
    _print_table(console, "Deployments", PLACED_COLUMNS, placed)
    for row in found["unplaced"]:
        missing = f"{row['replicas']} replicas do not fit now" if row["replicas"] else "no plan"
        console.print(f"{escape(row['name'])}: {missing}: {escape(row['reason'])}")
    for row in found["stranded"]:
        console.print(f"stranded: {row['gpus']} {row['gpu']} on {escape(row['node'])}: {escape(row['reason'])}")
    suggestions = [
        (
            row["name"],
            f"{row['provider']} {row['instance']}",
            row["nodes"],
            row["replicas"],
            f"{row['gpusPerReplica']} x {row['gpu']}",
            row["costPerHourUsd"],
            row["costPerMonthUsd"],
            row["priceAsOf"],
        )
        for row in found["suggestions"]
    ]
    _print_table(console, "What would hold it", BUY_COLUMNS, suggestions)


def _gpus(row: Mapping[str, Any]) -> str:
    nodes = row["nodesPerReplica"]
    return f"{row['gpusPerReplica']} on {nodes} nodes" if nodes > 1 else str(row["gpusPerReplica"])


def _print_table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if not rows:
        return
    console.print(f"[bold]{title}[/bold]")
    table = Table(box=None, pad_edge=False)
    for column in columns:
        is_text = column in ("GPU", "Deployment", "Buy", "Plan", "Price of")
        table.add_column(column, justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*("-" if cell is None else escape(str(cell)) for cell in row))
    console.print(table)
