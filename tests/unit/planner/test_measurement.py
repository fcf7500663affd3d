"""What an engine reported corrects the next plan of the same model, GPU, release and split, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.memory.estimate import RankMemory
from deepseek_operator.memory.settings import EngineSettings, KvCacheDtype
from deepseek_operator.planner.measurement import Measurement, distinct
from deepseek_operator.planner.result import Plan
from deepseek_operator.units import GIB
from planner_values import H100, WORKLOAD, planned, pool, request, supply

HOPPER = pool(H100, 3)
BEFORE = planned(request(), supply(HOPPER))


def measured(plan: Plan, tokens: int, **changes: object) -> Measurement:
    """Return what an engine that runs the plan reports; keywords change what it was told."""
    settings = EngineSettings(
        release=plan.engine_release,
        gpu_memory_utilization_percent=plan.gpu_memory_utilization_percent,
        max_model_len=plan.max_model_len,
        max_num_seqs=plan.max_num_seqs,
        max_num_batched_tokens=plan.max_num_batched_tokens,
        kv_cache_dtype=plan.kv_cache_dtype,
        quantization=plan.quantization,
    )
    return Measurement(
        model_name=plan.model_name,
        gpu=plan.gpu,
        total_memory_bytes=plan.memory.total_bytes,
        parallelism=plan.parallelism,
        settings=replace(settings, **changes),  # type: ignore[arg-type]  # keywords are fields of the settings
        kv_cache_tokens=tokens,
    )


def overhead_bytes(rank: RankMemory) -> int:
    return rank.activations_bytes + rank.non_torch_bytes + rank.cuda_graph_bytes


def planned_after(*measurements: Measurement) -> Plan:
    return planned(request(), supply(replace(HOPPER, measurements=measurements)))


@pytest.mark.parametrize("share", [pytest.param(90, id="less"), pytest.param(105, id="more")])
def test_the_same_start_is_predicted_as_it_was_reported(share: int):
    tokens = BEFORE.kv_cache_tokens * share // 100
    after = planned_after(measured(BEFORE, tokens))
    assert abs(after.kv_cache_tokens - tokens) < 16 + 1  # a block, and a byte of rounding
    assert plan_hash(after) == plan_hash(BEFORE)


def test_the_reason_tells_what_was_measured():
    after = planned_after(measured(BEFORE, BEFORE.kv_cache_tokens * 9 // 10))
    assert after.reasons[1].endswith(
        "The overhead is 3.7 GiB more than known of the engine release, as an engine that runs this model on the same "
        "GPUs reported."
    )


def test_memory_still_adds_up_to_the_budget():
    memory = planned_after(measured(BEFORE, BEFORE.kv_cache_tokens * 9 // 10)).memory
    parts = memory.weights_bytes + memory.activations_bytes + memory.non_torch_bytes + memory.cuda_graph_bytes
    assert parts + memory.kv_cache_bytes == memory.budget_bytes


def test_other_settings_of_the_same_engine_are_corrected_by_the_same_bytes():
    tokens = BEFORE.kv_cache_tokens * 9 // 10
    same = planned_after(measured(BEFORE, tokens)).memory
    other = planned_after(measured(BEFORE, BEFORE.kv_cache_tokens * 9 // 10, max_num_seqs=BEFORE.max_num_seqs + 8))
    assert abs(other.memory.activations_bytes - same.activations_bytes) < GIB // 10


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"release": "0.19.0"}, id="release"),
        pytest.param({"kv_cache_dtype": KvCacheDtype.FP8}, id="cache-format"),
        pytest.param({"quantization": "FP8"}, id="quantization"),
    ],
)
def test_another_release_format_or_quantization_corrects_nothing(changes: dict[str, object]):
    assert planned_after(measured(BEFORE, BEFORE.kv_cache_tokens // 2, **changes)) == BEFORE


def test_another_split_corrects_nothing():
    other = replace(measured(BEFORE, BEFORE.kv_cache_tokens // 2), parallelism=replace(BEFORE.parallelism, tensor=8))
    assert planned_after(other) == BEFORE


def test_more_cache_than_the_budget_without_weights_is_not_believed():
    assert planned_after(measured(BEFORE, BEFORE.kv_cache_tokens * 3)) == BEFORE


def test_more_cache_than_the_band_allows_is_believed_up_to_the_band():
    """Else a report could take nearly all overheads away, and the engine would not start as the next plan says."""
    before = BEFORE.memory
    after = planned_after(measured(BEFORE, BEFORE.kv_cache_tokens * 110 // 100)).memory
    lessened = overhead_bytes(before) - overhead_bytes(after)
    assert lessened == after.kv_cache_bytes - before.kv_cache_bytes == 2_717_741_780
    assert overhead_bytes(after) > overhead_bytes(before) // 3


def test_an_engine_of_huge_batches_does_not_take_all_overheads_away():
    """A start whose own overheads would be some 100 GiB, of which it claims to have needed next to none."""
    told = measured(BEFORE, 1_278_000, max_num_seqs=65_536, max_num_batched_tokens=262_144)
    after = planned_after(replace(told, total_memory_bytes=160 * GIB)).memory
    assert overhead_bytes(BEFORE.memory) - overhead_bytes(after) == 2_717_741_780


def test_the_smallest_of_several_reports_counts():
    low, high = BEFORE.kv_cache_tokens * 8 // 10, BEFORE.kv_cache_tokens * 9 // 10
    both = distinct([measured(BEFORE, high), measured(BEFORE, low)])
    assert both == (measured(BEFORE, low),)
    assert planned_after(*both) == planned_after(measured(BEFORE, low))


def test_next_to_no_cache_is_believed_up_to_two_bands():
    """Else whoever can make one engine lie makes the plans of all other tenants dearer or impossible."""
    after = planned_after(measured(BEFORE, 16)).memory
    assert overhead_bytes(after) - overhead_bytes(BEFORE.memory) == 2 * 2_717_741_780


def test_a_plan_that_would_no_longer_do_gives_way_to_another():
    """300 requests need 93 % of the cache, and the engine made less."""
    crowd = request(sla=None, workload=replace(WORKLOAD, concurrency=300), max_num_seqs=300)
    before = planned(crowd, supply(HOPPER))
    reported = measured(before, before.kv_cache_tokens * 88 // 100)
    after = planned(crowd, supply(replace(HOPPER, measurements=(reported,))))
    assert (str(before.parallelism), str(after.parallelism)) == ("TP4", "TP2 PP2")
    assert after.kv_cache_tokens > 300 * (1024 + 256)
