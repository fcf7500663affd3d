"""What an external autoscaler aims at, and what it asks Prometheus."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.planner.request import Workload
from deepseek_operator.scaling.in_flight_query import in_flight_query
from deepseek_operator.scaling.in_flight_target import InFlightTarget, in_flight_target, load_of, most_within_level
from model_factories import make_plan
from scaling_values import CAPACITY

WORKLOAD = Workload(input_tokens=1000, output_tokens=500, max_context_tokens=8000, concurrency=10)


def test_the_target_is_a_share_of_what_a_replica_carries_within_the_service_level() -> None:
    held = most_within_level(CAPACITY, WORKLOAD)
    assert in_flight_target(make_plan(), WORKLOAD, CAPACITY) == InFlightTarget(
        requests=int(0.3 * held),
        message=f"30 % of the {held:.0f} requests that one replica has in flight at 1,000 tokens in and 500 out "
        "within the service level",
    )


def test_what_a_replica_carries_is_the_most_that_it_carries() -> None:
    held = most_within_level(CAPACITY, WORKLOAD)
    rate = held / (WORKLOAD.output_tokens * CAPACITY.tpot_seconds)
    assert CAPACITY.carries(load_of(CAPACITY, WORKLOAD, 0.9 * rate), 1)
    assert not CAPACITY.carries(load_of(CAPACITY, WORKLOAD, 1.1 * rate), 1)


def test_a_tighter_service_level_lowers_the_target() -> None:
    tight = replace(CAPACITY, tpot_seconds=CAPACITY.tpot_seconds * 0.8)
    assert 0 < most_within_level(tight, WORKLOAD) < most_within_level(CAPACITY, WORKLOAD)


@pytest.mark.parametrize(
    "capacity",
    [
        pytest.param(None, id="no service level is asked"),
        pytest.param(replace(CAPACITY, tpot_seconds=0.001), id="no request meets it"),
    ],
)
def test_without_a_service_level_the_batch_and_the_cache_count(capacity: object) -> None:
    plan = replace(make_plan(), max_num_seqs=40, kv_cache_tokens=25_000)
    assert in_flight_target(plan, WORKLOAD, capacity) == InFlightTarget(  # type: ignore[arg-type] - None or a capacity
        requests=5,
        message="30 % of the 18 requests that the batch and the KV cache of one replica hold at 1,000 tokens in and "
        "500 out",
    )


def test_the_target_is_never_below_one() -> None:
    plan = replace(make_plan(), max_num_seqs=1)
    assert in_flight_target(plan, WORKLOAD, None).requests == 1


def test_a_query_adds_what_runs_and_what_waits() -> None:
    assert in_flight_query("chat", "v3.2", 1) == (
        'sum(vllm:num_requests_running{namespace="chat",'
        'pod=~"(v3-2-h93e77718a3|v3-2-h93e77718a3-canary)-[a-z0-9]+-[a-z0-9]+"}) + '
        'sum(vllm:num_requests_waiting{namespace="chat",'
        'pod=~"(v3-2-h93e77718a3|v3-2-h93e77718a3-canary)-[a-z0-9]+-[a-z0-9]+"})'
    )
