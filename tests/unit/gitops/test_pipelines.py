"""The review of a pull request: its script is run in a Git repository, by the commands of both pipelines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from spec_table import Changes, changed

GITOPS = Path(__file__).resolve().parents[3] / "manifests" / "gitops"
GITHUB = yaml.safe_load((GITOPS / "ci" / "github-actions.yaml").read_text())
GITLAB = yaml.safe_load((GITOPS / "ci" / "gitlab-ci.yaml").read_text())

CLUSTER = {
    "apiVersion": "deepseek-operator.io/v1alpha1",
    "kind": "InventorySnapshot",
    "nodes": [
        {
            "name": "h100-1",
            "labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559"},
            "allocatable": {"nvidia.com/gpu": 8},
            "memoryBytes": 2**41,
        }
    ],
    "pods": [],
}
NOWHERE: Changes = {"hardware.gpus": ["l40s"]}
WRONG: Changes = {"workload.inputTokens": 0}


class Repository:
    """A Git repository as the pipelines expect it: models/, cluster.json and ci/review.sh."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "models").mkdir()
        (folder / "ci").mkdir()
        shutil.copy(GITOPS / "ci" / "review.sh", folder / "ci")
        (folder / "cluster.json").write_text(json.dumps(CLUSTER))
        self.write("small.yaml", {})
        self.run("git", "init", "--quiet", "--initial-branch=main")
        self.run("git", "add", ".")
        self.run("git", "commit", "--quiet", "--message=models")

    def write(self, name: str, changes: Changes) -> None:
        (self.folder / "models" / name).write_text(yaml.safe_dump(changed(changes)))

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **{
                f"GIT_{who}_{what}": f"{who}@example.com"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
            **variables,
        }
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=100
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_a_review_shows_plans_and_changes_and_fails_for_what_has_no_plan(
    repository: Repository, tmp_path: Path
) -> None:
    """By the step of GitHub Actions, which runs `shell: bash` with these options."""
    (job,) = GITHUB["jobs"].values()
    (review,) = (step for step in job["steps"] if step.get("name") == "Review")
    summary = tmp_path / "summary.md"
    repository.write("small.yaml", {"workload.maxContextTokens": 8192})
    repository.write("unknown-gpu.yaml", NOWHERE)
    done = repository.run(
        *("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", review["run"]),
        BASE="main",
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert (done.returncode, done.stderr) == (2, "")
    assert summary.read_text() == f"```\n{done.stdout}```\n"
    plans, _, changes = done.stdout.partition("## Manifests that a merge changes\n")
    assert "## models/small.yaml\nsmall: deepseek-ai/DeepSeek-R1-Distill-Qwen-7B\nGPUs       1 replica of 1 x" in plans
    assert "## models/unknown-gpu.yaml\nsmall: infeasible" in plans
    lines = [line for line in changes.splitlines() if "--max-model-len" in line and "json" not in line]
    assert [(line[0], line.split()[-1]) for line in lines] == [
        ("-", "--max-model-len=4096"),
        ("+", "--max-model-len=8192"),
    ]


def test_a_wrong_file_fails_the_review_whatever_else_there_is(repository: Repository) -> None:
    """By the script of GitLab CI."""
    repository.write("unknown-gpu.yaml", NOWHERE)
    repository.write("wrong.yaml", WRONG)
    lines = "\n".join(GITLAB["review-models"]["script"])
    done = repository.run("bash", "-eo", "pipefail", "-c", lines, CI_MERGE_REQUEST_DIFF_BASE_SHA="main")
    assert (done.returncode, done.stderr) == (1, "")
    assert "spec.workload.inputTokens" in done.stdout


def test_plans_of_all_and_no_change_pass(repository: Repository) -> None:
    done = repository.run("ci/review.sh", "models", "cluster.json", "main")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("## Manifests that a merge changes\nnone\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "usage: review.sh FOLDER CLUSTER [BASE]"),
        (("lost", "cluster.json"), "error: there is no folder lost"),
        (
            ("models", "lost.json"),
            "error: there is no file lost.json; write it with: kubectl deepseek inventory > lost.json",
        ),
        (
            ("models", "cluster.json", "lost"),
            "error: there is no branch or commit lost; fetch it, with its whole history",
        ),
    ],
)
def test_a_review_of_nothing_is_one_line(repository: Repository, arguments: tuple[str, ...], line: str) -> None:
    done = repository.run("ci/review.sh", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{line}\n")


def objects() -> list[dict[str, Any]]:
    files = [*(GITOPS / "flux").glob("*.yaml"), *(GITOPS / "argocd").glob("*.yaml")]
    return [document for file in sorted(files) for document in yaml.safe_load_all(file.read_text())]


def test_flux_waits_for_the_operator_and_for_models() -> None:
    operator, models = (
        next(each for each in objects() if each["metadata"]["name"] == name and "fluxcd" in each["apiVersion"])
        for name in ("deepseek-operator", "models")
    )
    assert (GITOPS.parents[1] / operator["spec"]["path"] / "kustomization.yaml").is_file()
    assert models["spec"]["dependsOn"] == [{"name": operator["metadata"]["name"]}]
    (check,) = models["spec"]["healthChecks"]
    assert (check["apiVersion"], check["kind"]) == ("deepseek-operator.io/v1alpha1", "DeepSeekDeployment")
