"""Positions on the ladder: what is asked of the planner there, within which limits, and what the plan says of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.api.fingerprint import spec_fingerprint
from deepseek_operator.api.ladder import AS_ASKED, Formats, Position, replica_limits
from deepseek_operator.api.plan_status import plan_from_status, plan_status
from deepseek_operator.api.to_request import plan_request
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.catalog import models
from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.compromise import CompromiseKind
from deepseek_operator.planner.request import PinnedParallelism
from model_factories import make_deployment
from planner_values import H100, L40S, RTX_4090, planned, pool, supply

BIG, SMALL = "deepseek-ai/deepseek-llm-67b-chat", "deepseek-ai/deepseek-llm-7b-chat"
NIGHT = {"name": "night", "start": "0 22 * * *", "durationSeconds": 28800, "minReplicas": 2, "maxReplicas": 6}
RUSH = NIGHT | {"name": "rush", "minReplicas": 1, "maxReplicas": 3}
BY_NIGHT = Position(model=SMALL, window="night")
PRESSED = Formats(
    kv_cache=KvCacheDtype.FP8, quantization="FP8", gpu=H100, parallelism=Parallelism(tensor=4, pipeline=1)
)


def with_windows(**spec: object) -> DeepSeekDeployment:
    fallbacks = [{"model": SMALL, "when": "Schedule", "schedule": "night"}]
    return make_deployment(scaling={"maxReplicas": 1, "schedules": [NIGHT, RUSH]}, fallbacks=fallbacks, **spec)


def test_outside_windows_their_model_is_neither_asked_nor_a_fallback() -> None:
    asked = plan_request(with_windows())
    assert (asked.model_name, asked.fallbacks, asked.compromise) == (BIG, (), None)
    assert (asked.min_replicas, asked.max_replicas) == (1, 3)


def test_inside_a_window_its_model_is_asked_and_the_asked_one_steps_in() -> None:
    asked, outside = plan_request(with_windows(), BY_NIGHT), plan_request(with_windows())
    assert (asked.model_name, asked.model) == (SMALL, models.shape(SMALL))
    assert (asked.min_replicas, asked.max_replicas) == (2, 6)
    assert asked.fallbacks == (replace(outside, max_replicas=6),)


@pytest.mark.parametrize(
    ("scaling", "model", "limits"),
    [
        pytest.param({}, "", (1, 1), id="nothing said"),
        pytest.param({"minReplicas": 0, "scaleToZeroAfterSeconds": 60}, "", (1, 1), id="to zero"),
        pytest.param({"maxReplicas": 2, "schedules": [NIGHT]}, "", (1, 2), id="a window of another model"),
        pytest.param({"maxReplicas": 2, "schedules": [NIGHT, RUSH]}, "", (1, 3), id="and one of its own"),
        pytest.param({"maxReplicas": 9, "schedules": [NIGHT, RUSH]}, SMALL, (2, 6), id="the model of a window"),
    ],
)
def test_limits_of_each_model(scaling: dict[str, object], model: str, limits: tuple[int, int]) -> None:
    fallbacks = [{"model": SMALL, "when": "Schedule", "schedule": "night"}] if "schedules" in scaling else []
    assert replica_limits(make_deployment(scaling=scaling, fallbacks=fallbacks).spec, model) == limits


def test_under_pressure_gpus_and_split_stay() -> None:
    asked = plan_request(make_deployment(precision={"quality": "NearLossless"}), Position(formats=PRESSED))
    assert (asked.gpus, asked.quantization, asked.kv_cache_dtype) == ((H100,), "FP8", KvCacheDtype.FP8)
    assert asked.parallelism == PinnedParallelism(tensor=4, pipeline=1, data=1, expert=False)


def test_every_position_has_a_fingerprint_of_its_own_whatever_the_window_is_called() -> None:
    deployment = with_windows()
    positions = (AS_ASKED, BY_NIGHT, Position(formats=PRESSED), replace(BY_NIGHT, formats=PRESSED))
    assert len({spec_fingerprint(deployment, each) for each in positions}) == len(positions)
    assert spec_fingerprint(deployment, replace(BY_NIGHT, window="rush")) == spec_fingerprint(deployment, BY_NIGHT)


def test_a_window_at_another_time_asks_the_planner_the_same() -> None:
    later = with_windows()
    changed = make_deployment(
        scaling={"maxReplicas": 1, "schedules": [NIGHT | {"start": "0 23 * * *"}, RUSH]},
        fallbacks=[{"model": SMALL, "when": "Schedule", "schedule": "night"}],
    )
    assert spec_fingerprint(changed) == spec_fingerprint(later)


def test_a_plan_by_schedule_says_so() -> None:
    plan = planned(plan_request(with_windows(), BY_NIGHT), supply(pool(H100, 2)))
    assert plan.compromise is not None
    assert (plan.model_name, plan.compromise.kind) == (SMALL, CompromiseKind.SCHEDULE)
    assert plan.reasons[0] == f"{SMALL} runs while the window night is open; then {BIG} runs again."
    stored = plan_from_status(plan_status(plan))
    assert stored is not None
    assert stored.compromise == plan.compromise


def test_a_window_whose_model_has_no_plan_keeps_the_asked_one() -> None:
    fallbacks = [{"model": "deepseek-ai/DeepSeek-R1", "when": "Schedule", "schedule": "night"}]
    deployment = make_deployment(model={"name": SMALL}, scaling={"schedules": [NIGHT]}, fallbacks=fallbacks)
    position = Position(model="deepseek-ai/DeepSeek-R1", window="night")
    plan = planned(plan_request(deployment, position), supply(pool(RTX_4090, 8, 1), pool(L40S, 8, 1)))
    assert plan.compromise is not None
    assert (plan.model_name, plan.compromise.kind) == (SMALL, CompromiseKind.FALLBACK)
    assert plan.compromise.change == f"{SMALL} runs in its place"
