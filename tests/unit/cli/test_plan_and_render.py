"""The verbs ``plan`` and ``render`` on files: what is printed, what is said beside it, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from cluster_objects import gpu_node
from deepseek_operator.cli.output import OutputFormat
from deepseek_operator.cli.plan import plan
from deepseek_operator.cli.render import render
from spec_table import Changes, changed

TWO_NODES = "planned, but no pods are made: the plan spans 2 nodes per replica"


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps({"kind": "List", "items": [gpu_node("a"), gpu_node("b")]}))
    return file


def written(folder: Path, changes: Changes) -> str:
    file = folder / "deployment.yaml"
    file.write_text(yaml.safe_dump(changed(changes)))
    return str(file)


R1: Changes = {"model.name": "deepseek-ai/DeepSeek-R1"}
CANARY: Changes = {"rollout": {"canary": {}}}
NOWHERE: Changes = {"hardware.gpus": ["l40s"]}


def answered(capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    out, told = capsys.readouterr()
    return json.loads(out), told


def test_a_plan_that_runs_is_printed_in_silence(
    tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(written(tmp_path, {}), cluster=nodes, output=OutputFormat.JSON)
    answer, told = answered(capsys)
    (item,) = answer["items"]
    assert (item["name"], item["feasible"], item["plan"]["gpu"], item["infeasible"], told) == (
        "small",
        True,
        "h100-sxm5-80gb",
        None,
        "",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param(R1, TWO_NODES, id="a replica over two nodes"),
        pytest.param(CANARY, "spec.rollout.canary is not supported by this version", id="a field that is not obeyed"),
    ],
)
def test_a_plan_that_does_not_run_says_so(
    changes: Changes, words: str, tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(written(tmp_path, changes), cluster=nodes, output=OutputFormat.JSON)
    answer, told = answered(capsys)
    assert answer["items"][0]["feasible"]
    assert words in told


def test_no_plan_is_a_sound_no(tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        plan(written(tmp_path, NOWHERE), cluster=nodes, output=OutputFormat.JSON)
    (item,) = answered(capsys)[0]["items"]
    assert (ended.value.exit_code, item["plan"], item["infeasible"]["reason"]) == (2, None, "NoSuchGpu")


def test_manifests_are_rendered_in_the_order_to_apply_them(
    tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    render(written(tmp_path, {}), cluster=nodes)
    out, told = capsys.readouterr()
    kinds = [manifest["kind"] for manifest in yaml.safe_load_all(out)]
    assert (kinds, told) == (["ConfigMap", "Service", "Deployment"], "")


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        pytest.param(R1, ["ConfigMap", "Service"], id="a plan that cannot run yet"),
        pytest.param(CANARY, ["ConfigMap", "Service"], id="a field that is not obeyed"),
        pytest.param(NOWHERE, [], id="no plan"),
    ],
)
def test_a_pipeline_sees_that_pods_are_missing(
    changes: Changes, kinds: list[str], tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        render(written(tmp_path, changes), cluster=nodes, output=OutputFormat.JSON)
    answer, told = answered(capsys)
    assert ([manifest["kind"] for manifest in answer["items"]], ended.value.exit_code) == (kinds, 2)
    assert told.startswith("small: ")
