"""The accepted plan as text and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepseek_operator.api.plan_status import plan_status
from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.resources.configmap_plan import PLAN_KEY, accepted_plan, build_plan_config_map
from deepseek_operator.resources.names import Owner
from model_factories import make_plan

OWNER = Owner(name="r1", namespace="chat")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="the sample"),
        pytest.param({"predicted": None, "cost_per_hour_usd": None}, id="without speed and price"),
        pytest.param({"alternatives": (), "reasons": ()}, id="without reasons"),
        pytest.param(
            {"parallelism": Parallelism(tensor=2, data=4, expert=True), "kv_cache_dtype": KvCacheDtype.FP8},
            id="another split and KV cache",
        ),
    ],
)
def test_a_plan_survives_the_config_map(changes: dict[str, Any]) -> None:
    plan = make_plan(**changes)
    manifest = build_plan_config_map(OWNER, plan, plan_hash="1f3a", fingerprint="9c")
    assert accepted_plan(manifest["data"]) == plan
    assert (manifest["data"]["hash"], manifest["data"]["fingerprint"]) == ("1f3a", "9c")


def edited(**changes: object) -> dict[str, str]:
    kept = json.loads(build_plan_config_map(OWNER, make_plan(), plan_hash="1f3a")["data"][PLAN_KEY])
    return {PLAN_KEY: json.dumps(kept | changes)}


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    assert accepted_plan(edited(inventedLater=1)) == make_plan()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="nothing"),
        pytest.param({PLAN_KEY: "{"}, id="no JSON"),
        pytest.param({PLAN_KEY: "[]"}, id="no object"),
        pytest.param({PLAN_KEY: "[" * 100_000}, id="deeper than any reader goes"),
        pytest.param({PLAN_KEY: "{}"}, id="missing fields"),
        pytest.param(edited(maxModelLen="4096"), id="a number as text"),
        pytest.param(edited(maxModelLen=True), id="a truth value as a number"),
        pytest.param(edited(costPerHourUsd="cheap"), id="money that is no number"),
        pytest.param(edited(kvCache="int2"), id="an unknown word"),
        pytest.param(edited(reasons="because"), id="text in place of a list"),
        pytest.param(edited(memoryPerGpu=None), id="a missing block"),
    ],
)
def test_text_that_is_no_plan_of_this_version_is_none(data: dict[str, str]) -> None:
    assert accepted_plan(data) is None


def test_the_config_map_keeps_what_status_shows() -> None:
    data = build_plan_config_map(OWNER, make_plan(), plan_hash="1f3a")["data"]
    assert json.loads(data[PLAN_KEY]) == plan_status(make_plan())
