"""What of a stored status a new process believes of the number of replicas."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deepseek_operator.handlers.scaling_outcome import decided_by_load
from deepseek_operator.scaling.decide import HOLD_SECONDS

TIME = "2026-03-01T12:00:00Z"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def stored(told: str, active: str = "True", replicas: object = 8, **decision: object) -> dict[str, Any]:
    """Return a status with a condition, and with one decision where something of it is given."""
    active_because = {"type": "ScalingActive", "status": active, "reason": told, "message": "m"}
    decisions = [{"time": TIME, "message": "m", **decision}] if decision else []
    return {"conditions": [active_because], "scaling": {"desiredReplicas": replicas, "decisions": decisions}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, None),
        (stored("Steady"), 8),
        (stored("DemandFell", reason="DemandFell", fromReplicas=9, toReplicas=8), 8),
        (stored("DemandRises", reason="DemandRises", fromReplicas=7, toReplicas=8), 8),
        (stored("Steady", replicas=None), None),
        (stored("Steady", replicas=0), None),
        (stored("Limited"), None),
        (stored("GpusNeverCame"), None),
        (stored("ExternalOwner"), None),
        (stored("NoSla", active="False"), None),
        (stored("MetricsUnreachable", active="False"), None),
        (stored("MetricsUnreachable", "False", reason="DemandFell", fromReplicas=9, toReplicas=8), 8),
        (stored("MetricsUnreachable", "False", reason="Limited", fromReplicas=7, toReplicas=8), None),
    ],
)
def test_only_a_number_that_the_load_led_to_is_believed(status: dict[str, Any], expected: int | None):
    assert decided_by_load(status, NOON + 60.0) == expected


def test_a_number_on_its_way_up_is_believed_once_no_further_step_came():
    status = stored("DemandRises", reason="DemandRises", fromReplicas=4, toReplicas=8)
    assert [decided_by_load(status, NOON + late) for late in (60.0, HOLD_SECONDS)] == [None, 8]
    assert decided_by_load(stored("Steady", fromReplicas=4, toReplicas=8, time="noon"), NOON) == 8
