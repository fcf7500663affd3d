"""Five service levels in, plans out: what the planner makes of a fixed number of GPUs, as one file to review.

Each case is a model on given GPUs, 4,000 tokens in and 1,000 out, a first token within 2,000 ms and the others within
50 ms. The demand is the largest that the planner takes on those GPUs. Beside it stand the best answers of
aiconfigurator-core 0.12.0 for vLLM (aggregated serving, point estimates without percentiles or bands); like with like
is the row for means. ``UPDATE_GOLDEN=1 pytest tests/golden`` writes the file anew; look at the difference.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from deepseek_operator.performance.second_source import SecondSource
from deepseek_operator.planner.entry import plan_with
from deepseek_operator.planner.request import PlanRequest, Sla, Supply, Workload
from deepseek_operator.planner.result import Plan
from planner_values import A100, H100, R1, pool, request, supply

FILE = Path(__file__).parent / "plans" / "service_levels.txt"
V3 = "deepseek-ai/DeepSeek-V3"
DISTILL_70B = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"
MOST_REQUESTS = 2048
LEVELS = {"p95": 95, "means": 50}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case, with the other tool's requests at once and output tokens per second and GPU on vLLM."""

    model: str
    available: Supply
    gpus: int
    other_split: str
    other_requests: int
    other_tokens_per_second: int


CASES = [
    Case(
        model=V3,
        available=supply(pool("h200-sxm")),
        gpus=8,
        other_split="attention DP8",
        other_requests=120,
        other_tokens_per_second=294,
    ),
    Case(
        model=V3,
        available=supply(replace(pool(H100, 2), rdma_resource="rdma/hca", rdma_devices=8)),
        gpus=16,
        other_split="TP2 DP8 EP16",
        other_requests=64,
        other_tokens_per_second=79,
    ),
    Case(
        model=R1,
        available=supply(pool("b200")),
        gpus=8,
        other_split="attention DP8",
        other_requests=256,
        other_tokens_per_second=719,
    ),
    Case(
        model=DISTILL_70B,
        available=supply(pool(H100)),
        gpus=8,
        other_split="2 x TP4",
        other_requests=160,
        other_tokens_per_second=420,
    ),
    Case(
        model=DISTILL_70B,
        available=supply(pool(A100)),
        gpus=8,
        other_split="TP8",
        other_requests=56,
        other_tokens_per_second=140,
    ),
]


def asked(case: Case, percentile: int, concurrency: int) -> PlanRequest:
    return request(
        case.model,
        workload=Workload(input_tokens=4000, output_tokens=1000, max_context_tokens=8192, concurrency=concurrency),
        sla=Sla(ttft_milliseconds=2000, tpot_milliseconds=50, percentile=percentile),
        max_replicas=case.gpus,
    )


def largest_demand(case: Case, percentile: int, second: SecondSource | None = None) -> tuple[int, Plan] | None:
    """Return the most requests at once that the GPUs serve, with their plan; None when not even one."""
    best: tuple[int, Plan] | None = None
    low, high = 1, MOST_REQUESTS
    while low <= high:
        middle = (low + high) // 2
        found = plan_with(second, asked(case, percentile, middle), case.available)
        if isinstance(found, Plan):
            best, low = (middle, found), middle + 1
        else:
            high = middle - 1
    return best


def rows(case: Case) -> list[str]:
    gpu = case.available.pools[0].gpu.id
    text = [f"{case.model} on {case.gpus} x {gpu}"]
    for level, percentile in LEVELS.items():
        best = largest_demand(case, percentile)
        if best is None:
            text.append(f"  {level:<6} nothing")
            continue
        requests, found = best
        predicted = found.predicted
        assert predicted is not None
        per_gpu = predicted.tokens_per_second * found.replicas // case.gpus
        text.append(
            f"  {level:<6} {requests:4} requests, {per_gpu:4} tokens/s per GPU: {found.replicas} x {found.parallelism}"
            f", max_num_seqs {found.max_num_seqs}, max_num_batched_tokens {found.max_num_batched_tokens}, mean TTFT "
            f"{predicted.ttft_milliseconds} ms, TPOT {predicted.tpot_milliseconds} ms ({predicted.source.value})"
        )
    text.append(
        f"  other  {case.other_requests:4} requests, {case.other_tokens_per_second:4} tokens/s per GPU: "
        f"{case.other_split}"
    )
    return text


@pytest.mark.timeout(120)
def test_plans_for_a_service_level():
    text = "\n".join(line for case in CASES for line in rows(case)) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        FILE.write_text(text)
    assert text == FILE.read_text()
