from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from deepseek_operator.cli.memory_bars import bar_cells, memory_parts
from deepseek_operator.cli.plan_text import print_plan
from deepseek_operator.planner.result import Infeasible, Plan
from planner_values import H100, MIXED, R1, planned, pool, refused, request, supply


def _printed(answer: Plan | Infeasible, *, terminal: bool = False) -> str:
    out = StringIO()
    console = Console(file=out, width=120, highlight=False, force_terminal=terminal)
    print_plan(console, "deepseek-67b", answer)
    return out.getvalue()


def test_a_plan_is_plain_ascii_without_a_terminal():
    text = _printed(planned(request(), MIXED))
    assert "\x1b" not in text
    assert text.replace("±", "").isascii()


def test_a_plan_shows_gpus_split_cost_and_a_bar_per_gpu():
    text = _printed(planned(request(), MIXED))
    assert "1 replica of 4 x a100-sxm4-80gb on one node (TP4)" in text
    assert "4.92 USD per hour" in text
    bars = [line for line in text.splitlines() if line.startswith("GPU ")]
    assert len(bars) == 4
    assert all("#" in bar and "=" in bar and bar.endswith("79.1 GiB") for bar in bars)


def test_a_terminal_gets_colour():
    assert "\x1b[" in _printed(planned(request(), MIXED), terminal=True)


def test_a_replica_on_two_nodes_shows_eight_bars_and_says_how_many_more():
    text = _printed(planned(request(R1), supply(pool(H100, 2))))
    assert "16 x h100-sxm5-80gb on 2 nodes (TP8 PP2)" in text
    assert "and 8 more" in text


def test_a_refusal_shows_limit_and_remedy():
    text = _printed(refused(request(R1), supply(pool(H100))))
    assert text.startswith("deepseek-67b: infeasible (MemoryInsufficient)\n")
    assert "What would work: Add 1 node of 8 x h100-sxm5-80gb" in text


def test_the_parts_of_a_gpu_add_up_to_its_memory():
    memory = planned(request(), MIXED).memory
    assert sum(part.size_bytes for part in memory_parts(memory)) == memory.total_bytes


@pytest.mark.parametrize(
    ("parts", "cells"),
    [
        pytest.param((0, 0, 0, 0), (1, 1, 1, 1), id="nothing known is spread evenly"),
        pytest.param((10, -5, 10, 0), (2, 0, 2, 0), id="a negative part takes no room"),
        pytest.param((97, 1, 1, 1), (4, 0, 0, 0), id="small parts round down"),
    ],
)
def test_bars_have_exactly_their_cells(parts: tuple[int, ...], cells: tuple[int, ...]):
    assert bar_cells(parts, 4) == cells
