"""How many requests in flight one replica should have: the target of an HPA or of KEDA that owns the replicas.

The most requests that a replica of the plan has in flight within the service level, by the same speed model that the
operator's own decision uses (`replica_capacity`), at the lengths of ``spec.workload``; and of these a share, because an
HPA orders a replica only once the load is there, and the load grows on while it starts.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepseek_operator.planner.replica import most_requests
from deepseek_operator.planner.request import Workload
from deepseek_operator.planner.result import Plan
from deepseek_operator.scaling.replica_capacity import CACHE_SHARE, Load, ReplicaCapacity

TARGET_SHARE = 0.3
"""Share of a replica's capacity that is aimed at.

Source: the benchmark of docs/scaling.md.
"""

_HALVINGS = 20


@dataclass(frozen=True, kw_only=True)
class InFlightTarget:
    """What an external autoscaler aims at.

    Args:
        requests: in flight per replica, running and waiting ones, 1 or more.
        message: one sentence that says where it comes from.
    """

    requests: int
    message: str


def in_flight_target(plan: Plan, workload: Workload, capacity: ReplicaCapacity | None) -> InFlightTarget:
    """Return the requests in flight per replica that an external autoscaler should aim at.

    Args:
        plan: of the replicas.
        workload: mean lengths of prompts and answers.
        capacity: of one replica within the service level; None where no level is asked or the GPU's speed is unknown,
            then what the batch and the KV cache hold is all that counts.
    """
    share = f"{round(100 * TARGET_SHARE)} % of"
    most = most_within_level(capacity, workload) if capacity is not None else 0.0
    if capacity is not None and most > 0:
        held, why = most, f"that one replica has in flight at {_lengths(workload)} within the service level"
    else:
        context = workload.input_tokens + workload.output_tokens / 2
        held = min(float(most_requests(plan)), CACHE_SHARE * plan.kv_cache_tokens / context)
        why = f"that the batch and the KV cache of one replica hold at {_lengths(workload)}"
    return InFlightTarget(requests=max(1, int(held * TARGET_SHARE)), message=f"{share} the {held:.0f} requests {why}")


def most_within_level(capacity: ReplicaCapacity, workload: Workload) -> float:
    """Return the most requests in flight of one replica within the service level, 0 when it carries none.

    Requests that wait for their prompt to be read are in flight too; by Little's law they are the rate of requests
    times what reading one takes.
    """
    low, high = 0.0, 2.0 * capacity.limits.batch / max(1e-6, workload.output_tokens * capacity.tpot(1, 0.0, 0.0))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if capacity.carries(load_of(capacity, workload, middle), 1):
            low = middle
        else:
            high = middle
    load = load_of(capacity, workload, low)
    if load.prompts_per_second <= 0:
        return 0.0
    busy = capacity.busy(load, 1)
    decoding = capacity.in_flight(load.tokens_per_second, busy, load.context_tokens)
    return decoding + busy * capacity.pace.queues / (1.0 - busy)


def load_of(capacity: ReplicaCapacity, workload: Workload, requests_per_second: float) -> Load:
    """Return the load that requests of the workload's mean lengths make."""
    return Load(
        tokens_per_second=requests_per_second * workload.output_tokens,
        prompts_per_second=requests_per_second,
        prompt_work=requests_per_second * capacity.pace.prompt(workload.input_tokens),
        context_tokens=workload.input_tokens + workload.output_tokens / 2,
    )


def _lengths(workload: Workload) -> str:
    return f"{workload.input_tokens:,} tokens in and {workload.output_tokens:,} out"
