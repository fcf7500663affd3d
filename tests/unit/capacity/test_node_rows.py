"""Rows of nodes: every GPU of a node is told once, by who holds it or what becomes of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.api.parse import parse
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.inventory import inventory
from deepseek_operator.capacity.page import capacity_page
from deepseek_operator.capacity.report import capacity_report
from deepseek_operator.resources.names import LABEL_DEPLOYMENT
from share_nodes import mig_node
from spec_table import changed

SMALL = {LABEL_DEPLOYMENT: "small"}


def report(*objects: Mapping[str, Any], fleet: bool = True) -> dict[str, Any]:
    nodes = [read_node(each) for each in objects if each["kind"] == "Node"]
    pods = [read_pod(each) for each in objects if each["kind"] == "Pod"]
    deployments = [parse(changed({"parallelism.tensor": 4}))] if fleet else []
    return capacity_report(deployments, inventory(nodes, pods))


def test_a_node_with_one_of_ours_and_one_of_others() -> None:
    found = report(
        gpu_node("a"),
        gpu_pod("small-1", gpus=4, node="a", labels=SMALL),
        gpu_pod("notebook", gpus=1, node="a", namespace="team"),
    )
    assert found["nodes"] == [
        {
            "node": "a",
            "gpu": "h100-sxm5-80gb",
            "gpus": 8,
            "sharing": "Whole",
            "zone": "",
            "instance": "",
            "costPerHourUsd": "15.92",
            "held": [
                {"by": "default/small", "gpus": 4, "ours": True},
                {"by": "team/notebook", "gpus": 1, "ours": False},
            ],
            "coming": [],
            "free": 0,
            "stranded": 3,
            "unhealthy": 0,
            "shared": 0,
            "sharedHeld": [],
            "unusable": "",
        }
    ]


def test_where_a_replica_would_start() -> None:
    (node,) = report(gpu_node("a"))["nodes"]
    assert (node["coming"], node["free"], node["stranded"]) == ([{"by": "default/small", "gpus": 4}], 4, 0)


def test_a_cordoned_node_says_why_nobody_can_use_it() -> None:
    (node,) = report(gpu_node("a", unschedulable=True), fleet=False)["nodes"]
    assert (node["free"], node["stranded"], node["unusable"]) == (0, 8, "it is cordoned")


def test_whole_gpus_beside_slices_are_cells_of_their_own() -> None:
    found = report(
        mig_node("a", {"1g.10gb": 14}, whole=6),
        gpu_pod("notebook", gpus=1, node="a", namespace="team"),
        gpu_pod("tiny", gpus=3, node="a", namespace="team", resource="nvidia.com/mig-1g.10gb"),
    )
    (node,) = found["nodes"]
    assert (node["held"], node["coming"]) == (
        [{"by": "team/notebook", "gpus": 1, "ours": False}],
        [{"by": "default/small", "gpus": 4}],
    )
    assert (node["gpus"], node["free"], node["stranded"], node["unhealthy"], node["shared"]) == (8, 0, 1, 0, 2)
    assert node["sharedHeld"] == [{"by": "team/tiny", "gpus": 3, "ours": False}]
    cells = re.findall(r'data-state="(\w+)"', capacity_page(found))
    assert Counter(cells) == {"foreign": 1, "planned": 4, "stranded": 1, "shared": 2}


def test_gpus_behind_a_taint_that_nobody_tolerates_are_stranded() -> None:
    tainted = gpu_node("b", taints=[{"key": "team", "value": "x", "effect": "NoSchedule"}])
    found = report(gpu_node("a"), tainted)
    assert [(row["node"], row["gpus"], row["reason"]) for row in found["stranded"]] == [
        ("b", 8, "its taint team=x:NoSchedule is not tolerated")
    ]


def test_memory_of_a_placed_deployment_is_the_whole_gpu() -> None:
    (placed,) = report(gpu_node("a"))["placed"]
    assert sum(placed["memoryPercent"].values()) == pytest.approx(100, abs=1)
    assert placed["memoryPercent"]["kvCache"] > placed["memoryPercent"]["other"] > 0


def test_names_from_the_cluster_cannot_become_markup() -> None:
    page = capacity_page(report(gpu_node("a"), gpu_pod("</script><script>alert(1)</script>", node="a")))
    assert page.count("<script") == page.count("</script>") == 1
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page


def test_many_nodes_that_look_alike_are_one_row() -> None:
    page = capacity_page(report(*(gpu_node(f"n{number:03}") for number in range(500)), fleet=False))
    assert page.count('class="node"') == 1
    assert "and 499 alike" in page


def test_a_question_shows_the_cluster_before_and_after() -> None:
    page = capacity_page(
        report(gpu_node("a")), before=report(gpu_node("a"), gpu_node("b")), question="without b", as_of="noon"
    )
    assert [page.count(f'data-section="{name}"') for name in ("As it is", "As asked", "answer")] == [1, 1, 0]
    assert [page.count(f'data-node="{name}"') for name in ("a", "b")] == [2, 1]
    assert "<title>GPU capacity: without b</title>" in page
