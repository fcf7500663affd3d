"""From a plan to what the simulator needs: limits of a replica, its capacity, and the policies by their names."""

from __future__ import annotations

from deepseek_operator.errors import SimulationError
from deepseek_operator.performance.pace import ReplicaPace
from deepseek_operator.planner.replica import most_requests
from deepseek_operator.planner.request import Sla
from deepseek_operator.planner.result import Plan
from deepseek_operator.scaling.decide import Limit, ScalingPolicy
from deepseek_operator.scaling.engine_model import EngineLimits
from deepseek_operator.scaling.operator_policy import OperatorPolicy
from deepseek_operator.scaling.replica_capacity import ReplicaCapacity
from deepseek_operator.scaling.rival_policies import (
    WAITING_TARGET,
    ClairvoyantPolicy,
    HpaWaitingPolicy,
    KedaInFlightPolicy,
    StaticPolicy,
)
from deepseek_operator.scaling.rival_policies import ScalingPolicy as Policy
from deepseek_operator.scaling.simulator import START_SPREAD, TICK_SECONDS, Scenario, offered_load

POLICIES = "operator, hpa-waiting, keda-inflight:N, static:N or clairvoyant"

CLAIRVOYANT_SHARE = 0.65
"""Share of a replica's batch that the clairvoyant policy fills: requests are not spread evenly over replicas.

Chosen in the benchmark of docs/scaling.md.
"""


def limits_of(plan: Plan) -> EngineLimits:
    """Return what one replica of a plan holds."""
    return EngineLimits(batch=most_requests(plan), kv_tokens=plan.kv_cache_tokens, context_tokens=plan.max_model_len)


def capacity_of(plan: Plan, pace: ReplicaPace, sla: Sla) -> ReplicaCapacity:
    """Return how much load a replica of a plan carries within a service level."""
    return ReplicaCapacity(
        pace=pace,
        limits=limits_of(plan),
        ttft_seconds=sla.ttft_milliseconds / 1000,
        tpot_seconds=sla.tpot_milliseconds / 1000,
        percentile=sla.percentile,
    )


def policy_of(name: str, scenario: Scenario, capacity: ReplicaCapacity, least: int, output_tokens: int) -> Policy:
    """Return the policy of a name.

    Args:
        name: one of `POLICIES`.
        scenario: what is replayed; its start-up time is what the operator assumes until it has seen one.
        capacity: of a replica, for the operator's own decision.
        least: fewest replicas, 1 or more.
        output_tokens: mean length that was planned with.

    Raises:
        SimulationError: there is no such policy, its number is none of 1 or more, or it asks for more replicas than
            may run.
    """
    kind, _, number = name.partition(":")
    most = scenario.most_replicas
    if name == "operator":
        limits = (Limit(replicas=most, name="the limit of replicas"),)
        return OperatorPolicy(
            capacity,
            ScalingPolicy(
                least=least, limits=limits, start_seconds=scenario.start_seconds, output_tokens=output_tokens
            ),
        )
    if name == "hpa-waiting":
        return HpaWaitingPolicy(WAITING_TARGET, least, most)
    if name == "clairvoyant":
        ahead = scenario.start_seconds * (1 + START_SPREAD) + TICK_SECONDS
        batch = max(1.0, CLAIRVOYANT_SHARE * scenario.limits.batch)
        return ClairvoyantPolicy(offered_load(scenario), TICK_SECONDS, batch, ahead, least)
    if kind in ("keda-inflight", "static") and number.isascii() and number.isdecimal() and 1 <= len(number) <= 6:
        count = int(number)
        if kind == "static" and count > most:
            raise SimulationError(
                f"--policy {name} asks for more than the {most} that scaling.maxReplicas and the GPUs allow; "
                "raise --max-replicas, or take fewer"
            )
        if count >= 1:
            return KedaInFlightPolicy(count, least, most) if kind == "keda-inflight" else StaticPolicy(count)
    raise SimulationError(f"--policy {name} is none of {POLICIES}, N being 1 or more")
