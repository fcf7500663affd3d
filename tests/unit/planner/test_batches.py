from __future__ import annotations

from dataclasses import replace

from deepseek_operator.planner.request import PinnedParallelism, Sla, Workload
from planner_values import H100, R1, SLA, planned, pool, refused, request, supply

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
