from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from deepseek_operator.api.spec_engine import EngineType
from deepseek_operator.cli.memory_bars import bar_cells, memory_parts
from deepseek_operator.cli.plan_text import print_plan
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.result import Infeasible, Plan
from deepseek_operator.units import format_gib
from planner_values import H100, MIXED, R1, planned, pool, refused, request, supply

ALTERNATIVE_HEADINGS = ("GPUs", "Split", "Quantization", "USD/h", "Works", "Why, or why not")


def _printed(
    answer: Plan | Infeasible, *, terminal: bool = False, engine: EngineType = EngineType.AUTO, why_not: str = ""
) -> str:
    out = StringIO()
    console = Console(file=out, width=120, highlight=False, force_terminal=terminal)
    print_plan(console, "deepseek-67b", answer, engine=engine, not_runnable=why_not)
    return out.getvalue()


def test_a_plan_is_plain_ascii_without_a_terminal():
    text = _printed(planned(request(), MIXED))
    assert "\x1b" not in text
    assert text.replace("±", "").isascii()


def test_a_plan_shows_gpus_split_cost_and_a_bar_per_gpu():
    text = _printed(planned(request(), MIXED))
    assert "1 replica of 4 x h100-sxm5-80gb on one node (TP4)" in text
    assert "7.96 USD per hour, " in text
    bars = [line for line in text.splitlines() if line.startswith("GPU ")]
    assert len(bars) == 4
    assert all(set("#=og.") <= set(bar) and bar.endswith("79.1 GiB") for bar in bars)


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (EngineType.AUTO, "Engine     vLLM 0.32.0: context"),
        (EngineType.VLLM, "Engine     vLLM 0.32.0: context"),
        (EngineType.TRITON, "Engine     Triton, planned as vLLM 0.32.0: context"),
    ],
)
def test_a_plan_names_the_server_that_was_asked_for(engine: EngineType, words: str):
    assert words in _printed(planned(request(), MIXED), engine=engine)


def test_a_batch_is_told_as_that_of_an_engine_where_a_replica_has_several():
    plan = replace(planned(request(), MIXED), parallelism=Parallelism(tensor=1, data=4), max_num_seqs=67)
    text = " ".join(_printed(plan).split())
    assert "up to 67 requests and 8,192 tokens in a step of each of 4 engines" in text
    assert "of each" not in _printed(planned(request(), MIXED))


def test_a_plan_without_pods_says_why():
    text = _printed(planned(request(), MIXED), why_not="spec.engine.image [is] missing")
    assert "Pods       none are made: spec.engine.image [is] missing" in text
    assert "none are made" not in _printed(planned(request(), MIXED))


def test_the_legend_names_every_part_of_the_memory_with_its_size():
    text = _printed(planned(request(), MIXED))
    parts = memory_parts(planned(request(), MIXED).memory)
    assert [part.label for part in parts] == [
        "weights",
        "KV cache",
        "activations",
        "outside torch",
        "CUDA graphs",
        "free",
    ]
    assert all(f"{part.symbol} {part.label} {format_gib(part.size_bytes)}" in text for part in parts)


def test_the_table_of_alternatives_begins_with_the_plan_and_says_why_not():
    plan = planned(request(), MIXED)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in _printed(plan).splitlines()
        if line.startswith("|")
    ]
    assert rows[0] == [*ALTERNATIVE_HEADINGS]
    assert rows[1] == ["4 x h100-sxm5-80gb", "TP4", "Native", "7.96", "yes", "This is the plan."]
    listed = [row[:5] for row in rows[2:] if row[0]]
    assert listed == [
        [
            f"{other.gpus_per_replica} x {other.gpu}",
            str(other.parallelism),
            other.quantization,
            "-" if other.cost_per_hour_usd is None else str(other.cost_per_hour_usd),
            "yes" if other.feasible else "no",
        ]
        for other in plan.alternatives
    ]


def test_a_speed_has_its_source_and_band():
    plan = planned(request(), MIXED)
    assert plan.predicted is not None
    text = " ".join(_printed(plan).split())
    for words in (
        f"Speed mean TTFT {plan.predicted.ttft_milliseconds:,} ms (± {plan.predicted.ttft_error_percent} %)",
        f"TPOT {plan.predicted.tpot_milliseconds:,} ms (± {plan.predicted.tpot_error_percent} %, 90 % bands)",
        f"per replica; {plan.predicted.source.value}",
    ):
        assert words in text


def test_a_plan_without_a_price_or_a_speed_says_so_in_words():
    plan = replace(planned(request(), MIXED), cost_per_hour_usd=None, predicted=None)
    lines = _printed(plan).splitlines()
    assert [line.strip() for line in lines if line.startswith(("Cost", "Speed"))] == ["Cost       no known price"]


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


def test_a_refusal_lists_each_change_that_would_work_with_its_cost():
    answer = refused(request(R1), supply(pool(H100)))
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in _printed(answer).splitlines()
        if line.startswith("|")
    ]
    assert rows[0] == ["Axis", "Change", "Plan", "USD/h"]
    assert [row[0] for row in rows[1 : rows.index([*ALTERNATIVE_HEADINGS])] if row[0]] == [
        each.axis.value for each in answer.nearest_plans
    ]


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
