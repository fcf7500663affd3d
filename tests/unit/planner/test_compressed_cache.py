"""Models whose requests have a fixed cost in the KV cache: tokens do not say how many requests fit."""

from __future__ import annotations

from dataclasses import replace

from deepseek_operator.memory.settings import KvCacheDtype
from planner_values import WORKLOAD, planned, pool, refused, request, supply

V4_FLASH = "deepseek-ai/DeepSeek-V4-Flash"
B200 = supply(pool("b200"))


def test_the_reasons_count_requests_and_not_tokens():
    reasons = planned(request(V4_FLASH), B200).reasons
    told = [reason for reason in reasons if "KV cache of a replica" in reason]
    assert len(told) == 1
    assert "requests of 1,280 tokens beside the prefill in flight" in told[0]
    assert "of which 32 are planned; a request costs 3,915 bytes per token and a fixed part." in told[0]


def test_many_requests_need_more_than_their_tokens():
    """Each request has its window and open states, and one chunk of prefill is in flight for all of them."""
    many = replace(WORKLOAD, concurrency=800, max_context_tokens=16_384)
    asked = request(V4_FLASH, workload=many, sla=None)
    message = refused(asked, supply(pool("b200", gpus_per_node=1))).message
    assert "the KV cache holds" in message
    assert "requests of 1,280 tokens beside 145.8 GiB of weights per GPU and the prefill in flight" in message
    assert "800 at once are needed" in message


def test_a_backend_that_the_engine_is_not_told_is_refused():
    answer = refused(request(V4_FLASH, kv_cache_dtype=KvCacheDtype.BFLOAT16), B200)
    assert (
        "a KV cache of bfloat16 needs the engine's option --attention-backend FLASHINFER_MLA_SPARSE_DSV4, which is not "
        "set; leave the KV cache to the planner"
    ) in answer.message
