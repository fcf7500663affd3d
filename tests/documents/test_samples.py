"""The samples in README.md and docs/ work: commands are understood, run, and objects are what the API takes.

Commands of ours that a snapshot of a cluster can answer are run with one; those that change a cluster are pasted into a
shell by ``tests/cluster/test_walkthrough.py``, and what the documents show as output is compared by
``hack/render_examples.py --check``.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepseek_operator.api.capacity_plan import parse_capacity_plan
from deepseek_operator.api.parse import parse
from deepseek_operator.api.v1alpha1 import DeepSeekDeploymentSpec
from deepseek_operator.cli.main import kubectl_plugin, operator
from deepseek_operator.sandbox import DEFAULT_NODES
from documents.samples import OPERATOR, ROOT, Block, Command, blocks, commands

pytestmark = pytest.mark.timeout(300)

CHART = ROOT / "charts" / "deepseek-operator"
ANSWERED_BY_A_SNAPSHOT = {"plan", "render", "capacity", "simulate"}
ALONE = {"estimate", "catalog", "crd"}
PLACEHOLDER = re.compile(r"^(\.\.\.|[A-Z_]{3,}|.*<.*>.*)$")
"""A word that the reader has to replace."""

DIGEST = "sha256:" + "0" * 64
JOB = {"name": "sft", "mode": "lora", "model": "deepseek-ai/deepseek-llm-7b-chat", "gpu": "h100-sxm5-80gb"}
"""Of `capacity --jobs`."""


def identified(found: list[Command]) -> list[Any]:
    return [pytest.param(each, id=f"{each.place} {' '.join(each.words)[:60]}") for each in found]


def exit_code(program: Any, name: str, arguments: list[str]) -> tuple[int, str]:  # noqa: ANN401 - either program
    """Return how a program of ours ends, and what it prints."""
    said, sys.argv = io.StringIO(), [name, *arguments]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            program()
        except SystemExit as end:
            return int(end.code or 0), said.getvalue()
    return 0, said.getvalue()


def of_ours() -> list[Command]:
    return [each for each in commands() if each.ours is not None or list(each.words[:1]) == OPERATOR]


@pytest.mark.parametrize("command", identified(of_ours()))
def test_every_verb_and_option_exists(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [])
    arguments = command.ours if command.ours is not None else list(command.words[1:])
    program = kubectl_plugin if command.ours is not None else operator
    code, said = exit_code(program, "program", [word for word in arguments if word != "..."] + ["--help"])
    assert code == 0, said


def runnable() -> list[Command]:
    """Return what can be run without a cluster and without a reader who fills something in."""
    return [
        each
        for each in commands()
        if each.ours
        and each.ours[0] in ANSWERED_BY_A_SNAPSHOT | ALONE
        and not any(PLACEHOLDER.match(word) for word in each.ours)
        and not each.place.startswith(("docs/estimate.md", "docs/plan.md", "docs/catalog.md"))
    ]


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of somebody who has the files that the documents name, and no cluster."""
    for name in ("charts", "manifests"):
        (tmp_path / name).symlink_to(ROOT / name)
    nodes = json.dumps({"apiVersion": "v1", "kind": "List", "items": [node.manifest() for node in DEFAULT_NODES]})
    model = (ROOT / "manifests" / "samples" / "deepseek-67b.yaml").read_text()
    for name in ("cluster.json", "snapshot.json", "nothing.json"):
        (tmp_path / name).write_text(nodes)
    for name in ("fleet.yaml", "deployment.yaml", "deepseek-67b.yaml", "r1.yaml"):
        (tmp_path / name).write_text(model)
    (tmp_path / "runs.jsonl").write_text(json.dumps(JOB) + "\n")
    (tmp_path / "day.csv.gz").write_text(
        "arrival_seconds,input_tokens,output_tokens\n" + "".join(f"{each * 3},512,64\n" for each in range(200))
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    return tmp_path


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("command", identified(runnable()))
def test_what_needs_no_cluster_runs(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 is a yes and 2 a sound no; the snapshot stands in for the cluster of the current context."""
    monkeypatch.setattr(sys, "argv", [])
    arguments = command.ours or []
    if arguments[0] in ANSWERED_BY_A_SNAPSHOT and "--cluster" not in arguments:
        arguments = [*arguments, "--cluster", "cluster.json"]
    code, said = exit_code(kubectl_plugin, "kubectl-deepseek", arguments)
    assert code in {0, 2}, said
    assert said


def of_helm() -> list[Command]:
    return [each for each in commands() if each.words[0] == "helm" and str(CHART.relative_to(ROOT)) in each.words]


@pytest.mark.parametrize("command", identified(of_helm()))
def test_every_setting_of_helm_is_one_of_the_chart(command: Command) -> None:
    words = [word.replace("sha256:...", DIGEST) for word in command.words]
    settings = [word for index, word in enumerate(words) if word == "--set" or words[index - 1] == "--set"]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("helm")), "template", "x", str(CHART), *settings],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_file_of_the_repository_in_a_command_exists() -> None:
    words = [(each.place, word) for each in commands() for word in each.words]
    named = [(place, word) for place, word in words if re.match(r"^(charts|manifests|hack|docs|crds)/[\w./-]+$", word)]
    assert len(named) > 10
    assert [(place, word) for place, word in named if not (ROOT / word).exists()] == []


def documents(block: Block) -> list[Any]:
    return [each for each in yaml.safe_load_all(block.text) if each is not None]


def as_deployment(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a sample as a whole DeepSeekDeployment; None when it is something else."""
    if document.get("kind") == "DeepSeekDeployment":
        return dict(document)
    spec = document["spec"] if set(document) == {"spec"} else document
    if not set(spec) <= {field.alias or name for name, field in DeepSeekDeploymentSpec.model_fields.items()}:
        return None
    model = {"name": "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"} | (spec.get("model") or {})
    workload = {"inputTokens": 512, "outputTokens": 128, "maxContextTokens": 4096, "concurrency": 8}
    return {"metadata": {"name": "sample"}, "spec": {"workload": workload} | dict(spec) | {"model": model}}


def samples_of_objects() -> list[Any]:
    return [
        pytest.param(made, id=block.place)
        for block in blocks("yaml")
        for each in documents(block)
        if isinstance(each, dict) and (made := as_deployment(each)) is not None
    ]


@pytest.mark.parametrize("deployment", samples_of_objects())
def test_every_sample_of_an_object_is_valid(deployment: dict[str, Any]) -> None:
    assert parse(deployment).metadata.name


def samples_of_questions() -> list[Any]:
    found = [(block, each) for block in blocks("yaml") for each in documents(block) if isinstance(each, dict)]
    return [pytest.param(each, id=block.place) for block, each in found if each.get("kind") == "CapacityPlan"]


@pytest.mark.parametrize("question", samples_of_questions())
def test_every_sample_of_a_capacity_plan_is_valid(question: dict[str, Any]) -> None:
    assert parse_capacity_plan(question)


def test_every_sample_of_yaml_can_be_read() -> None:
    assert len([each for block in blocks("yaml") for each in documents(block)]) > 20
    assert len(samples_of_objects()) > 8
    assert samples_of_questions()


def test_samples_of_values_are_values_of_the_chart(tmp_path: Path) -> None:
    known = set(yaml.safe_load((CHART / "values.yaml").read_text()))
    samples = [each for block in blocks("yaml") for each in documents(block) if isinstance(each, dict)]
    found = [each for each in samples if set(each) <= known]
    assert found
    for number, values in enumerate(found):
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump(values))
        command = [str(Path(sys.executable).with_name("helm")), "template", "x", str(CHART), "--values", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
