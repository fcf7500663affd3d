from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.planner.request import PinnedParallelism, Sla, Workload
from planner_values import A100, H100, R1, SLA, planned, pool, refused, request, supply

DISTILL_70B = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"
NODE = supply(pool(H100))
TIGHT = replace(SLA, tpot_milliseconds=40)
ENGINES = Workload(input_tokens=4000, output_tokens=1000, max_context_tokens=8192, concurrency=200)


def test_a_batch_has_room_for_a_burst_where_the_service_level_does_too():
    assert planned(request(), NODE).max_num_seqs == 64


def test_a_batch_ends_where_a_burst_would_slow_all_below_the_service_level():
    plan = planned(request(sla=TIGHT), NODE)
    assert 32 <= plan.max_num_seqs < 64
    full = replace(request(sla=TIGHT).workload, concurrency=plan.max_num_seqs)
    assert planned(request(sla=TIGHT, workload=full), NODE).gpus_per_replica == plan.gpus_per_replica
    more = replace(full, concurrency=plan.max_num_seqs + 1)
    pinned = PinnedParallelism(tensor=plan.parallelism.tensor, pipeline=1)
    assert "p95 TPOT" in refused(request(sla=TIGHT, workload=more, parallelism=pinned), NODE).message
    assert f"A batch ends at {plan.max_num_seqs} requests" in " ".join(plan.reasons)


def test_a_pinned_batch_stays():
    assert planned(request(sla=TIGHT, max_num_seqs=64), NODE).max_num_seqs == 64


def test_steps_are_shortened_before_more_gpus_are_taken():
    asked = request(R1, workload=ENGINES, sla=Sla(ttft_milliseconds=2500, tpot_milliseconds=55))
    nodes = supply(replace(pool(H100, 2), rdma_resource="rdma/hca", rdma_devices=8))
    plan = planned(asked, nodes)
    assert plan.max_num_batched_tokens == 4096
    assert "Steps of 4,096 tokens leave room for the KV cache." in " ".join(plan.reasons)
    pinned = replace(asked, max_num_batched_tokens=8192, parallelism=PinnedParallelism(tensor=2, data=8, expert=False))
    assert "at once need" in refused(pinned, nodes).message


LONG_PROMPTS = Workload(input_tokens=8000, output_tokens=500, max_context_tokens=16_384, concurrency=1)
AMPERE = supply(pool(A100))


@pytest.mark.parametrize(
    ("ttft", "pinned", "expected"),
    [
        pytest.param(2500, None, (4, 2048), id="the engine's own where they do"),
        pytest.param(2000, None, (4, 4096), id="longer ones where they are cheaper"),
        pytest.param(2000, 2048, (8, 2048), id="pinned ones always"),
        pytest.param(1400, None, (8, 4096), id="longer ones where nothing else keeps the service level"),
    ],
)
def test_longer_steps_are_taken_only_for_the_service_level(ttft: int, pinned: int | None, expected: tuple[int, int]):
    sla = Sla(ttft_milliseconds=ttft, tpot_milliseconds=200, percentile=50)
    asked = request(DISTILL_70B, workload=LONG_PROMPTS, sla=sla, max_num_batched_tokens=pinned)
    plan = planned(asked, AMPERE)
    assert (plan.gpus_per_replica, plan.max_num_batched_tokens) == expected
    chosen = "Steps of 4,096 tokens keep the service level, which the engine's 2,048 miss."
    assert (chosen in " ".join(plan.reasons)) == (expected[1] == 4096)


def test_short_pinned_steps_are_refused_where_they_miss_the_service_level():
    sla = Sla(ttft_milliseconds=1400, tpot_milliseconds=200, percentile=50)
    asked = request(DISTILL_70B, workload=LONG_PROMPTS, sla=sla, max_num_batched_tokens=2048)
    assert "p50 TTFT" in refused(asked, AMPERE).message
