"""The short way to the planner: what it fills in, what it refuses, and what it does not load."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

import deepseek_operator.planner
from deepseek_operator.catalog.models import shape
from deepseek_operator.errors import InvalidSpecError, InventoryError, UnknownGpuError, UnknownModelError
from deepseek_operator.planner import Plan, PlanRequest, Quality, Supply, ask, gpus, plan
from deepseek_operator.planner.request import Sla, Workload
from planner_values import H100, L40S, R1, pool, supply

PROGRAM = """
import sys
from deepseek_operator.planner import ask, gpus, plan
print(type(plan(ask("deepseek-ai/deepseek-llm-7b-chat"), gpus("1 x l40s"))).__name__)
heavy = {"aiohttp", "httpx", "kopf", "kubernetes", "prometheus_client", "pydantic", "rich", "typer", "yaml"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def test_a_plan_needs_neither_kubernetes_nor_anything_but_the_standard_library() -> None:
    package = str(Path(__file__).parents[3] / "operator")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env={"PYTHONPATH": package}, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Plan\n[]\n", "")


def test_the_package_offers_what_it_names_and_nothing_else() -> None:
    offered = {
        name: type(getattr(deepseek_operator.planner, name)).__name__ for name in deepseek_operator.planner.__all__
    }
    assert offered == {
        "Infeasible": "type",
        "Plan": "type",
        "PlanRequest": "type",
        "Quality": "EnumType",
        "Supply": "type",
        "ask": "function",
        "gpus": "function",
        "plan": "function",
    }
    with pytest.raises(AttributeError, match="has no attribute 'plam'"):
        _ = deepseek_operator.planner.plam  # type: ignore[attr-defined]  # the point of the test


def test_a_question_of_one_name_has_defaults() -> None:
    assert ask(R1) == PlanRequest(
        model_name=R1,
        model=shape(R1),
        workload=Workload(input_tokens=1024, output_tokens=256, max_context_tokens=1280, concurrency=1),
    )


def test_everything_that_is_said_is_asked() -> None:
    asked = ask(
        shape(R1),
        input_tokens=10,
        output_tokens=20,
        max_context_tokens=40,
        requests_per_minute=50,
        ttft_milliseconds=60,
        tpot_milliseconds=70,
        percentile=80,
        quality=Quality.ECONOMY,
        max_replicas=90,
        max_cost_per_hour_usd=Decimal(100),
    )
    assert asked == PlanRequest(
        model_name="the model",
        model=shape(R1),
        workload=Workload(input_tokens=10, output_tokens=20, max_context_tokens=40, requests_per_minute=50),
        sla=Sla(ttft_milliseconds=60, tpot_milliseconds=70, percentile=80),
        quality=Quality.ECONOMY,
        max_replicas=90,
        max_cost_per_hour_usd=Decimal(100),
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"input_tokens": 0}, "input_tokens: is 0 and must be 1 or more"),
        ({"concurrency": -1}, "concurrency: is -1 and must be 1 or more"),
        ({"max_replicas": 0}, "max_replicas: is 0 and must be 1 or more"),
        ({"concurrency": 1, "requests_per_minute": 1}, "concurrency: give it or requests_per_minute, not both"),
        ({"max_context_tokens": 1279}, "max_context_tokens: is 1,279 and must hold 1,024 + 256 tokens"),
        ({"ttft_milliseconds": 9}, "ttft_milliseconds: give it together with tpot_milliseconds"),
        ({"max_cost_per_hour_usd": Decimal(-1)}, "max_cost_per_hour_usd: is -1 and must be above 0"),
        ({"max_cost_per_hour_usd": Decimal("NaN")}, "max_cost_per_hour_usd: is NaN and must be above 0"),
        ({"percentile": 100}, "percentile: is 100 and must be 50 to 99"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_name(arguments: dict[str, int | Decimal], sentence: str) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        ask(R1, **arguments)  # type: ignore[arg-type]  # keywords are those of the function
    assert str(refused.value) == sentence


def test_unknown_names_are_told_with_the_nearest() -> None:
    with pytest.raises(UnknownModelError, match="did you mean deepseek-ai/DeepSeek-R1"):
        ask("deepseek-ai/DeepSeek-R11")
    with pytest.raises(UnknownGpuError, match="h100-sxm5-80gb"):
        gpus("8 x h100")


def test_equal_nodes_are_one_pool() -> None:
    twice = gpus("1 x 8 x h100-sxm5-80gb", "8 x h100-sxm5-80gb", f"4 x {L40S}")
    assert twice == supply(pool(H100, 2), pool(L40S, 1, 4))
    assert gpus() == Supply(pools=())


@pytest.mark.parametrize(
    "text", ["", "h100-sxm5-80gb", "8xl40s", "0 x l40s", "0 x 8 x l40s", "-1 x l40s", "8 x l40s x 2"]
)
def test_other_texts_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(InventoryError, match='write "8 x h100-sxm5-80gb"'):
        gpus(text)


def test_a_product_of_unknown_memory_is_refused() -> None:
    with pytest.raises(InventoryError, match="memory of gaudi2 is not known"):
        gpus("8 x gaudi2")


def test_what_the_short_way_leaves_out_is_set_on_its_values() -> None:
    answer = plan(replace(ask(R1), max_gpus_total=8), gpus("8 x h200-sxm"))
    assert isinstance(answer, Plan)
    assert answer.gpus_per_replica <= 8
