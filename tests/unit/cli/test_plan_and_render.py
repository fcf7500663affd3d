"""The verbs ``plan`` and ``render`` on files: what is printed, what is said beside it, and the exit code."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.capacity.snapshot import API_VERSION, KIND, project_node
from deepseek_operator.cli.output import OutputFormat
from deepseek_operator.cli.plan import plan
from deepseek_operator.cli.render import render
from deepseek_operator.errors import InvalidSpecError
from deployment_file import written
from spec_table import Changes

R1: Changes = {"model.name": "deepseek-ai/DeepSeek-R1"}
LMCACHE: Changes = {"engine.kvOffload": {"backend": "LMCache", "hostMemoryBytes": 2**30}}
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
        pytest.param(
            LMCACHE,
            "spec.engine.kvOffload.backend: LMCache needs an image",
            id="not obeyed",
        ),
        pytest.param({"engine.type": "Triton"}, "spec.engine.image", id="Triton without its image"),
    ],
)
def test_a_plan_that_does_not_run_says_so(
    changes: Changes, words: str, tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(written(tmp_path, changes), cluster=nodes, output=OutputFormat.JSON)
    answer, told = answered(capsys)
    (item,) = answer["items"]
    assert (item["feasible"], item["notRunnable"]) == (True, told.partition("no pods are made: ")[2].strip())
    assert words in told
    plan(written(tmp_path, changes), cluster=nodes, output=OutputFormat.TABLE)
    assert "Pods       none are made: " in capsys.readouterr().out


def test_what_has_no_room_now_is_said_with_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "full.json"
    items = [gpu_node("a"), gpu_pod("other", gpus=8, node="a")]
    file.write_text(json.dumps({"kind": "List", "items": items}))
    plan(written(tmp_path, {}), cluster=file, output=OutputFormat.TABLE)
    (line,) = (each for each in capsys.readouterr().out.splitlines() if each.startswith("Room"))
    assert line == (
        "Room       0 of 1 replica can run now: needs 1 free h100-sxm5-80gb on one node; the freest node a has 0 of 8"
    )
    file.write_text(json.dumps({"kind": "List", "items": items[:1]}))
    plan(written(tmp_path, {}), cluster=file, output=OutputFormat.TABLE)
    assert "Room " not in capsys.readouterr().out


def test_a_plan_that_runs_has_no_reason_why_not(
    tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(written(tmp_path, {}), cluster=nodes, output=OutputFormat.JSON)
    assert answered(capsys)[0]["items"][0]["notRunnable"] is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"engine.extraArgs": ["--max-num-seqs=4"]},
            "spec.engine.extraArgs: --max-num-seqs contradicts the plan: set spec.engine.maxNumSeqs instead",
        ),
        (
            {"model.storage": {"hostPath": {"path": "/models/../etc"}}},
            "spec.model.storage.hostPath.path: holds '..'; write the directory itself",
        ),
    ],
)
def test_what_the_operator_refuses_is_refused_by_plan_and_render_alike(
    tmp_path: Path, nodes: Path, changes: Changes, sentence: str
) -> None:
    file = written(tmp_path, changes)
    for verb in (plan, render):
        with pytest.raises(InvalidSpecError) as refused:
            verb(file, cluster=nodes)
        assert str(refused.value) == sentence


def test_what_a_window_would_run_is_told_beside(
    tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = {"start": "0 22 * * *", "durationSeconds": 3600, "minReplicas": 1, "maxReplicas": 2}
    smaller, larger = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "deepseek-ai/DeepSeek-R1"
    windows: Changes = {
        "scaling.schedules": [limits | {"name": "night"}, limits | {"name": "day"}],
        "fallbacks": [
            {"model": smaller, "when": "Schedule", "schedule": "night"},
            {"model": larger, "when": "Schedule", "schedule": "day"},
        ],
        "hardware.maxGpusTotal": 2,
    }
    plan(written(tmp_path, windows), cluster=nodes, output=OutputFormat.JSON)
    answer, told = answered(capsys)
    assert answer["items"][0]["plan"]["modelName"] == "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
    night, day = told.splitlines()
    assert night.startswith(f"small: while the window night is open: {smaller} on 1 x (1 x h100-sxm5-80gb, TP1")
    assert day.startswith(f"small: while the window day is open: {larger} cannot be planned")
    assert day.endswith("so deepseek-ai/DeepSeek-R1-Distill-Qwen-7B runs in its place.")


def test_two_objects_of_one_name_are_refused(tmp_path: Path, nodes: Path) -> None:
    file = Path(written(tmp_path, {}))
    file.write_text(f"{file.read_text()}---\n{file.read_text()}")
    for verb in (plan, render):
        with pytest.raises(InvalidSpecError, match="is there twice in namespace default; rename one"):
            verb(str(file), cluster=nodes)


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
    ("features", "kinds"),
    [
        pytest.param(["leader_worker_set"], ["LeaderWorkerSet"], id="LeaderWorkerSet"),
        pytest.param([], ["Service", "StatefulSet", "StatefulSet"], id="what every cluster has"),
    ],
)
def test_a_replica_over_two_nodes_is_rendered_for_what_the_cluster_serves(
    features: list[str], kinds: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [project_node(gpu_node(name)) for name in ("a", "b")]
    file = tmp_path / "inventory.json"
    told = {"apiVersion": API_VERSION, "kind": KIND, "nodes": nodes, "pods": [], "features": features}
    file.write_text(json.dumps(told))
    render(written(tmp_path, R1), cluster=file, output=OutputFormat.JSON)
    answer, said = answered(capsys)
    assert ([manifest["kind"] for manifest in answer["items"]], said) == (["ConfigMap", "Service", *kinds], "")


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        pytest.param(LMCACHE, ["ConfigMap", "Service"], id="not obeyed"),
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


def prices(folder: Path, text: str) -> Path:
    file = folder / "prices.yaml"
    file.write_text(text)
    return file


def test_a_prices_file_replaces_the_prices_that_are_known(
    tmp_path: Path, nodes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = prices(tmp_path, 'h100-sxm5-80gb: "3.50"\nl40s: 1')
    plan(written(tmp_path, {}), cluster=nodes, prices=file, output=OutputFormat.JSON)
    answer, _ = answered(capsys)
    found = answer["items"][0]["plan"]
    per_million = Decimal("3.50") * 1_000_000 / (found["predicted"]["tokensPerSecond"] * 3600)
    assert found["costPerHourUsd"] == "3.50"
    assert Decimal(found["costPerMillionTokensUsd"]) == round(per_million, 4)
    assert f"Counted with the price of the prices file, which makes {per_million:.4f} USD per" in found["reasons"][0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("h100: 2", "unknown GPU 'h100'", id="no such GPU"),
        pytest.param("l40s: cheap", "l40s costs 'cheap'; write USD per hour from 0 to 1000, such as 2.10", id="words"),
        pytest.param("l40s: -1", "l40s costs -1; write USD per hour", id="below zero"),
        pytest.param("l40s: true", "l40s costs True; write USD per hour", id="a switch"),
        pytest.param("- l40s", "holds no mapping of GPU ids to prices", id="a list"),
        pytest.param("", "holds no mapping of GPU ids to prices", id="nothing"),
        pytest.param("l40s: {", "the text is no YAML", id="no YAML"),
        pytest.param("#" * 65_537, "is larger than 64 KiB", id="too large"),
    ],
)
def test_a_wrong_prices_file_is_refused_in_one_line(tmp_path: Path, nodes: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidSpecError) as error:
        plan(written(tmp_path, {}), cluster=nodes, prices=prices(tmp_path, text))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
