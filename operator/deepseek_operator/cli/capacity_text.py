"""The capacity answer as people read it: GPUs by product, who has room, what is stranded, what to buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deepseek_operator.capacity.gpu_states import GPU_STATES
from deepseek_operator.capacity.purchases import plan_words
from deepseek_operator.units import not_fitting

PRODUCT_COLUMNS = ("GPU", "Nodes", "GPUs", "Used", "Free", "Unusable", "Shared", "Unhealthy", "USD/hour")
PLACED_COLUMNS = ("Deployment", "GPU", "GPUs/replica", "Replicas", "Running", "Fit now", "Fit if packed", "More fit")
TEXT_COLUMNS = frozenset(
    {"GPU", "Deployment", "Buy", "Plan", "Price of", "Namespace", "Priority class", "Quota", "Over quota", "Job"}
)
PROMISED_COLUMNS = ("Used", "Promised", "At most")
"""Held now; of our deployments at their most replicas; of everybody then."""

JOB_COLUMNS = ("Job", "Mode", "GPUs", "Nodes", "Preemptible", "Copies", "Fit now")
BUY_COLUMNS = ("Deployment", "Buy", "Nodes", "Replicas", "Plan", "USD/hour", "USD/month", "Price of")


def print_capacity(console: Console, found: Mapping[str, Any], *, quotas: bool = False) -> None:
    """Print the answer of `capacity.report.capacity_report`, and who was promised how many GPUs where that is asked."""
    products = [
        (row["gpu"], row["nodes"], row["total"], *(row[state] for state in GPU_STATES), row["costPerHourUsd"])
        for row in found["gpus"]
    ]
    print_table(console, "GPUs of the cluster", PRODUCT_COLUMNS, products)
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
    print_table(console, "Deployments", PLACED_COLUMNS, placed)
    jobs = [
        (
            row["name"],
            row["mode"],
            f"{row['gpusPerCopy']} x {row['gpu']}",
            row["nodesPerCopy"],
            "yes" if row["preemptible"] else "no",
            row["copies"],
            row["fitNow"],
        )
        for row in found["jobs"]
    ]
    print_table(console, "Training jobs beside serving", JOB_COLUMNS, jobs)
    for row in found["unplaced"]:
        missing = not_fitting(row["replicas"]) if row["replicas"] else "no plan"
        console.print(f"{escape(row['name'])}: {missing}: {escape(row['reason'])}")
    for row in found["stranded"]:
        console.print(f"stranded: {row['gpus']} {row['gpu']} on {escape(row['node'])}: {escape(row['reason'])}")
    print_moves(console, found["moves"])
    if quotas:
        print_quotas(console, found["quotas"])
    suggestions = [
        (
            row["name"],
            f"{row['provider']} {row['instance']}",
            row["nodes"],
            row["replicas"],
            plan_words(row),
            row["costPerHourUsd"],
            f"{Decimal(row['costPerMonthUsd']):,}",
            row["priceAsOf"],
        )
        for row in found["suggestions"]
    ]
    print_table(console, "What would hold it", BUY_COLUMNS, suggestions)


def _gpus(row: Mapping[str, Any]) -> str:
    nodes = row["nodesPerReplica"]
    return f"{row['gpusPerReplica']} on {nodes} nodes" if nodes > 1 else str(row["gpusPerReplica"])


def print_table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table with a title; nothing where there are no rows."""
    if not rows:
        return
    console.print(f"[bold]{title}[/bold]")
    table = Table(box=None, pad_edge=False)
    for column in columns:
        is_text = column in (
            "GPU",
            "Deployment",
            "Buy",
            "Plan",
            "Price of",
            "Namespace",
            "Priority class",
            "Quota",
            "Over quota",
        )
        table.add_column(column, justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*("-" if cell is None else escape(str(cell)) for cell in row))
    console.print(table)


def print_moves(console: Console, moves: Mapping[str, Any]) -> None:
    """Print which replicas to move, in which order, and who then has room."""
    if not moves["makeRoomFor"]:
        return
    room = ", ".join(f"{row['name']} ({row['replicas']})" for row in moves["makeRoomFor"])
    fewest = "the fewest moves" if moves["proven"] else "moves, perhaps not the fewest,"
    console.print(f"[bold]{fewest[0].upper()}{fewest[1:]} that make room for {escape(room)}[/bold]")
    for number, row in enumerate(moves["steps"], start=1):
        first = " (stop it first: its place is free only then)" if row["stopFirst"] else ""
        pod = escape(f"{row['namespace']}/{row['pod']}")
        console.print(f"{number}. {pod}: {row['gpus']} GPUs from {escape(row['from'])} to {escape(row['to'])}{first}")
    if not moves["steps"]:
        console.print("none: there is room")


def print_what_is_missing(
    console: Console, found: Mapping[str, Any], free: Sequence[str], *, suggest: bool, any_deployments: bool
) -> None:
    """Print one line for everything that was asked for and of which the answer holds nothing.

    Args:
        console: where to print.
        found: the answer.
        free: ``GPU=N`` as they were given.
        suggest: whether moves and purchases were asked for.
        any_deployments: whether there were deployments that could move.
    """
    given = "" if any_deployments else "; give the deployments that may move with -f"
    room = {row["name"] for row in found["moves"]["makeRoomFor"]}
    for text in free:
        product, _, count = text.partition("=")
        if f"{int(count)} free {product}" not in room:
            console.print(f"no moves free {int(count)} {escape(product)} on one node{given}")
    if not suggest:
        return
    if not found["unplaced"]:
        console.print("everything fits now; nothing to move or to buy")
    answered = room | {row["name"] for row in (*found["suggestions"], *found["jobs"])}
    for row in found["unplaced"]:
        if row["name"] not in answered:
            console.print(
                f"{escape(row['name'])}: no moves make room for it, and nothing in the catalogue would hold it"
            )


def print_quotas(console: Console, quotas: Mapping[str, Any]) -> None:
    """Print used, promised and over-committed GPUs by namespace, priority class and product."""
    spaces = [
        (
            row["namespace"],
            row["usedGpus"],
            row["promisedGpus"],
            row["worstCaseGpus"],
            ", ".join(f"{limit} {resource}" for resource, limit in row["limits"].items()) or None,
            "; ".join(row["overLimit"]) or None,
        )
        for row in quotas["namespaces"]
    ]
    print_table(console, "GPUs by namespace", ("Namespace", *PROMISED_COLUMNS, "Quota", "Over quota"), spaces)
    classes = [
        (
            row["priorityClass"],
            row["value"],
            row["usedGpus"],
            row["promisedGpus"],
            row["worstCaseGpus"],
            row["shortGpus"],
        )
        for row in quotas["priorities"]
    ]
    columns = ("Priority class", "Value", *PROMISED_COLUMNS, "Short")
    print_table(console, "GPUs by priority, and who is short when everybody scales to the maximum", columns, classes)
    products = [
        (row["gpu"], row["totalGpus"], row["usedGpus"], row["worstCaseGpus"], row["overCommittedGpus"])
        for row in quotas["products"]
    ]
    print_table(console, "GPUs by product", ("GPU", "GPUs", "Used", "At most", "Over-committed"), products)
