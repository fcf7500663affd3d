"""A simulation as one self-contained page: a picture of replicas and load over time, and the figures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepseek_operator.scaling.simulator import SimulationResult, TimelinePoint

WIDTH, HEIGHT, MARGIN = 1000, 220, 50
MOST_POINTS = 600
"""Columns of the picture; more points than pixels would only make the page large."""

_STYLE = (
    "body{font:14px sans-serif;max-width:1060px;margin:2em auto;color:#222}"
    "table{border-collapse:collapse}td{padding:.1em 1em .1em 0}svg{display:block;margin:1em 0}"
    "text{font:12px sans-serif;fill:#555}"
)


def page(name: str, policy: str, result: SimulationResult) -> str:
    """Return an HTML page that needs nothing else.

    Args:
        name: of the object.
        policy: that was simulated.
        result: of the simulation.
    """
    points = _thinned(result.timeline)
    rows = (
        ("Requests within the service level", f"{result.sla_percent:.2f} %"),
        ("Requests", f"{result.requests:,}, {result.rejected:,} without an answer"),
        ("TTFT, 99 % of requests", f"{1000 * result.ttft_p99_seconds:,.0f} ms"),
        ("TPOT, 99 % of requests", f"{1000 * result.tpot_p99_seconds:,.1f} ms"),
        ("GPU hours", f"{result.gpu_hours:,.1f}"),
        ("Changes of replicas", f"{result.replica_changes:,}, {result.flaps:,} back within half an hour"),
    )
    title = escape(f"{name}, policy {policy}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body>\n<h1>{title}</h1>\n<table>"
        + "".join(f"<tr><td>{escape(label)}</td><td>{escape(value)}</td></tr>" for label, value in rows)
        + "</table>\n"
        + _chart(
            "Replicas",
            points,
            (
                ("asked for", "#c60", [point.desired for point in points]),
                ("serving", "#06c", [point.ready for point in points]),
            ),
        )
        + _chart(
            "Requests",
            points,
            (
                ("in batches", "#393", [point.running for point in points]),
                ("waiting", "#c03", [point.waiting for point in points]),
            ),
        )
        + "</body></html>\n"
    )


def _thinned(timeline: Sequence[TimelinePoint]) -> list[TimelinePoint]:
    """Return points evenly over the time, of each group the one with most waiting requests, so that no peak is lost."""
    step = max(1, -(-len(timeline) // MOST_POINTS))
    groups = (timeline[place : place + step] for place in range(0, len(timeline), step))
    return [max(group, key=lambda point: (point.waiting, point.running)) for group in groups]


def _chart(title: str, points: Sequence[TimelinePoint], lines: Sequence[tuple[str, str, list[int]]]) -> str:
    top = max([1, *(value for _, _, values in lines for value in values)])
    end = max(1.0, points[-1].time if points else 1.0)

    def place(time: float, value: float) -> str:
        across = MARGIN + (WIDTH - 2 * MARGIN) * time / end
        return f"{across:.1f},{HEIGHT - MARGIN / 2 - (HEIGHT - MARGIN) * value / top:.1f}"

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)} over time">',
        f'<text x="{MARGIN}" y="14">{escape(title)}</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        across, down = place(0, share * top).split(",")
        parts.append(f'<line x1="{across}" x2="{WIDTH - MARGIN}" y1="{down}" y2="{down}" stroke="#ddd"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{down}" text-anchor="end">{share * top:,.0f}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        across, _ = place(share * end, 0).split(",")
        hours = f"{share * end / 3600:,.1f} h"
        parts.append(f'<text x="{across}" y="{HEIGHT - 4}" text-anchor="middle">{hours}</text>')
    for index, (label, colour, values) in enumerate(lines):
        drawn = " ".join(place(point.time, value) for point, value in zip(points, values, strict=True))
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{WIDTH - 260 + 120 * index}" y="14" style="fill:{colour}">{escape(label)}</text>')
    return "".join(parts) + "</svg>\n"
