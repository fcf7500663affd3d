"""The whole page: what was asked, the figures, the pictures, and the answer itself for tools."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from deepseek_operator.capacity.page.nodes import picture
from deepseek_operator.capacity.page.style import STYLE, colours
from deepseek_operator.capacity.page.tables import deployments, missing, products, purchases, stranded

CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Content-Security-Policy of the page: it loads nothing and runs nothing."""

Report = Mapping[str, Any]


def capacity_page(after: Report, *, before: Report | None = None, question: str = "", as_of: str = "") -> str:
    """Return one HTML page that needs neither a network nor a script.

    The answer is in it once more as JSON, in ``<script type="application/json" id="answer">``, which nothing executes.

    Args:
        after: ``report.capacity_report`` of the cluster as asked.
        before: the same of the cluster as it is, where the question changes it; shown first.
        question: what was asked, in a few words.
        as_of: when the cluster was looked at, as people read it; empty when that is not known.
    """
    names = sorted({_name(row) for report in (after, before or after) for row in report["placed"]} | _ours(after))
    colour = colours(names)
    title = "GPU capacity" + (f": {question}" if question else "")
    sections = [_section("As it is", before, colour), _section("As asked", after, colour)] if before else []
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>\n<style>{STYLE}</style>'
        f"</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + (f'<p class="dim">As of {escape(as_of)}</p>\n' if as_of else "")
        + _legend(colour)
        + ("".join(sections) if before else _section("", after, colour))
        + f'<script type="application/json" id="answer">{_json(after)}</script>\n</body></html>\n'
    )


def _name(row: Report) -> str:
    return f"{row['namespace']}/{row['name']}"


def _ours(report: Report) -> set[str]:
    return {each["by"] for node in report["nodes"] for each in node["held"] if each["ours"]}


def _json(report: Report) -> str:
    """Return JSON that cannot end the element it stands in."""
    return json.dumps(report).replace("<", "\\u003c")


def _section(heading: str, report: Report, colour: Mapping[str, str]) -> str:
    memory = {_name(row): row["memoryPercent"] for row in report["placed"]}
    return (
        f'<section data-section="{escape(heading) or "answer"}">'
        + (f"<h2>{escape(heading)}</h2>\n" if heading else "")
        + _tiles(report)
        + missing(report["unplaced"])
        + deployments(report["placed"], colour)
        + products(report["gpus"])
        + "<h2>Nodes</h2>\n"
        + (picture(report["nodes"], memory, colour) or '<p class="dim">There is no node with GPUs.</p>\n')
        + stranded(report["stranded"])
        + purchases(report["suggestions"])
        + "</section>\n"
    )


def _tiles(report: Report) -> str:
    gpus = report["gpus"]
    costs = [row["costPerHourUsd"] for row in gpus]
    cost = f"{sum(map(float, costs)):,.2f} USD/h" if gpus and None not in costs else "-"
    short = sum(row["replicas"] or 1 for row in report["unplaced"])
    neither = sum(row["total"] - row["used"] - row["free"] for row in gpus)
    tiles: Sequence[tuple[str, str, str]] = (
        ("total", "GPUs", f"{sum(row['total'] for row in gpus):,}"),
        ("used", "used", f"{sum(row['used'] for row in gpus):,}"),
        ("free", "free", f"{sum(row['free'] for row in gpus):,}"),
        ("other", "neither (unusable, shared, unhealthy)", f"{neither:,}"),
        ("stranded", "useless to all asked for", f"{sum(row['gpus'] for row in report['stranded']):,}"),
        ("unplaced", "replicas without room", f"{short:,}"),
        ("cost", "all GPUs", cost),
    )
    inside = "".join(
        f'<div class="tile" data-tile="{key}"><b>{value}</b>{escape(label)}</div>' for key, label, value in tiles
    )
    return f'<div class="tiles">{inside}</div>\n'


def _legend(colour: Mapping[str, str]) -> str:
    kinds = (
        ("free", "free"),
        ("stranded", "stranded"),
        ("foreign", "other workloads"),
        ("shared", "shared GPU"),
        ("unhealthy", "not offered"),
    )
    marks = [
        f'<span><span class="cell" style="--c:{value}"><i style="bottom:0;height:100%"></i></span>{escape(name)}</span>'
        for name, value in colour.items()
    ]
    marks += [f'<span><span class="cell {state}"></span>{label}</span>' for state, label in kinds]
    note = (
        "One cell is one GPU, filled from below by its memory: weights (full colour), KV cache (light), the engine's "
        "own (between). A dashed cell is where a replica would start."
    )
    return f'<div class="legend">{"".join(marks)}</div>\n<p class="dim">{note}</p>\n'
