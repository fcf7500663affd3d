"""How long a full plan takes in process, cold and warm, and how much memory; prints a table and asserts no time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WARM_RUNS = 20
CASES = ["Lossless", "NearLossless", "Economy"]
SCRIPT = """
import json, resource, sys, time
from statistics import median
from deepseek_operator.catalog.models import shape
from deepseek_operator.planner.plan import plan
from deepseek_operator.planner.request import PlanRequest, Quality, Sla, Workload
from deepseek_operator.planner.result import Plan
from planner_values import EIGHT_PRODUCTS, R1

asked = PlanRequest(
    model_name=R1,
    model=shape(R1),
    workload=Workload(input_tokens=4000, output_tokens=1000, max_context_tokens=8192, concurrency=64),
    sla=Sla(ttft_milliseconds=5000, tpot_milliseconds=60),
    max_replicas=4,
    quality=Quality(sys.argv[1]),
)
taken = []
for _ in range(1 + int(sys.argv[2])):
    started = time.perf_counter()
    found = plan(asked, EIGHT_PRODUCTS)
    taken.append((time.perf_counter() - started) * 1000)
assert isinstance(found, Plan), found
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
print(json.dumps([taken[0], median(taken[1:]), max(taken[1:]), peak, f"{found.gpus_per_replica} x {found.gpu}"]))
"""


@pytest.mark.parametrize("quality", CASES)
def test_a_full_plan_of_r1_on_eight_products(quality: str):
    """Each quality class in a process of its own, so that the first plan of it is a cold one."""
    tests = Path(__file__).parents[1]
    paths = f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests.parent / 'operator')!r}]\n"
    done = subprocess.run(
        [sys.executable, "-c", paths + SCRIPT, quality, str(WARM_RUNS)], capture_output=True, text=True, check=True
    )
    cold, warm, worst, peak, chosen = json.loads(done.stdout)
    print(
        f"\nR1, 8 products, {quality}: cold {cold:.0f} ms, warm median / worst of {WARM_RUNS} {warm:.0f} / {worst:.0f} "
        f"ms, peak memory {peak:.0f} MB ({chosen})"
    )
