"""What becomes of a change on trial: watched, promoted, rolled back or held, and why."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from deepseek_operator.api.spec_scaling import CanarySpec
from deepseek_operator.api.spec_service import SlaSpec
from deepseek_operator.scaling.canary import (
    Canary,
    CanaryPhase,
    CanaryReason,
    CanaryView,
    next_canary,
)
from deepseek_operator.scaling.latency import Histogram, Latency

SLA = SlaSpec.model_validate({"ttftMilliseconds": 1000, "tpotMilliseconds": 100})
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STARTED = Canary(revision="r", fingerprint="f", replicas=1)
WATCHED = replace(STARTED, since="2026-01-01T11:55:00Z")
LONG = replace(STARTED, since="2026-01-01T11:00:00Z")
READY = CanaryView(ready=True, stable=3)


def latency(*, missed: int, of: int, tpot_missed: int = 0) -> Latency:
    """Return requests of which some took longer than the limits."""
    return Latency(
        ttft=Histogram(((1.0, of - missed), (5.0, of), (float("inf"), of))),
        tpot=Histogram(((0.1, of - tpot_missed), (1.0, of), (float("inf"), of))),
    )


def seen(canary: Latency | None, stable: Latency | None = None, **changes: Any) -> CanaryView:  # noqa: ANN401 - fields
    return replace(READY, canary_latency=canary, stable_latency=stable, **changes)


@pytest.mark.parametrize(
    ("canary", "spec", "view", "phase", "reason", "message"),
    [
        pytest.param(
            STARTED, {}, replace(READY, ready=False), "Trial", "CanaryStarting",
            "1 of 4 replicas (25 % of requests) start",
            id="not ready yet",
        ),
        pytest.param(
            STARTED, {}, replace(READY, ready=False, failure="pod p waits, CrashLoopBackOff"),
            "RolledBack", "CanaryRolledBack",
            "the change was rolled back: its replicas do not serve: pod p waits, CrashLoopBackOff; "
            "it is not tried again until the spec changes",
            id="never ready",
        ),
        pytest.param(
            STARTED, {"promotion": "Manual"}, replace(READY, ready=False, failure="pod p waits, CrashLoopBackOff"),
            "Trial", "CanaryStarting",
            "1 of 4 replicas (25 % of requests) start: pod p waits, CrashLoopBackOff",
            id="never ready, and a person decides",
        ),
        pytest.param(
            STARTED, {}, seen(latency(missed=0, of=500)), "Trial", "CanaryObserving",
            "1 of 4 replicas (25 % of requests) run the change, watched until 2026-01-01T12:10:00Z",
            id="good from the start, and still watched",
        ),
        pytest.param(
            WATCHED, {}, seen(latency(missed=60, of=500), latency(missed=10, of=1000)),
            "RolledBack", "CanaryRolledBack",
            "the change was rolled back: TTFT was above 1000 ms in 60 of its 500 requests, where 5 % may be and "
            "1 % are of the replicas beside it; it is not tried again until the spec changes",
            id="a violation is not waited out",
        ),
        pytest.param(
            WATCHED, {}, seen(latency(missed=0, tpot_missed=60, of=500)), "RolledBack", "CanaryRolledBack",
            "the change was rolled back: TPOT was above 100 ms in 60 of its 500 requests, where 5 % may be and "
            "0 % are of the replicas beside it; it is not tried again until the spec changes",
            id="slow further tokens",
        ),
        pytest.param(
            WATCHED, {}, seen(latency(missed=60, of=500), latency(missed=200, of=1000)), "Trial", "CanaryObserving",
            "1 of 4 replicas (25 % of requests) run the change, watched until 2026-01-01T12:05:00Z",
            id="better than what runs is no violation",
        ),
        pytest.param(
            WATCHED, {}, seen(latency(missed=20, of=90)), "Trial", "CanaryObserving",
            "1 of 4 replicas (25 % of requests) run the change, watched until 2026-01-01T12:05:00Z",
            id="too few requests for a verdict",
        ),
        pytest.param(
            LONG, {}, seen(latency(missed=0, of=99)), "Trial", "CanaryObserving",
            "1 of 4 replicas (25 % of requests) run the change; it needs 100 requests to be judged",
            id="the time is over with too few requests",
        ),
        pytest.param(
            LONG, {}, seen(None, unreadable="the operator runs with --no-engine-metrics"), "Trial", "CanaryObserving",
            "1 of 4 replicas (25 % of requests) run the change; its latency is not known, so nothing is decided: "
            "the operator runs with --no-engine-metrics",
            id="without metrics nothing is decided",
        ),
        pytest.param(
            LONG, {}, seen(latency(missed=6, of=100)), "Trial", "CanaryObserving",
            "1 of 4 replicas (25 % of requests) run the change; its TTFT seems to miss the service level, "
            "and more requests must show it",
            id="perhaps a violation",
        ),
        pytest.param(
            LONG, {}, seen(latency(missed=5, of=100)), "Promoted", "CanaryPromoted",
            "the canary kept the service level, or was no worse, over 100 requests",
            id="kept",
        ),
        pytest.param(
            LONG, {}, seen(latency(missed=60, of=500), latency(missed=200, of=1000)), "Promoted", "CanaryPromoted",
            "the canary kept the service level, or was no worse, over 500 requests",
            id="no worse than what runs",
        ),
        pytest.param(
            LONG, {"promotion": "Manual"}, seen(latency(missed=0, of=500)), "Trial", "CanaryHeld",
            "1 of 4 replicas (25 % of requests) run the change until promotion is Auto",
            id="held for a person",
        ),
    ],
)  # fmt: skip
def test_next_canary(
    canary: Canary, spec: dict[str, Any], view: CanaryView, phase: str, reason: str, message: str
) -> None:
    found = next_canary(canary, CanarySpec.model_validate_json(json.dumps(spec)), SLA, view, NOON)
    assert (found.phase, found.reason, found.message) == (CanaryPhase(phase), CanaryReason(reason), message)


def test_without_a_service_level_readiness_decides() -> None:
    found = next_canary(LONG, CanarySpec(), None, READY, NOON)
    assert (found.phase, found.message) == (
        CanaryPhase.PROMOTED,
        "the canary stayed ready; without spec.sla its speed is not judged",
    )


def test_a_rolled_back_change_gives_the_gpus_back() -> None:
    given_up = replace(WATCHED, replaces=1)
    assert next_canary(given_up, CanarySpec(), SLA, replace(READY, ready=False, failure="x"), NOON).replaces == 0
