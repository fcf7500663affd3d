"""The accepted plan as text and back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.resources.configmap_plan import accepted_plan, build_plan_config_map
from deepseek_operator.resources.names import Owner
from deepseek_operator.resources.plan_record import decode_plan, encode_plan
from model_factories import make_plan


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
    manifest = build_plan_config_map(Owner(name="r1", namespace="chat"), plan, plan_hash="1f3a", fingerprint="9c")
    assert accepted_plan(manifest["data"]) == plan
    assert (manifest["data"]["hash"], manifest["data"]["fingerprint"]) == ("1f3a", "9c")


def edited(**changes: object) -> str:
    return json.dumps(json.loads(encode_plan(make_plan())) | changes)


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    assert decode_plan(edited(invented_later=1)) == make_plan()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("{", id="no JSON"),
        pytest.param("[]", id="no object"),
        pytest.param("{}", id="missing fields"),
        pytest.param(edited(max_model_len="4096"), id="a number as text"),
        pytest.param(edited(max_model_len=True), id="a truth value as a number"),
        pytest.param(edited(cost_per_hour_usd="cheap"), id="money that is no number"),
        pytest.param(edited(kv_cache_dtype="int2"), id="an unknown word"),
        pytest.param(edited(reasons="because"), id="text in place of a list"),
        pytest.param(edited(memory=None), id="a missing block"),
    ],
)
def test_text_that_is_no_plan_of_this_version_is_none(text: str) -> None:
    assert decode_plan(text) is None


def test_the_same_plan_is_always_the_same_text() -> None:
    assert encode_plan(make_plan()) == encode_plan(replace(make_plan()))
