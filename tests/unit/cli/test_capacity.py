"""The verb ``capacity`` on files: what is printed, what is refused, and the exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.capacity.purchases import plan_words
from deepseek_operator.cli.capacity import capacity
from deepseek_operator.cli.output import PageFormat
from deepseek_operator.errors import CatalogError, InvalidSpecError, InventoryError
from deployment_file import written
from spec_table import Changes, changed

R1: Changes = {"model.name": "deepseek-ai/DeepSeek-R1", "workload.maxContextTokens": 4096}


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    file = tmp_path / "cluster.json"
    items = [gpu_node("a"), gpu_node("b"), gpu_pod("other", gpus=6, node="a")]
    file.write_text(json.dumps({"kind": "List", "items": items}))
    return file


def answered(capsys: pytest.CaptureFixture[str]) -> Any:  # noqa: ANN401 - whatever the JSON holds
    return json.loads(capsys.readouterr().out)


def test_the_gpus_of_a_cluster(nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capacity(cluster=nodes, output=PageFormat.JSON)
    found = answered(capsys)
    assert [(row["node"], row["gpus"], row["free"]) for row in found.pop("nodes")] == [("a", 8, 2), ("b", 8, 8)]
    assert found == {
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
        "placed": [],
        "unplaced": [],
        "stranded": [],
        "suggestions": [],
        "gapPercent": 0.0,
        "partial": [],
        "jobs": [],
        "moves": {"steps": [], "makeRoomFor": [], "proven": True, "nodesLookedAt": 0},
        "quotas": {
            "namespaces": [
                {
                    "namespace": "default",
                    "usedGpus": 6,
                    "promisedGpus": 0,
                    "worstCaseGpus": 6,
                    "limits": {},
                    "overLimit": [],
                }
            ],
            "priorities": [
                {
                    "priorityClass": "(none)",
                    "value": 0,
                    "usedGpus": 6,
                    "promisedGpus": 0,
                    "worstCaseGpus": 6,
                    "shortGpus": 0,
                }
            ],
            "products": [
                {
                    "gpu": "h100-sxm5-80gb",
                    "totalGpus": 16,
                    "usedGpus": 6,
                    "worstCaseGpus": 6,
                    "overCommittedGpus": 0,
                }
            ],
        },
    }


def test_a_deployment_that_fits(tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capacity(written(tmp_path, {"parallelism.tensor": 4}), cluster=nodes, output=PageFormat.JSON)
    found = answered(capsys)
    (placed,) = found["placed"]
    assert (placed["fitsNow"], placed["fitsIfPacked"], placed["running"], placed["nodes"]) == (1, 1, 0, ["b"])
    assert found["stranded"] == [
        {
            "node": "a",
            "gpu": "h100-sxm5-80gb",
            "gpus": 2,
            "reason": "the smallest replica here takes 4 GPUs of one node",
        }
    ]


def test_what_does_not_fit_now_is_exit_code_2(tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        capacity(written(tmp_path, R1), cluster=nodes, output=PageFormat.JSON)
    assert ended.value.exit_code == 2
    (unplaced,) = answered(capsys)["unplaced"]
    assert unplaced["replicas"] == 1
    assert "8 free h100-sxm5-80gb on each of 2 nodes" in unplaced["reason"]


def test_more_nodes_make_it_fit(tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = written(tmp_path, R1)
    capacity(spec, cluster=nodes, add_nodes=["p5.48xlarge=1"], output=PageFormat.JSON)
    (placed,) = answered(capsys)["placed"]
    assert (placed["fitsNow"], placed["nodes"]) == (1, ["b", "p5.48xlarge-added-0"])


def test_nodes_that_are_added_twice_have_names_of_their_own(
    tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capacity(
        written(tmp_path, R1),
        cluster=nodes,
        add_nodes=["p5.48xlarge=1", "p5.48xlarge=1"],
        remove_nodes=["b"],
        output=PageFormat.JSON,
    )
    (placed,) = answered(capsys)["placed"]
    assert placed["nodes"] == ["p5.48xlarge-added-0", "p5.48xlarge-added-1"]


def test_deployments_that_are_alike_buy_alike(tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = changed(R1)
    file = tmp_path / "two.yaml"
    file.write_text(yaml.safe_dump_all([first, first | {"metadata": {"name": "alike", "namespace": "default"}}]))
    with pytest.raises(typer.Exit):
        capacity(str(file), cluster=nodes, remove_nodes=["a"], suggest=True, output=PageFormat.JSON)
    bought = answered(capsys)["suggestions"]
    small, alike = ([row | {"name": ""} for row in bought if row["name"] == name] for name in ("small", "alike"))
    assert len(small) == 3
    assert small == alike


def test_what_has_no_plan_here_is_said_with_what_would_hold_it(
    tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        capacity(written(tmp_path, R1), cluster=nodes, remove_nodes=["a"], suggest=True, output=PageFormat.JSON)
    found = answered(capsys)
    assert found["unplaced"][0]["reason"].startswith("MemoryInsufficient: ")
    bought = found["suggestions"]
    assert [row["name"] for row in bought] == ["small"] * len(bought)
    assert len({row["gpu"] for row in bought}) == len(bought) == 3
    costs = [float(row["costPerHourUsd"]) for row in bought]
    assert costs == sorted(costs)
    for row in bought:
        assert float(row["costPerMonthUsd"]) == pytest.approx(730 * float(row["costPerHourUsd"]), abs=8)
        assert (row["network"] is None) == (row["nodesPerReplica"] == 1)
        assert plan_words(row).startswith(f"{row['gpusPerReplica']} x {row['gpu']}, {row['parallel']}")


def test_a_suggestion_over_several_nodes_says_split_and_network(
    tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """R1 on nodes of one GPU each: cheap, and not what most people want to run."""
    demand: Changes = {"hardware.gpus": ["h100-sxm5-80gb"]}
    with pytest.raises(typer.Exit):
        capacity(written(tmp_path, R1 | demand), cluster=nodes, remove_nodes=["a", "b"], suggest=True)
    assert "11 x h100-sxm5-80gb, TP1 PP11 over 11 nodes by TCP" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        pytest.param({"add_nodes": ["p5.48xlarge"]}, typer.BadParameter, "write INSTANCE=N", id="no count"),
        pytest.param({"add_nodes": ["p5.48xlarge=0"]}, InventoryError, "add 1 to 10,000 nodes", id="no node"),
        pytest.param({"add_nodes": ["p5.48xlarge=-1"]}, typer.BadParameter, "write INSTANCE=N", id="fewer than none"),
        pytest.param({"add_nodes": ["p5.48xlarg=1"]}, CatalogError, "did you mean", id="no such instance type"),
        pytest.param(
            {"group_domain": "kubernetes.io/hostnam"},
            InventoryError,
            "'kubernetes.io/hostnam': no GPU node carries this label; did you mean kubernetes.io/hostname[?]",
            id="a mistyped label",
        ),
        pytest.param({"group_domain": "x"}, InventoryError, "they carry none that names a place", id="no such label"),
        pytest.param({"remove_nodes": ["x-*"]}, InventoryError, "no node is called 'x-*'", id="no such node"),
    ],
)
def test_questions_that_cannot_be_asked(
    nodes: Path, changes: dict[str, list[str] | str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words.replace("*", r"\*")):
        capacity(cluster=nodes, output=PageFormat.JSON, **changes)  # type: ignore[arg-type]  # lists of texts, a text


def test_one_name_twice_is_refused(tmp_path: Path, nodes: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text(yaml.safe_dump_all([changed({}), changed({})]))
    with pytest.raises(InvalidSpecError, match="is there twice"):
        capacity(str(file), cluster=nodes)


def test_a_piped_table_breaks_no_line(tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, {"hardware.gpus": ["l40s"]})
    with pytest.raises(typer.Exit):
        capacity(file, cluster=nodes, output=PageFormat.JSON)
    (row,) = answered(capsys)["unplaced"]
    with pytest.raises(typer.Exit):
        capacity(file, cluster=nodes)
    assert len(row["reason"]) > 100
    assert f"{row['name']}: no plan: {row['reason']}" in capsys.readouterr().out.splitlines()


def test_the_table(tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capacity(written(tmp_path, {}), cluster=nodes)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["h100-sxm5-80gb", "2", "16", "6", "10", "0", "0", "0", "31.84"] in lines
    assert ["Deployment", "GPU", "GPUs/replica", "Replicas", "Running", "Fit", "now", "Fit", "if", "packed", "More",
            "fit"] in lines  # fmt: skip


def test_moves_and_quotas_are_told_to_people(nodes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capacity(cluster=nodes, free=["h100-sxm5-80gb=8"], quotas=True)
    shown = " ".join(capsys.readouterr().out.split())
    assert "The fewest moves that make room for 8 free h100-sxm5-80gb (1) none: there is room" in shown
    assert "Namespace Used Promised At most Quota Over quota default 6 0 6 - -" in shown
    assert "GPU GPUs Used At most Over-committed h100-sxm5-80gb 16 6 6 0" in shown


def test_months_have_thousands_separators(tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        capacity(written(tmp_path, R1), cluster=nodes, remove_nodes=["a"], suggest=True)
    lines = capsys.readouterr().out.splitlines()
    bought = [line.split()[-2] for line in lines[lines.index("What would hold it") + 2 :]]
    assert len(bought) == 3
    assert all(re.fullmatch(r"\d{1,3},\d{3}\.\d\d", month) for month in bought)
    assert [line for line in lines if line.endswith(" ")] == []


@pytest.mark.parametrize("wish", ["h100-sxm5-80gb", "h100-sxm5-80gb=x", "h100-sxm5-80gb=-1"])
def test_a_wish_for_free_gpus_is_a_product_and_a_number(nodes: Path, wish: str) -> None:
    with pytest.raises(typer.BadParameter, match="write GPU=N, such as h100-sxm5-80gb=8"):
        capacity(cluster=nodes, free=[wish])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_what_was_asked_for_and_not_found_is_said(
    tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, {})
    capacity(file, cluster=nodes, suggest=True)
    assert said(capsys) == "everything fits now; nothing to move or to buy"
    capacity(file, cluster=nodes, remove_nodes=["b"], free=["h100-sxm5-80gb=08"])
    assert said(capsys) == "no moves free 8 h100-sxm5-80gb on one node"
    capacity(cluster=nodes, remove_nodes=["b"], free=["h100-sxm5-80gb=8"])
    assert said(capsys) == ("no moves free 8 h100-sxm5-80gb on one node; give the deployments that may move with -f")
    with pytest.raises(typer.Exit):
        capacity(written(tmp_path, {"hardware.maxCostPerHourUsd": "0.01"}), cluster=nodes, suggest=True)
    assert said(capsys) == "small: no moves make room for it, and nothing in the catalogue would hold it"
