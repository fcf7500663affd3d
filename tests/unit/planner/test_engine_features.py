"""Features in plans: obeyed, counted and said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.engine_features import (
    EngineFeatures,
    KvOffload,
    KvOffloadBackend,
    Speculative,
    SpeculativeMethod,
)
from deepseek_operator.planner.feature_splits import illegal_with_features
from deepseek_operator.planner.request import PinnedParallelism, PlanRequest
from deepseek_operator.planner.result import InfeasibleReason
from deepseek_operator.units import GIB
from planner_values import CHAT_7B, CHAT_67B, H100, R1, planned, pool, refused, request, supply

H200_NODES = supply(pool("h200-sxm", 2))
H100_NODES = supply(pool(H100, 2))


def featured(model: str, **features: object) -> PlanRequest:
    asked = EngineFeatures(**features)  # type: ignore[arg-type] - keywords are the fields of the features
    return replace(request(model, sla=None), features=asked)


def test_mtp_is_planned_with_its_layers_and_said_with_its_source():
    asked = featured(R1, speculative=Speculative(method=SpeculativeMethod.MTP, tokens=1))
    plain, found = planned(request(R1, sla=None), H200_NODES), planned(asked, H200_NODES)
    assert found.features == asked.features
    assert found.memory.weights_bytes > plain.memory.weights_bytes
    assert found.kv_cache_tokens < plain.kv_cache_tokens
    (sentence,) = [each for each in found.reasons if "Speculative decoding" in each]
    assert (
        "Speculative decoding (MTP) drafts 1 token per step, and a step is counted to yield 1.87 tokens (1.85 to 1.90; "
        "first token: DeepSeek-V3 Technical Report"
    ) in sentence


def test_rates_that_nobody_published_are_called_so():
    asked = featured(CHAT_67B, speculative=Speculative(method=SpeculativeMethod.NGRAM, tokens=4))
    assert any("unverified: n-grams of the prompt" in each for each in planned(asked, H100_NODES).reasons)


def test_a_draft_model_may_take_more_gpus():
    draft = Speculative(method=SpeculativeMethod.DRAFT_MODEL, tokens=4, draft_model=CHAT_7B)
    asked = replace(featured(CHAT_67B, speculative=draft), draft_model=shape(CHAT_7B))
    plain, found = planned(request(sla=None), H100_NODES), planned(asked, H100_NODES)
    assert found.gpus_per_replica > plain.gpus_per_replica
    assert any(f"drafts 4 tokens per step by {CHAT_7B}" in each for each in found.reasons)


def test_a_draft_model_must_be_cut_like_the_model():
    """R1-Distill-Qwen-1.5B has 12 heads, which eight ranks do not share."""
    small, large = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"
    draft = Speculative(method=SpeculativeMethod.DRAFT_MODEL, tokens=4, draft_model=small)
    asked = replace(featured(large, speculative=draft), draft_model=shape(small))
    pinned = replace(asked, parallelism=PinnedParallelism(tensor=8, pipeline=1, data=1))
    answer = refused(pinned, H100_NODES)
    assert answer.reason is InfeasibleReason.SPLIT_ILLEGAL
    assert "the draft model is cut like the model: TP 8 does not divide the 12 attention heads" in answer.message


def test_adapters_do_not_run_beside_sequence_parallel_experts():
    split = Parallelism(tensor=2, data=4, expert=True)
    assert illegal_with_features(featured(R1, max_loras=1, max_lora_rank=8), split) == (
        "adapters do not run with TP, DP and expert parallelism together; use one of TP and DP, or no EP"
    )
    assert illegal_with_features(request(R1), split) == ""
    assert illegal_with_features(featured(CHAT_67B, max_loras=1, max_lora_rank=8), Parallelism(tensor=2)) == ""


def test_adapters_are_counted():
    found = planned(featured(CHAT_67B, max_loras=4, max_lora_rank=64), H100_NODES)
    assert any("Buffers for 4 adapters of rank 64 take" in each for each in found.reasons)


def test_offloaded_weights_make_room_and_cost_speed():
    plain = planned(request(sla=None), H100_NODES)
    found = planned(featured(CHAT_67B, weight_offload_bytes=40 * GIB), H100_NODES)
    assert plain.predicted is not None
    assert found.predicted is not None
    assert found.gpus_per_replica <= plain.gpus_per_replica
    assert found.predicted.tpot_milliseconds > plain.predicted.tpot_milliseconds
    assert any("40.0 GiB of weights per GPU lie in host memory" in each for each in found.reasons)


@pytest.mark.parametrize("backend", KvOffloadBackend)
def test_offloaded_cache_changes_no_gpu(backend: KvOffloadBackend):
    offload = KvOffload(backend=backend, host_memory_bytes=64 * GIB)
    plain, found = planned(request(sla=None), H100_NODES), planned(featured(CHAT_67B, kv_offload=offload), H100_NODES)
    assert replace(found, reasons=(), features=plain.features) == replace(plain, reasons=())
    assert not found.features.change_gpu_memory
    assert any(f"stay in host memory ({backend})" in each for each in found.reasons)


def test_a_service_level_is_judged_with_the_features():
    """One user of R1 gets 10 ms per token only with its prediction layer."""
    alone = replace(request(R1), workload=replace(request().workload, concurrency=1))
    fast = replace(alone, sla=replace(request().sla, tpot_milliseconds=9))
    mtp = EngineFeatures(speculative=Speculative(method=SpeculativeMethod.MTP, tokens=1))
    assert planned(replace(fast, features=mtp), H200_NODES).gpus_per_replica < 16
