"""How long plans and refusals take in process, cold and warm, and how much memory; prints tables, asserts no time.

Milliseconds are of the CPU, so that other programs of the machine do not count; a plan is computed by one thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

WARM_RUNS = 20
QUESTIONS = ["Lossless", "NearLossless", "Economy"]
SCRIPT = """
import json, sys, time
from dataclasses import replace
from statistics import median
from deepseek_operator.catalog.models import shape
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.request import PlanRequest, Quality, Sla, Workload
from deepseek_operator.planner.result import Plan
from peak_memory import peak_mb
from planner_values import EIGHT_PRODUCTS, R1

quality, runs, tpot = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
asked = PlanRequest(
    model_name=R1,
    model=shape(R1),
    workload=Workload(input_tokens=4000, output_tokens=1000, max_context_tokens=8192, concurrency=64),
    sla=Sla(ttft_milliseconds=5000, tpot_milliseconds=tpot),
    max_replicas=4,
    quality=Quality(quality),
)

def milliseconds(question):
    started = time.process_time()
    found = plan(question, EIGHT_PRODUCTS)
    assert isinstance(found, Plan) == (tpot > 1), found
    return (time.process_time() - started) * 1000

cold = milliseconds(asked)
others = [milliseconds(replace(asked, workload=replace(asked.workload, concurrency=65 + run))) for run in range(runs)]
again = [milliseconds(asked) for _ in range(runs)]
print(json.dumps([cold, median(others), max(others), median(again), peak_mb()]))
"""
SEARCH = """
import logging, sys, time
logging.disable(logging.CRITICAL)
started = time.perf_counter()
from aiconfigurator_core.sdk import config, models, perf_database
from aiconfigurator_core.sdk.backends.factory import get_backend
for run in range(2):
    started = time.perf_counter() if run else started
    for tensor in (1, 2, 4, 8):
        version = perf_database.get_version_slots("h100_sxm", "vllm")["current"]
        database = perf_database.get_database("h100_sxm", "vllm", version)
        split = config.ModelConfig(tp_size=tensor, moe_tp_size=tensor, moe_ep_size=1)
        model = models.get_model("meta-llama/Meta-Llama-3.1-70B", split, "vllm")
        load = config.RuntimeConfig(isl=4000, osl=1000, ttft=2000, tpot=50)
        get_backend("vllm").find_best_agg_result_under_constraints(model, database, load)
    print(f"{1000 * (time.perf_counter() - started):.0f}")
"""


@pytest.mark.parametrize("quality", QUESTIONS)
@pytest.mark.parametrize("tpot", [pytest.param(60, id="plan"), pytest.param(1, id="refusal")])
def test_r1_on_eight_products(quality: str, tpot: int):
    """Each in a process of its own, so that the first answer is a cold one."""
    tests = Path(__file__).parents[1]
    paths = f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests.parent / 'operator')!r}]\n"
    command = [sys.executable, "-c", paths + SCRIPT, quality, str(WARM_RUNS), str(tpot)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cold, others, worst, again, peak = json.loads(done.stdout)
    kind = "plan" if tpot > 1 else "refusal"
    print(
        f"\nR1, 8 products, {quality}, {kind}: cold {cold:.0f} ms, another question median / worst of {WARM_RUNS} "
        f"{others:.0f} / {worst:.0f} ms, the same again {again:.0f} ms, peak memory {peak:.0f} MB"
    )


@pytest.mark.skipif(find_spec("aiconfigurator_core") is None, reason="the extra `measured` is not installed")
def test_the_search_of_the_extra_itself():
    """Four splits of one dense model on one product; ours tries all splits of eight products."""
    done = subprocess.run([sys.executable, "-c", SEARCH], capture_output=True, text=True, check=True)
    cold, warm = done.stdout.split()
    print(f"\naiconfigurator-core, Llama-70B, TP 1 to 8 on H100: cold {cold} ms, warm {warm} ms")
