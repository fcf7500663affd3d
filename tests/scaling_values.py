"""Replicas, traces and snapshots for scaling tests: round numbers, changed by keyword."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import replace

from deepseek_operator.performance.pace import ReplicaPace
from deepseek_operator.scaling.decide import Limit, ScalingPolicy
from deepseek_operator.scaling.engine_model import EngineLimits
from deepseek_operator.scaling.fleet_values import ServiceLevel, Trace
from deepseek_operator.scaling.operator_policy import OperatorPolicy
from deepseek_operator.scaling.replica_capacity import ReplicaCapacity
from deepseek_operator.scaling.signals import Signal, Snapshot
from deepseek_operator.scaling.simulator import Faults, Scenario

PACE = ReplicaPace(
    batches=(1, 101),
    step_seconds=(0.02, 0.04),
    seconds_per_cached_token=0.0,
    prompts=(1000, 2000),
    prompt_seconds=(0.1, 0.2),
    queues=1,
    first_token_seconds=0.05,
)
"""20 ms per token alone and 0.2 ms more for each other request; 10,000 prompt tokens per second."""

LIMITS = EngineLimits(batch=100, kv_tokens=400_000, context_tokens=32_000)
LEVEL = ServiceLevel(ttft_seconds=2.0, tpot_seconds=0.04)
CAPACITY = ReplicaCapacity(pace=PACE, limits=LIMITS, ttft_seconds=2.0, tpot_seconds=0.04, percentile=95)


def make_trace(requests: Iterable[tuple[float, int, int]]) -> Trace:
    """Return a trace of (arrival seconds, prompt tokens, output tokens)."""
    rows = list(requests)
    return Trace(
        arrivals=array("d", [row[0] for row in rows]),
        prompt_tokens=array("l", [row[1] for row in rows]),
        output_tokens=array("l", [row[2] for row in rows]),
    )


def make_scenario(trace: Trace, **changes: object) -> Scenario:
    """Return a scenario with 120 s to start, at most 40 replicas of two GPUs, and no faults."""
    scenario = Scenario(
        trace=trace,
        pace=PACE,
        limits=LIMITS,
        level=LEVEL,
        gpus_per_replica=2,
        start_seconds=120.0,
        first_replicas=2,
        most_replicas=40,
        faults=Faults(metric_age_seconds=0.0),
        seed=7,
    )
    return replace(scenario, **changes)  # type: ignore[arg-type] - keywords are the fields of the scenario


def make_policy(**changes: object) -> ScalingPolicy:
    """Return a policy of 1 to 40 replicas that start in 120 s."""
    policy = ScalingPolicy(
        least=1, limits=(Limit(replicas=40, name="scaling.maxReplicas"),), start_seconds=120.0, output_tokens=500
    )
    return replace(policy, **changes)  # type: ignore[arg-type] - keywords are the fields of the policy


def operator_policy(scenario: Scenario) -> OperatorPolicy:
    """Return the operator's decision for a scenario."""
    limits = (Limit(replicas=scenario.most_replicas, name="scaling.maxReplicas"),)
    return OperatorPolicy(CAPACITY, make_policy(limits=limits, start_seconds=scenario.start_seconds))


def make_snapshot(tokens_per_second: float, **changes: object) -> Snapshot:
    """Return what replicas measure that make so many tokens with 500 of them in each answer."""
    snapshot = Snapshot(
        tokens_per_second=Signal(value=tokens_per_second),
        seconds_per_token=Signal(value=0.03),
        starts_per_second=Signal(value=tokens_per_second / 500),
        prompt_work=Signal(value=tokens_per_second / 500 * 0.1),
        ready=2,
    )
    return replace(snapshot, **changes)  # type: ignore[arg-type] - keywords are the fields of the snapshot


def measured_snapshot(tokens_per_second: float, replicas: int, slower: float = 1.0) -> Snapshot:
    """Return what so many replicas measure that make so many tokens, by their own laws or so many times as slowly."""
    work = tokens_per_second / 500 * 0.1
    busy = min(0.9, work / replicas)
    batch = CAPACITY.in_flight(tokens_per_second / replicas, busy, 1.0)
    pace = Signal(value=CAPACITY.tpot(batch, busy, 1.0) * slower)
    return make_snapshot(tokens_per_second, ready=replicas, seconds_per_token=pace)
