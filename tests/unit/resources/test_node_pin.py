from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.api.spec_hardware import Spot
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.spot import SPOT_LABELS
from deepseek_operator.planner.node_pin import LabelRule, NodePin
from deepseek_operator.resources.affinity import build_node_affinity

PRODUCT = {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-L4"]}
NO_PRICE = {"key": "price", "operator": "DoesNotExist"}
CHEAP = {"key": "price", "operator": "In", "values": ["1", "2"]}
NOT_SPOT = [{"key": key, "operator": "NotIn", "values": [value]} for key, value in SPOT_LABELS]
KARPENTER = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]}


def terms(pin: str, spot: Spot) -> list[list[dict[str, Any]]]:
    required = build_node_affinity(gpu("l4"), spot, pin=NodePin.read(pin))["nodeAffinity"]
    return [
        term["matchExpressions"]
        for term in required["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    ]


def test_pods_ask_for_one_of_the_alternatives_of_a_pin():
    assert terms("price in (1,2) or !price", Spot.ALLOW) == [[PRODUCT, CHEAP], [PRODUCT, NO_PRICE]]


def test_what_is_asked_already_is_asked_once():
    told = " and ".join(str(LabelRule.read(f"{key} notin ({value})")) for key, value in SPOT_LABELS)
    assert terms(f"!price and {told}", Spot.NEVER) == [[PRODUCT, *NOT_SPOT, NO_PRICE]]


def test_a_pin_is_asked_of_every_kind_of_interruptible_node():
    found = terms("price in (1,2)", Spot.ONLY)
    assert len(found) == len(SPOT_LABELS)
    assert found[3] == [PRODUCT, KARPENTER, CHEAP]


@pytest.mark.parametrize(
    ("rule", "labels", "holds"),
    [
        pytest.param("size > 80", {"size": "81"}, True, id="greater"),
        pytest.param("size > 80", {"size": "80"}, False, id="equal is not greater"),
        pytest.param("size > 80", {"size": "81G"}, False, id="no number"),
        pytest.param("size > 80", {}, False, id="no label to compare"),
        pytest.param("a in (x,)", {"a": ""}, True, id="an empty value"),
        pytest.param("a in (x,y)", {"a": "z"}, False, id="another value"),
        pytest.param("a notin (x,y)", {}, True, id="no label that it must not have"),
        pytest.param("a notin (x,y)", {"a": "y"}, False, id="a value that it must not have"),
        pytest.param("!a", {"a": ""}, False, id="an empty label is there"),
        pytest.param("!a", {"b": "c"}, True, id="another label"),
    ],
)
def test_labels_are_compared_as_the_scheduler_does(rule: str, labels: dict[str, str], holds: bool):
    assert LabelRule.read(rule).holds(labels) is holds


@pytest.mark.parametrize("text", ["a", "a in x", "a > b", "a in (x) or", "!", "a  in (x)"])
def test_text_that_is_no_pin_is_refused(text: str):
    with pytest.raises(ValueError, match="is no rule of a label"):
        NodePin.read(text)
