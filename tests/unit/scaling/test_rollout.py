"""The next step of a rollout: limits, replicas and words in each situation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.api.spec_scaling import RolloutSpec
from deepseek_operator.capacity.surge import SurgeRoom
from deepseek_operator.resources.rolling_update import RollingUpdate
from deepseek_operator.scaling.rollout import RolloutReason, RolloutStep, RolloutView, carried_replicas, next_step
from model_factories import make_plan

REST = RollingUpdate(max_surge=0, max_unavailable=1)
SURGE = RollingUpdate(max_surge=1, max_unavailable=0)
ROOM = SurgeRoom(fits=True, makes_room=True, limiting="")
FULL = SurgeRoom(fits=False, makes_room=True, limiting="needs 8 free, 0 are")
ELSEWHERE = SurgeRoom(fits=False, makes_room=False, limiting="needs 8 free, 0 are")
TWO = RolloutView(begins=False, seen=True, asked=2, total=2, updated=2, updated_ready=2, update=REST)
BEGINS = replace(TWO, begins=True)
HALF = replace(TWO, updated=1, updated_ready=1)
SURGING = replace(TWO, total=3, updated=1, updated_ready=0, update=SURGE)


def step(update: RollingUpdate, replicas: int, reason: RolloutReason | None = None, message: str = "") -> RolloutStep:
    return RolloutStep(update=update, replicas=replicas, reason=reason, message=message)


@pytest.mark.parametrize(
    ("view", "room", "spec", "wanted", "expected"),
    [
        pytest.param(TWO, ROOM, {}, 2, step(REST, 2), id="nothing changes"),
        pytest.param(replace(TWO, update=SURGE), ROOM, {}, 2, step(REST, 2), id="a rollout has ended"),
        pytest.param(replace(SURGING, seen=False), ROOM, {}, 2, step(SURGE, 2), id="its controller has not looked yet"),
        pytest.param(TWO, ROOM, {}, 3, step(REST, 3), id="more replicas of the same template"),
        pytest.param(BEGINS, ROOM, {}, 0, step(REST, 0), id="a change together with scaling to zero"),
        pytest.param(
            replace(BEGINS, asked=0, total=0, updated=0, updated_ready=0), ROOM, {}, 2, step(REST, 2),
            id="a change while nothing runs",
        ),
        pytest.param(
            BEGINS, ROOM, {}, 2,
            step(SURGE, 2, RolloutReason.SURGE_FIRST, "0 of 2 replicas new; each old one stops when a new one serves"),
            id="spare GPUs",
        ),
        pytest.param(
            BEGINS, FULL, {}, 2,
            step(REST, 2, RolloutReason.ONE_AT_A_TIME,
                 "0 of 2 replicas new; up to 1 missing while replaced; no extra one fits: needs 8 free, 0 are"),
            id="a full cluster",
        ),
        pytest.param(
            replace(BEGINS, asked=1, total=1, updated=1), FULL, {}, 1,
            step(REST, 1, RolloutReason.BRIEF_OUTAGE,
                 "0 of 1 replica new; the old ones stop before a new one serves, so requests fail until it is loaded; "
                 "no extra one fits: needs 8 free, 0 are"),
            id="the only replica of a full cluster",
        ),
        pytest.param(
            BEGINS, ELSEWHERE, {}, 2,
            step(SURGE, 2, RolloutReason.WAITING_FOR_GPUS,
                 "0 of 2 replicas new; the next finds no GPUs: needs 8 free, 0 are; the old ones serve"),
            id="other GPUs that are taken: stopping an old replica would help nobody",
        ),
        pytest.param(
            replace(BEGINS, asked=1, total=1, updated=1), FULL, {"maxUnavailable": 0}, 1,
            step(SURGE, 1, RolloutReason.WAITING_FOR_GPUS,
                 "0 of 1 replica new; the next finds no GPUs: needs 8 free, 0 are; the old ones serve"),
            id="an owner who wants none missing",
        ),
        pytest.param(
            BEGINS, ROOM, {"maxSurge": 0}, 2,
            step(REST, 2, RolloutReason.ONE_AT_A_TIME, "0 of 2 replicas new; up to 1 missing while replaced"),
            id="an owner who wants no extra one",
        ),
        pytest.param(
            BEGINS, FULL, {"maxSurge": 2}, 2,
            step(RollingUpdate(max_surge=2, max_unavailable=1), 2, RolloutReason.ONE_AT_A_TIME,
                 "0 of 2 replicas new; up to 1 missing while replaced; no extra one fits: needs 8 free, 0 are"),
            id="an owner's surge without GPUs does not deadlock",
        ),
        pytest.param(
            SURGING, FULL, {}, 2,
            step(SURGE, 2, RolloutReason.SURGE_FIRST, "1 of 2 replicas new; each old one stops when a new one serves"),
            id="the extra replica holds the spare GPUs",
        ),
        pytest.param(
            replace(SURGING, unplaced=True), FULL, {}, 2,
            step(REST, 2, RolloutReason.WAITING_FOR_GPUS,
                 "1 of 2 replicas new; the next finds no GPUs: needs 8 free, 0 are; the old ones serve"),
            id="somebody else took the spare GPUs",
        ),
        pytest.param(
            replace(SURGING, unplaced=True), ROOM, {}, 2,
            step(REST, 2, RolloutReason.ONE_AT_A_TIME, "1 of 2 replicas new; up to 1 missing while replaced"),
            id="GPUs are free and the node lacks something else",
        ),
        pytest.param(
            replace(SURGING, unplaced=True, total=2, leaving=True), ROOM, {}, 2,
            step(SURGE, 2, RolloutReason.SURGE_FIRST, "1 of 2 replicas new; each old one stops when a new one serves"),
            id="the next replica waits for one that is leaving",
        ),
        pytest.param(
            replace(SURGING, refused=True), ROOM, {}, 2,
            step(REST, 2, RolloutReason.WAITING_FOR_GPUS,
                 "1 of 2 replicas new; the API server refuses more pods; the old ones serve"),
            id="a quota refuses the extra replica",
        ),
        pytest.param(
            replace(HALF, expired=True), FULL, {}, 2,
            step(REST, 2, RolloutReason.STUCK,
                 "1 of 2 replicas new, and no progress within the deadline; the old ones serve"),
            id="no progress",
        ),
        pytest.param(
            BEGINS, ROOM, {}, 1,
            step(SURGE, 2, RolloutReason.SURGE_FIRST,
                 "0 of 2 replicas new; each old one stops when a new one serves; then 1 in place of 2"),
            id="fewer replicas of another plan: the template first",
        ),
        pytest.param(
            replace(SURGING, updated_ready=1), FULL, {}, 1,
            step(SURGE, 1, RolloutReason.SURGE_FIRST, "1 of 1 replica new; each old one stops when a new one serves"),
            id="enough new ones serve, so the number follows",
        ),
        pytest.param(
            HALF, FULL, {}, 5,
            step(REST, 2, RolloutReason.ONE_AT_A_TIME,
                 "1 of 2 replicas new; up to 1 missing while replaced; no extra one fits: needs 8 free, 0 are; "
                 "then 5 in place of 2"),
            id="more replicas wait until none of them would be old",
        ),
    ],
)  # fmt: skip
def test_next_step(
    view: RolloutView, room: SurgeRoom, spec: dict[str, Any], wanted: int, expected: RolloutStep
) -> None:
    assert next_step(RolloutSpec.model_validate(spec), view, room, wanted=wanted, follows=False) == expected


def test_an_outside_scaler_is_followed_in_a_rollout() -> None:
    assert next_step(RolloutSpec(), HALF, FULL, wanted=5, follows=True).replicas == 5


@pytest.mark.parametrize(
    ("running", "old", "new", "carried"),
    [
        pytest.param(3, {"replicas": 2}, {"replicas": 4}, 3, id="the same pods keep their number"),
        pytest.param(2, {"replicas": 2}, {"replicas": 1, "gpu": "h200-sxm"}, 1, id="fewer replicas of larger GPUs"),
        pytest.param(1, {"replicas": 1}, {"replicas": 3, "gpu": "l40s"}, 1, id="the plan itself asks for more"),
        pytest.param(
            4, {"replicas": 2}, {"replicas": 1, "gpu": "h200-sxm"}, 2, id="what load has added, in proportion"
        ),
        pytest.param(3, {"replicas": 2}, {"replicas": 1, "gpu": "h200-sxm"}, 2, id="rounded up"),
        pytest.param(0, {"replicas": 2}, {"replicas": 1, "gpu": "h200-sxm"}, 0, id="nothing runs"),
    ],
)
def test_carried_replicas(running: int, old: dict[str, Any], new: dict[str, Any], carried: int) -> None:
    assert carried_replicas(running, make_plan(**old), make_plan(**new)) == carried
