"""Conditions: their types, and how new observations are merged into the list that an object already has.

The first six are always there. ``Reconciling`` and ``Stalled`` follow kstatus (Flux, Argo CD, ``kubectl wait``):
they are there only while they are true, and an object that has neither is settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deepseek_operator.api.status import MAX_MESSAGE_CHARACTERS

READY = "Ready"
"""Everything that the spec asks for holds: planned, placed and serving; or waiting or at zero on purpose."""

PLANNED = "Planned"
"""There is a plan for today's spec."""

CAPACITY_AVAILABLE = "CapacityAvailable"
"""The GPUs that the plan asks for are free, the object's own pods counted as free."""

WORKLOAD_READY = "WorkloadReady"
"""As many replicas serve as are wanted."""

SCALING_ACTIVE = "ScalingActive"
"""Somebody adjusts the number of replicas."""

SLA_MET = "SLAMet"
"""The measured latency keeps what ``spec.sla`` promises."""

PLAN_ACCURATE = "PlanAccurate"
"""The KV cache that the engine made is within the band of the plan; there once an engine has reported."""

MEMORY_PRESSURE = "MemoryPressure"
"""The KV cache is full, requests suffer, and no replica can be added; there where the spec asks or it is true."""

ROLLING_OUT = "RollingOut"
"""A change is on its way to the running replicas; the reason says how. There only while it is true."""

RECONCILING = "Reconciling"
"""The operator is still working towards the spec (kstatus: InProgress)."""

STALLED = "Stalled"
"""The operator cannot get further without a person (kstatus: Failed)."""

ORDER = (
    READY,
    PLANNED,
    CAPACITY_AVAILABLE,
    WORKLOAD_READY,
    SCALING_ACTIVE,
    SLA_MET,
    PLAN_ACCURATE,
    MEMORY_PRESSURE,
    ROLLING_OUT,
    RECONCILING,
    STALLED,
)

ABNORMAL_TRUE = frozenset({ROLLING_OUT, RECONCILING, STALLED})
"""Types that are left out unless they are true. Source for the last two: kstatus, sigs.k8s.io/cli-utils/pkg/kstatus."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one condition should say now.

    Args:
        type: one of this module's constants.
        holds: None means that it cannot be told.
        reason: one CamelCase word.
        message: one sentence.
    """

    type: str
    holds: bool | None
    reason: str
    message: str

    @property
    def status(self) -> str:
        """The condition's status as Kubernetes writes it."""
        return "Unknown" if self.holds is None else str(self.holds)


def set_conditions(
    old: Iterable[Mapping[str, Any]], new: Iterable[Observation], now: str, generation: int
) -> list[dict[str, Any]]:
    """Return the whole list of conditions, in a fixed order.

    ``lastTransitionTime`` moves only when a status flips, so an unchanged observation gives back an equal condition and
    costs no write. Types that are not observed any more are left out.

    Args:
        old: conditions as last written.
        new: at most one observation per type.
        now: time as RFC 3339.
        generation: of the spec that was looked at.

    >>> ready = Observation(type=READY, holds=True, reason="ReplicasReady", message="1 of 1 replicas ready")
    >>> first = set_conditions([], [ready], now="2026-01-01T00:00:00Z", generation=1)
    >>> set_conditions(first, [ready], now="2026-01-02T00:00:00Z", generation=1) == first
    True
    """
    before = {str(condition.get("type")): condition for condition in old}
    return [
        _condition(observation, before.get(observation.type, {}), now, generation)
        for observation in sorted(new, key=_rank)
        if observation.holds is True or observation.type not in ABNORMAL_TRUE
    ]


def _rank(observation: Observation) -> tuple[int, str]:
    known = observation.type in ORDER
    return (ORDER.index(observation.type) if known else len(ORDER), observation.type)


def _condition(observation: Observation, before: Mapping[str, Any], now: str, generation: int) -> dict[str, Any]:
    unchanged = before.get("status") == observation.status
    return {
        "type": observation.type,
        "status": observation.status,
        "reason": observation.reason,
        "message": truncated(observation.message),
        "lastTransitionTime": before.get("lastTransitionTime", now) if unchanged else now,
        "observedGeneration": generation,
    }


def truncated(message: str, limit: int = MAX_MESSAGE_CHARACTERS) -> str:
    """Return a message cut to what the CRD takes, so that a long reason never makes a status unwritable.

    >>> truncated("too long", limit=4)
    'too…'
    """
    return message if len(message) <= limit else message[: limit - 1] + "…"
