"""The question of a CapacityPlan: the cluster as asked, and a bounded answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.api.capacity_plan import CapacityPlanStatus, parse_capacity_plan
from deepseek_operator.api.parse import parse
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.inventory import inventory
from deepseek_operator.capacity.question import Asked, answer, bounded_answer
from deepseek_operator.errors import CatalogError, InvalidSpecError, InventoryError
from spec_table import changed

NODES = [read_node(gpu_node("a")), read_node(gpu_node("b"))]
PODS = [read_pod(gpu_pod("other", gpus=6, node="a"))]
SMALL = Asked(
    deployment=parse(changed({"parallelism.tensor": 4, "scaling.maxReplicas": 4})), accepted=None, replicas=None
)


def answered(spec: Mapping[str, Any], *asked: Asked) -> dict[str, Any]:
    question = parse_capacity_plan({"spec": spec})
    return bounded_answer(answer(question, asked, NODES, PODS, inventory(NODES, PODS)))


def test_the_cluster_as_it_is() -> None:
    assert answered({}, SMALL) == {
        "gpus": [
            {
                "gpu": "h100-sxm5-80gb",
                "nodes": 2,
                "total": 16,
                "used": 6,
                "free": 10,
                "unusable": 0,
                "shared": 0,
                "unhealthy": 0,
                "costPerHourUsd": "31.84",
            }
        ],
        "unplaced": [],
        "suggestions": [],
        "summary": "1 of 1 replicas fit now; 10 of 16 GPUs are free and 2 stranded",
        "strandedGpus": 2,
        "truncated": False,
    }


@pytest.mark.parametrize(
    ("spec", "summary"),
    [
        ({"atMaxReplicas": True}, "2 of 4 replicas fit now; 10 of 16 GPUs are free and 2 stranded"),
        (
            {"replicas": [{"namespace": "default", "name": "small", "replicas": 3}]},
            "2 of 3 replicas fit now; 10 of 16 GPUs are free and 2 stranded",
        ),
        (
            {"addNodes": [{"instance": "p5.48xlarge", "count": 1}], "atMaxReplicas": True},
            "4 of 4 replicas fit now; 18 of 24 GPUs are free and 2 stranded",
        ),
        (
            {"removeNodes": ["b"]},
            "0 of 1 replicas fit now; 2 of 8 GPUs are free and 2 stranded",
        ),
        (
            {"removeNodes": ["*"]},
            "0 of 0 replicas fit now, 1 deployment without a plan; 0 of 0 GPUs are free and 0 stranded",
        ),
    ],
)
def test_what_if(spec: Mapping[str, Any], summary: str) -> None:
    told = answered(spec, SMALL)
    assert told["summary"] == summary
    CapacityPlanStatus.model_validate_json(json.dumps(told))


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ({"addNodes": [{"instance": "p5.48xlarg", "count": 1}]}, CatalogError, "did you mean"),
        ({"removeNodes": ["c"]}, InventoryError, "no node is called 'c'"),
        (
            {"replicas": [{"namespace": "default", "name": "big", "replicas": 3}]},
            InvalidSpecError,
            "there is no DeepSeekDeployment big in namespace default",
        ),
        ({"addNodes": [{"instance": "p5.48xlarge", "count": 0}]}, InvalidSpecError, "spec.addNodes"),
        ({"addnodes": []}, InvalidSpecError, "did you mean addNodes"),
    ],
)
def test_questions_that_have_no_answer(spec: Mapping[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        answered(spec, SMALL)


def test_a_long_answer_is_cut_and_says_so() -> None:
    rows = [{"name": f"d{number}", "replicas": 1, "reason": "x" * 5000} for number in range(40)]
    told = bounded_answer({"gpus": [], "placed": [], "unplaced": rows, "stranded": [], "suggestions": []})
    assert (len(told["unplaced"]), len(told["unplaced"][0]["reason"]), told["truncated"]) == (32, 1024, True)


def test_an_object_that_cannot_be_obeyed_costs_the_others_nothing() -> None:
    wrong = parse(
        changed(
            {
                "scaling.maxReplicas": 4,
                "scaling.schedules": [
                    {"name": "day", "start": "61 12 * * *", "durationSeconds": 3600, "minReplicas": 1, "maxReplicas": 2}
                ],
            }
        )
    )
    told = answered({}, SMALL, Asked(deployment=wrong, accepted=None, replicas=None))
    assert told["summary"].startswith("1 of 1 replicas fit now, 1 deployment without a plan")
    assert [row["reason"][:12] for row in told["unplaced"]] == ["InvalidSpec:"]
