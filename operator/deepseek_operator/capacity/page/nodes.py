"""The picture of the page: each node a row, each GPU a cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

MOST_ROWS = 400
"""Node rows of one picture; beyond it nodes that look alike become one row, and what is still too much is left out."""

MOST_CELLS_PER_ROW = 64
"""Of one node; no server has more GPUs."""

Row = Mapping[str, Any]


def picture(rows: Sequence[Row], memory: Mapping[str, Mapping[str, int]], colour: Mapping[str, str]) -> str:
    """Return the nodes as HTML, product by product.

    Args:
        rows: ``nodes`` of the report.
        memory: ``memoryPercent`` of the deployments that are planned here, by namespace/name.
        colour: of each deployment, by namespace/name.
    """
    shown = [(row, 1) for row in rows] if len(rows) <= MOST_ROWS else _alike(rows)
    ordered = sorted(shown, key=lambda pair: (pair[0]["gpu"], pair[0]["node"]))
    left_out = len(ordered) - MOST_ROWS
    parts = []
    for product, group in groupby(ordered[:MOST_ROWS], key=lambda pair: str(pair[0]["gpu"])):
        parts.append(f"<h3>{escape(product)}</h3>\n")
        parts += (_node(row, count, memory, colour) for row, count in group)
    if left_out > 0:
        parts.append(f'<p class="dim">{left_out:,} further kinds of nodes are left out here; -o json has all.</p>\n')
    return "".join(parts)


def _alike(rows: Sequence[Row]) -> list[tuple[Row, int]]:
    """Return one node for all that look alike, with how many there are."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        look = {key: value for key, value in row.items() if key != "node"}
        found.setdefault(json.dumps(look, sort_keys=True), []).append(row)
    return [(group[0], len(group)) for group in found.values()]


def _node(row: Row, count: int, memory: Mapping[str, Mapping[str, int]], colour: Mapping[str, str]) -> str:
    name = escape(row["node"]) + (f' <span class="dim">and {count - 1:,} alike</span>' if count > 1 else "")
    about = [row["instance"], row["zone"]]
    if row["costPerHourUsd"] is not None:
        about.append(f"{row['costPerHourUsd']} USD/h")
    if row["unusable"]:
        about.append(row["unusable"])
    cells = "".join(_cells(row, memory, colour))
    return (
        f'<div class="node" data-node="{escape(row["node"])}" data-count="{count}"><span class="name">{name}</span>'
        f'<span class="cells">{cells}</span><span class="about">{escape(", ".join(filter(None, about)))}</span></div>\n'
    )


def _cells(row: Row, memory: Mapping[str, Mapping[str, int]], colour: Mapping[str, str]) -> Iterator[str]:
    if row["sharing"] != "Whole":
        all_of_them = row["shared"] == row["gpus"]
        by = row["held"] if all_of_them else row["sharedHeld"]
        holders = ", ".join(f"{each['by']} ({each['gpus']})" for each in by) or "nobody"
        yield from _several(row["shared"], "shared", f"shared ({row['sharing']}); held by {holders}")
        if all_of_them:
            return
    for each in row["held"]:
        if each["ours"]:
            inside = _fill(memory.get(each["by"], {}), colour.get(each["by"], "var(--foreign)"))
            yield from _several(each["gpus"], "used", f"{each['by']} runs here", each["by"], inside)
        else:
            yield from _several(each["gpus"], "foreign", f"{each['by']} (not of this operator)", each["by"])
    for each in row["coming"]:
        inside = _fill(memory.get(each["by"], {}), colour.get(each["by"], "var(--foreign)"))
        yield from _several(each["gpus"], "planned", f"{each['by']} would start here", each["by"], inside)
    yield from _several(row["free"], "free", "free")
    yield from _several(row["stranded"], "stranded", "stranded: free, but no replica asked for here can use it")
    yield from _several(row["unhealthy"], "unhealthy", "not offered: unhealthy or taken out")


def _several(count: int, state: str, title: str, by: str = "", inside: tuple[str, str] = ("", "")) -> Iterator[str]:
    style, parts = inside
    who = f' data-by="{escape(by)}"' if by else ""
    for _ in range(min(count, MOST_CELLS_PER_ROW)):
        yield (
            f'<span class="cell {state}" data-state="{state}"{who} role="img" aria-label="{escape(title)}" '
            f'title="{escape(title)}"{style}>{parts}</span>'
        )


def _fill(memory: Mapping[str, int], colour: str) -> tuple[str, str]:
    """Return a cell's colour and its memory from the bottom up: weights, KV cache, all else; full when not known."""
    if not memory:
        return f' style="--c:{colour}"', '<i style="bottom:0;height:100%"></i>'
    kv, other = memory["weights"], memory["weights"] + memory["kvCache"]
    return f' style="--c:{colour}"', (
        f'<i style="bottom:0;height:{kv}%"></i><i class="kv" style="bottom:{kv}%;height:{memory["kvCache"]}%"></i>'
        f'<i class="other" style="bottom:{other}%;height:{memory["other"]}%"></i>'
    )
