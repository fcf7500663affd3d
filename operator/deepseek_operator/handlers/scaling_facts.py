"""What scaling needs to know of one object's spec and plan, as values that are made once per version of both."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from deepseek_operator.api.fingerprint import spec_fingerprint
from deepseek_operator.api.ladder import Position, position_of
from deepseek_operator.api.parse import parse
from deepseek_operator.api.served_model import served_names
from deepseek_operator.api.spec_engine import EngineType
from deepseek_operator.api.spec_scaling import MemoryPressureSpec, ScalingOwner
from deepseek_operator.api.to_request import plan_request
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment, Priority
from deepseek_operator.capacity.host_use import MILLI
from deepseek_operator.capacity.workload import pod_host
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.errors import DeepSeekOperatorError
from deepseek_operator.handlers.acceptance import genuine_plan
from deepseek_operator.handlers.scaling_outcome import NO_SLA
from deepseek_operator.planner.replica import pace_of
from deepseek_operator.planner.request import Sla
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.priorityclass import PREEMPTING, PRIORITY_VALUES
from deepseek_operator.resources.triton import model_name
from deepseek_operator.scaling.decide import Limit
from deepseek_operator.scaling.limits import owner_limits
from deepseek_operator.scaling.replica_capacity import ReplicaCapacity
from deepseek_operator.scaling.schedules import Limits, limits_at
from deepseek_operator.scaling.simulated_object import capacity_of

JsonObject = Mapping[str, Any]

REMEMBERED_CAPACITIES = 128
"""Speeds of replicas that are kept for objects that are alike, some 10 kB each."""

SPEED_UNKNOWN = "SpeedUnknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """What a `ScalingFacts` was made of: another key makes another one."""

    generation: int
    plan_hash: str
    fingerprint: str

    @classmethod
    def of(cls, body: JsonObject) -> Key:
        """Return the key of an object as it is now."""
        status = body.get("status") or {}
        return cls(
            generation=int(body["metadata"].get("generation") or 0),
            plan_hash=str((status.get("plan") or {}).get("hash") or ""),
            fingerprint=str(status.get("fingerprint") or ""),
        )


@dataclass(frozen=True, kw_only=True)
class ScalingFacts:
    """One object whose plan runs.

    Args:
        key: what it was made of.
        release: of the engine; empty where an image of the owner's makes it unknown.
        sla: its service level; None when it has none.
        capacity: of one replica; None when nothing can be decided, which ``why_not`` tells.
        why_not: reason and sentence why the number of replicas does not follow what is measured; None when it does.
        external: whether somebody else owns the number of replicas.
        memory_pressure: what its owner asks under memory pressure.
        zero_after_seconds: idle time before the last replica stops; 0 keeps it.
        requests_per_replica: that one replica works on at once.
        least: fewest replicas.
        until: when its limits may change next, in seconds since 1970; None for never.
        limits: upper limits that its owner has set.
        output_tokens: mean length of an answer that was planned with.
        pods_per_replica: 1, or the nodes of a group.
        quota_need: what one replica takes of ResourceQuotas, by their names of resources.
        room_key: what is the same for all objects whose pods find room on the same nodes.
        gpu: product that its replicas take, or the kind of share of it.
        gpus_per_replica: of those.
        priority: value of its pods' PriorityClass; of a class of the owner's own, that of the default.
        preempts: whether kube-scheduler stops pods of lower priority for its pods.
    """

    key: Key
    uid: str
    namespace: str
    name: str
    engine: str
    release: str
    served_name: str
    sla: Sla | None
    capacity: ReplicaCapacity | None
    why_not: tuple[str, str] | None
    external: bool
    memory_pressure: MemoryPressureSpec
    zero_after_seconds: int
    requests_per_replica: int
    least: int
    until: float | None
    limits: tuple[Limit, ...]
    output_tokens: int
    pods_per_replica: int
    quota_need: Mapping[str, Decimal]
    room_key: str
    gpu: str
    gpus_per_replica: int
    priority: int
    preempts: bool


class RememberedScalingFacts:
    """Makes them, and keeps the speeds that objects share."""

    def __init__(self) -> None:
        self._capacities: OrderedDict[tuple[str, str], ReplicaCapacity | None] = OrderedDict()

    def of(self, body: JsonObject, key: Key, now: datetime) -> ScalingFacts | None:
        """Return an object for scaling; None when no plan of its present spec runs.

        Args:
            body: the object.
            key: of it.
            now: an aware time, which tells the windows that are open.
        """
        plan = genuine_plan((body.get("status") or {}).get("plan") or {})
        if plan is None:
            return None
        try:
            deployment = parse(body)
            limits = limits_at(deployment.spec, now)
            formats = position_of(deployment.spec, plan).formats
            position = Position(model=limits.model, window=limits.window, formats=formats)
            if spec_fingerprint(deployment, position) != key.fingerprint:
                return None
            capacity = self._capacity(deployment, plan, key, position)
        except DeepSeekOperatorError:
            return None  # the object's own loop tells why
        return _made(body["metadata"]["uid"], deployment, plan, key, capacity, limits)

    def _capacity(
        self, deployment: DeepSeekDeployment, plan: Plan, key: Key, position: Position
    ) -> ReplicaCapacity | None:
        known = (key.fingerprint, key.plan_hash)
        if known not in self._capacities:
            request = plan_request(deployment, position)
            pace = pace_of(request, plan)
            found = capacity_of(plan, pace, request.sla) if pace is not None and request.sla is not None else None
            self._capacities[known] = found
            if len(self._capacities) > REMEMBERED_CAPACITIES:
                self._capacities.popitem(last=False)
        return self._capacities[known]


def _made(
    uid: str,
    deployment: DeepSeekDeployment,
    plan: Plan,
    key: Key,
    capacity: ReplicaCapacity | None,
    limits: Limits,
) -> ScalingFacts:
    spec, metadata, cost = deployment.spec, deployment.metadata, deployment.spec.hardware.max_cost_per_hour_usd
    priority = "" if spec.priority_class_name else (spec.priority or Priority.STANDARD).value
    triton = spec.engine.type is EngineType.TRITON
    why_not: tuple[str, str] | None = None
    if spec.sla is None:
        why_not = (NO_SLA, "without spec.sla no load is too much for a replica, so replicas stay as planned")
    elif capacity is None:
        why_not = (SPEED_UNKNOWN, f"the speed of {plan.gpu} is not known, so replicas stay as planned")
    sla = spec.sla
    return ScalingFacts(
        key=key,
        uid=uid,
        namespace=metadata.namespace,
        name=metadata.name,
        engine="triton" if triton else "vllm",
        release="" if spec.engine.image and not spec.engine.release else plan.engine_release,
        served_name=model_name(deployment) if triton else served_names(spec, plan)[-1],
        sla=None if sla is None else Sla(**sla.model_dump()),
        capacity=capacity,
        why_not=why_not,
        external=spec.scaling.owner is ScalingOwner.EXTERNAL,
        memory_pressure=spec.memory_pressure,
        zero_after_seconds=spec.scaling.scale_to_zero_after_seconds,
        requests_per_replica=plan.max_num_seqs * plan.parallelism.data,
        least=limits.least,
        until=None if limits.until is None else limits.until.timestamp(),
        limits=owner_limits(
            plan,
            most=Limit(replicas=limits.most, name=limits.named("maxReplicas")),
            max_gpus_total=spec.hardware.max_gpus_total,
            max_cost_per_hour_usd=None if cost is None else Decimal(cost),
        ),
        output_tokens=spec.workload.output_tokens,
        pods_per_replica=plan.nodes_per_replica,
        quota_need=_quota_need(deployment, plan),
        room_key=_room_key(deployment, plan),
        gpu=plan.gpu if plan.share is None else f"{plan.gpu} ({plan.share})",
        gpus_per_replica=plan.gpus_per_replica,
        priority=PRIORITY_VALUES.get(priority, 0),
        preempts=priority in PREEMPTING and plan.nodes_per_replica == 1,
    )


def _room_key(deployment: DeepSeekDeployment, plan: Plan) -> str:
    hardware = deployment.spec.hardware
    size = (plan.gpu, plan.share, plan.gpus_per_replica, plan.nodes_per_replica, pod_host(deployment, plan))
    return repr(
        (size, plan.pin, plan.rdma, sorted(hardware.node_selector.items()), hardware.tolerations, hardware.spot)
    )


def _quota_need(deployment: DeepSeekDeployment, plan: Plan) -> Mapping[str, Decimal]:
    """Return what one replica takes of quotas; parts of GPUs have resources of many names and are left out."""
    host, pods = pod_host(deployment, plan), plan.nodes_per_replica
    need = {
        "pods": Decimal(pods),
        "requests.cpu": Decimal(host.cpu_milli * pods) / MILLI,
        "requests.memory": Decimal(host.memory_bytes * pods),
    }
    if plan.share is None:
        need[f"requests.{gpu(plan.gpu).k8s_resource}"] = Decimal(plan.gpus_per_replica)
    return need
