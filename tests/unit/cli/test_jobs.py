"""Jobs are asked about like estimates, and a wrong line is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from cluster_objects import gpu_node
from deepseek_operator.cli.capacity import capacity
from deepseek_operator.cli.jobs import read_jobs
from deepseek_operator.cli.output import PageFormat
from deepseek_operator.errors import InvalidSpecError

LORA = {
    "name": "sft",
    "mode": "lora",
    "model": "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    "gpu": "h100-sxm5-80gb",
    "dataParallelSize": 4,
}


def written(folder: Path, *lines: object) -> Path:
    file = folder / "jobs.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return file


def test_a_job_is_an_estimate_with_a_name(tmp_path: Path) -> None:
    (found,) = read_jobs(written(tmp_path, LORA | {"preemptible": True, "copies": 3}))
    assert (found.name, found.mode, found.gpu, found.gpus, found.tensor) == ("sft", "lora", "h100-sxm5-80gb", 4, 1)
    assert (found.preemptible, found.copies, found.limit) == (True, 3, "")


def test_a_job_that_is_too_large_for_its_gpus_keeps_the_limit(tmp_path: Path) -> None:
    (found,) = read_jobs(written(tmp_path, LORA | {"mode": "training", "dataParallelSize": 1}))
    assert "GiB" in found.limit


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        pytest.param([{**LORA, "name": ""}], "line 1: name: a job needs a name", id="no name"),
        pytest.param([LORA, {**LORA, "copies": 0}], "line 2: copies: write 1 to 1000", id="no copy"),
        pytest.param([{**LORA, "preemptible": "no"}], "preemptible: no has the wrong type; write true", id="type"),
        pytest.param([{**LORA, "mode": "serving"}], "write mode training or lora, and the gpu", id="serving"),
        pytest.param([{**LORA, "gpus": 4}], "line 1: gpus: unknown key; did you mean gpu?", id="unknown key"),
        pytest.param(
            [{**LORA, "name": "sft\x1b[31m"}], "'sft\\x1b[31m' has control characters", id="control characters"
        ),
        pytest.param([LORA, LORA], "sft is there twice; rename one", id="twice"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, lines: list[object], words: str) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        read_jobs(written(tmp_path, *lines))
    assert words in str(refused.value)


def test_jobs_stand_beside_deployments_and_lack_of_room_is_a_no(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = tmp_path / "cluster.json"
    nodes.write_text(json.dumps({"kind": "List", "items": [gpu_node("a")]}))
    with pytest.raises(typer.Exit) as refused:
        capacity(cluster=nodes, jobs=written(tmp_path, LORA | {"copies": 3}))
    shown = capsys.readouterr().out
    assert refused.value.exit_code == 2
    assert "Training jobs beside serving" in shown
    assert "sft: 1 replica does not fit now: needs 4 free h100-sxm5-80gb on one node; serving leaves fewer now" in (
        " ".join(shown.split())
    )
    with pytest.raises(typer.Exit):
        capacity(cluster=nodes, jobs=written(tmp_path, LORA | {"copies": 3}), output=PageFormat.JSON)
    assert json.loads(capsys.readouterr().out)["jobs"][0]["fitNow"] == 2
