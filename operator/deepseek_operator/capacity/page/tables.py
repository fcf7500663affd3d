"""The tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from deepseek_operator.capacity.gpu_states import GPU_STATES
from deepseek_operator.capacity.purchases import plan_words
from deepseek_operator.units import not_fitting

Row = Mapping[str, Any]


def products(rows: Sequence[Row]) -> str:
    """Return the GPUs by product."""
    head = ("GPU", "Nodes", "GPUs", *(state.capitalize() for state in GPU_STATES), "USD/hour")
    keys = ("gpu", "nodes", "total", *GPU_STATES, "costPerHourUsd")
    return _table("GPUs by product", "products", head, [[row[key] for key in keys] for row in rows], texts=1)


def deployments(rows: Sequence[Row], colour: Mapping[str, str]) -> str:
    """Return who was asked about, and the two verdicts."""
    head = ("Deployment", "Runs on", "Replicas", "Running", "Fit now", "Fit if packed", "More fit", "USD/hour")
    body = [
        [
            f"{row['namespace']}/{row['name']}",
            f"{row['gpusPerReplica']} x {row['gpu']}"
            + (f" on {row['nodesPerReplica']} nodes" if row["nodesPerReplica"] > 1 else ""),
            *(row[key] for key in ("replicas", "running", "fitsNow", "fitsIfPacked", "moreFit", "costPerHourUsd")),
        ]
        for row in rows
    ]
    marks = [colour.get(str(line[0]), "transparent") for line in body]
    return _table("Deployments", "deployments", head, body, texts=2, marks=marks)


def missing(rows: Sequence[Row]) -> str:
    """Return what does not fit, and why."""
    lines = [
        f"<p class='no' data-unplaced='{escape(row['name'])}'><b>{escape(row['name'])}</b>: "
        + (not_fitting(row["replicas"]) if row["replicas"] else "no plan")
        + f": {escape(row['reason'])}</p>"
        for row in rows
    ]
    return "\n".join(lines) + ("\n" if lines else "")


def stranded(rows: Sequence[Row]) -> str:
    """Return the free GPUs that nobody can use, and why."""
    body = [[row["node"], row["gpu"], row["reason"], row["gpus"]] for row in rows]
    return _table("Stranded GPUs", "stranded", ("Node", "GPU", "Why", "GPUs"), body, texts=3)


def purchases(rows: Sequence[Row]) -> str:
    """Return what would hold what does not fit."""
    head = ("For", "Buy", "Plan", "Price of", "Nodes", "Replicas", "USD/hour", "USD/month")
    body = [
        [
            row["name"],
            f"{row['provider']} {row['instance']}",
            plan_words(row),
            row["priceAsOf"],
            *(row[key] for key in ("nodes", "replicas", "costPerHourUsd", "costPerMonthUsd")),
        ]
        for row in rows
    ]
    return _table("What would hold it", "purchases", head, body, texts=4)


def _table(
    title: str,
    key: str,
    head: Sequence[str],
    body: Sequence[Sequence[object]],
    *,
    texts: int,
    marks: Sequence[str] = (),
) -> str:
    """Return a table, nothing without rows; the first ``texts`` columns are texts, the others numbers."""
    if not body:
        return ""
    titles = "".join(_cell("th", place, texts, cell) for place, cell in enumerate(head))
    rows = "".join(
        f"<tr{_mark(marks, line)}>"
        + "".join(_cell("td", place, texts, cell) for place, cell in enumerate(row))
        + "</tr>\n"
        for line, row in enumerate(body)
    )
    return f'<h2>{title}</h2>\n<table data-table="{key}"><tr>{titles}</tr>\n{rows}</table>\n'


def _mark(marks: Sequence[str], line: int) -> str:
    return f' style="box-shadow:inset 4px 0 {marks[line]}"' if marks else ""


def _cell(tag: str, place: int, texts: int, value: object) -> str:
    kind = "" if place < texts else ' class="n"'
    text = "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return f"<{tag}{kind}>{escape(text)}</{tag}>"
