"""``status``: all objects in a few columns, with what they cost."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepseek_operator.cli.files import Kubeconfig
from deepseek_operator.cli.objects import Namespace, ObjectFile, live, named, saved
from deepseek_operator.cli.output import Output, OutputFormat, console, write
from deepseek_operator.errors import InventoryError
from deepseek_operator.units import counted, format_usd

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = ("Namespace", "Name", "Model", "GPUs", "Parallel", "Ready", "SLA", "USD/hour", "Reason")


def status(
    name: Annotated[str | None, typer.Argument(help="Of one DeepSeekDeployment. Default: all.")] = None,
    namespace: Namespace = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of every namespace.")] = False,
    filename: ObjectFile = None,
    kubeconfig: Kubeconfig = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show what runs, whether it keeps its service level, and what it costs per hour."""
    if filename is not None:
        objects: list[Mapping[str, Any]] = named(saved(filename), name)
    else:
        from deepseek_operator.cluster import context_namespace

        space = None if all_namespaces else namespace or context_namespace(kubeconfig)
        objects = asyncio.run(live(kubeconfig, space, name))
    try:
        rows = sorted((_row(each) for each in objects), key=lambda row: (row["namespace"], row["name"]))
        total = sum((Decimal(row["costPerHourUsd"]) for row in rows if row["costPerHourUsd"]), Decimal(0))
        ready = format_usd(sum((_ready_cost(each.get("status") or {}) for each in objects), Decimal(0)))
    except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise InventoryError("a status is not as an operator writes it; get the objects anew") from error
    if output is not OutputFormat.TABLE:
        write({"items": rows, "costPerHourUsd": str(total), "readyCostPerHourUsd": ready}, output)
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="right" if column == "USD/hour" else "left")
    for row in rows:
        table.add_row(*(escape(str(value if value is not None else "-")) for value in row.values()))
    screen = console(unbroken=True)
    screen.print(table if rows else "there is no DeepSeekDeployment")
    if rows:
        screen.print(
            f"{counted(len(rows), 'DeepSeekDeployment')}; USD per hour: {total} planned, {ready} for ready replicas"
        )


def _ready_cost(told: Mapping[str, Any]) -> Decimal:
    """Return what the replicas that are ready cost per hour, of which the plan may have more or fewer."""
    plan = told.get("plan") or {}
    if not plan.get("costPerHourUsd"):
        return Decimal(0)
    return Decimal(plan["costPerHourUsd"]) * int(told.get("readyReplicas") or 0) / int(plan["replicas"])


def _row(obj: Mapping[str, Any]) -> dict[str, Any]:
    told = obj.get("status") or {}
    summary = told.get("summary") or {}
    conditions = {each["type"]: each for each in told.get("conditions", ())}
    return {
        "namespace": obj["metadata"].get("namespace", "default"),
        "name": obj["metadata"]["name"],
        "model": ((obj.get("spec") or {}).get("model") or {}).get("name"),
        "gpus": summary.get("gpus"),
        "parallel": summary.get("parallel"),
        "ready": summary.get("ready"),
        "slaMet": conditions.get("SLAMet", {}).get("status"),
        "costPerHourUsd": (told.get("plan") or {}).get("costPerHourUsd"),
        "reason": conditions.get("Ready", {}).get("reason"),
    }
