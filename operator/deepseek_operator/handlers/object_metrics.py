"""What the statuses of all objects say, as metrics: refusals, GPUs, memory against the plan, pressure, capacity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from deepseek_operator.api import conditions

JsonObject = Mapping[str, Any]

Where = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the metrics say of one object.

    Args:
        where: namespace and name.
        refused: why it has no plan that runs; empty where it has one or waits for approval.
        proposed: whether a plan waits for its owner.
        gpu: catalogue id of what its replicas run on; empty while none serves.
        running_gpus: physical GPUs of the replicas that serve; a share counts as its part.
        planned_tokens: tokens that the plan gives the KV cache of one replica; None until the engine told its own.
        reported_tokens: tokens that the engine has told.
        pressure: whether its KV cache is full and no replica can be added; None while nobody can tell.
        placed: whether there are GPUs for every replica that is wanted; None while nobody can tell.
    """

    where: Where
    refused: str = ""
    proposed: bool = False
    gpu: str = ""
    running_gpus: Fraction = Fraction(0)
    planned_tokens: int | None = None
    reported_tokens: int | None = None
    pressure: bool | None = None
    placed: bool | None = None


def shown(where: Where, status: JsonObject) -> Shown:
    """Return what the metrics say of an object.

    Args:
        where: namespace and name.
        status: its status of now.
    """
    found = {each["type"]: each for each in status.get("conditions") or ()}
    planned = found.get(conditions.PLANNED) or {}
    observed, plan = status.get("observed") or {}, status.get("plan") or {}
    ready = int(status.get("readyReplicas") or 0)
    return Shown(
        where=where,
        refused=str(planned.get("reason") or "") if planned.get("status") == "False" else "",
        proposed="proposedPlan" in status,
        gpu=str(plan["gpu"]) if plan and ready else "",
        running_gpus=ready * _gpus_of_a_replica(plan) if plan else Fraction(0),
        planned_tokens=observed.get("plannedKvCacheTokens"),
        reported_tokens=observed.get("kvCacheTokens"),
        pressure=_told(found, conditions.MEMORY_PRESSURE),
        placed=_told(found, conditions.CAPACITY_AVAILABLE),
    )


def _told(conditions_by_type: Mapping[str, JsonObject], kind: str) -> bool | None:
    """Return what a condition says, None while it is unknown or absent."""
    return {"True": True, "False": False}.get(str((conditions_by_type.get(kind) or {}).get("status")))


def _gpus_of_a_replica(plan: JsonObject) -> Fraction:
    return Fraction(int(plan["gpusPerReplica"]), int((plan.get("share") or {}).get("slicesPerGpu") or 1))


class ObjectMetrics:
    """Metrics of the objects' statuses.

    Args:
        registry: where to register.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        where = ["namespace", "name"]
        self._shown: dict[str, Shown] = {}
        self._refused = Counter[str]()
        self._running: dict[str, Fraction] = {}
        self.refused = Gauge(
            "deepseek_operator_refused_deployments",
            "DeepSeekDeployments without a plan at this moment, by the reason of the refusal.",
            ["reason"],
            registry=registry,
        )
        self.proposed = Gauge(
            "deepseek_operator_proposed_plans",
            "DeepSeekDeployments with a proposed plan that waits for its owner.",
            registry=registry,
        )
        self.running = Gauge(
            "deepseek_operator_running_gpus",
            "Physical GPUs of the replicas that serve, by product; a share counts as its part.",
            ["gpu"],
            registry=registry,
        )
        self.planned_tokens = Gauge(
            "deepseek_operator_planned_kv_cache_tokens",
            "Tokens that the plan gives the KV cache of one replica, while an engine of it has told its own.",
            where,
            registry=registry,
        )
        self.reported_tokens = Gauge(
            "deepseek_operator_reported_kv_cache_tokens",
            "Tokens that the KV cache of one replica holds by its engine's report.",
            where,
            registry=registry,
        )
        self.placed = Gauge(
            "deepseek_operator_capacity_available",
            "1 while there are GPUs for every wanted replica, 0 while one waits for free GPUs; absent while unknown.",
            where,
            registry=registry,
        )
        self.pressure = Gauge(
            "deepseek_operator_memory_pressure",
            "1 while the KV cache is full, requests suffer and no replica can be added, else 0; absent while unknown.",
            where,
            registry=registry,
        )

    def show(self, uid: str, now: Shown) -> None:
        """Show an object, in place of what was shown of it before."""
        before = self._shown.get(uid)
        if before == now:
            return
        if before is not None:
            self._count(self._shown.pop(uid), -1)
        self._shown[uid] = now
        self._count(now, 1)
        self._set(now)

    def drop(self, uid: str) -> None:
        """Stop showing an object; one that was made anew under its name is shown on."""
        before = self._shown.pop(uid, None)
        if before is not None:
            self._count(before, -1)
            namesakes = [each for each in self._shown.values() if each.where == before.where]
            self._set(namesakes[-1] if namesakes else Shown(where=before.where))

    def _count(self, each: Shown, sign: int) -> None:
        """Add an object to the sums over all objects, or take it out of them."""
        self.proposed.inc(sign * each.proposed)
        if each.refused:
            self._refused[each.refused] += sign
            self.refused.labels(reason=each.refused).set(self._refused[each.refused])
        if each.gpu:
            self._running[each.gpu] = self._running.get(each.gpu, Fraction(0)) + sign * each.running_gpus
            self.running.labels(gpu=each.gpu).set(float(self._running[each.gpu]))

    def _set(self, now: Shown) -> None:
        values = (
            (self.planned_tokens, now.planned_tokens),
            (self.reported_tokens, now.reported_tokens),
            (self.pressure, now.pressure),
            (self.placed, now.placed),
        )
        for gauge, value in values:
            if value is None:
                gauge.remove(*now.where)
            else:
                gauge.labels(*now.where).set(value)
