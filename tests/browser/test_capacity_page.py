"""The capacity page in a real browser, without a network: it shows what the JSON answer says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from browser.chromium import Chromium
from cluster_objects import gpu_node, gpu_pod
from debian_programs import Program
from deepseek_operator.cli.capacity import capacity
from deepseek_operator.cli.output import PageFormat
from deepseek_operator.resources.names import LABEL_DEPLOYMENT
from spec_table import changed

FLEET = [
    changed({"parallelism.tensor": 4}),
    changed({"model.name": "deepseek-ai/DeepSeek-R1", "workload.maxContextTokens": 4096})
    | {"metadata": {"name": "r1", "namespace": "default"}},
]

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(600)]

SHOWN = """{
  tiles: Object.fromEntries([...document.querySelectorAll('[data-tile]')].map(
    tile => [tile.dataset.tile, tile.querySelector('b').innerText])),
  nodes: [...document.querySelectorAll('[data-node]')].map(row => [row.dataset.node,
    [...row.querySelectorAll('[data-state]')].filter(cell => cell.getBoundingClientRect().width > 10)
      .map(cell => cell.dataset.state + ' ' + (cell.dataset.by ?? ''))]),
  deployments: [...document.querySelectorAll('[data-table=deployments] tr')].slice(1).map(
    row => [...row.cells].map(cell => cell.innerText)),
  unplaced: [...document.querySelectorAll('[data-unplaced]')].map(line => line.innerText),
  fills: [...document.querySelectorAll('[data-state=used]')].slice(0, 1).map(
    cell => [...cell.children].map(part => Math.round(100 * part.getBoundingClientRect().height / cell.clientHeight))),
  answer: JSON.parse(document.getElementById('answer').textContent),
  loaded: performance.getEntriesByType('resource').length,
  scripts: [...document.scripts].filter(each => each.type !== 'application/json').length,
}"""


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """A folder with ``cluster.json`` and ``fleet.yaml``."""
    nodes = [gpu_node("a"), gpu_node("b"), gpu_node("c")]
    pods = [
        gpu_pod("job-x", gpus=5, node="a", namespace="team"),
        gpu_pod("small-1", gpus=4, node="b", labels={LABEL_DEPLOYMENT: "small"}),
        gpu_pod("<i>x</i>", gpus=1, node="c"),
    ]
    (tmp_path / "cluster.json").write_text(json.dumps({"kind": "List", "items": [*nodes, *pods]}))
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump_all(FLEET))
    return tmp_path


def written(folder: Path, form: PageFormat, capsys: pytest.CaptureFixture[str], **asked: Any) -> str:  # noqa: ANN401
    with pytest.raises(typer.Exit):
        capacity(str(folder / "fleet.yaml"), cluster=folder / "cluster.json", output=form, **asked)
    return capsys.readouterr().out


@pytest.fixture
def shown(questions: Path, chromium: Program, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    page = questions / "page.html"
    page.write_text(written(questions, PageFormat.HTML, capsys))
    with Chromium(chromium, questions / "profile", page) as browser:
        yield browser.evaluate(SHOWN)


def test_the_page_shows_what_the_json_says(shown: Any, questions: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ANN401
    told = json.loads(written(questions, PageFormat.JSON, capsys))
    assert shown["answer"] == told
    (gpus,) = told["gpus"]
    assert shown["tiles"] == {
        "total": str(gpus["total"]),
        "used": str(gpus["used"]),
        "free": str(gpus["free"]),
        "other": str(gpus["total"] - gpus["used"] - gpus["free"]),
        "stranded": str(sum(row["gpus"] for row in told["stranded"])),
        "unplaced": "1",
        "cost": f"{gpus['costPerHourUsd']} USD/h",
    }
    cells = {name: Counter(states) for name, states in shown["nodes"]}
    assert cells == {
        "a": {"foreign team/job-x": 5, "stranded ": 3},
        "b": {"used default/small": 4, "free ": 4},
        "c": {"foreign default/<i>x</i>": 1, "free ": 7},
    }
    assert [row[0] for row in shown["deployments"]] == [f"{row['namespace']}/{row['name']}" for row in told["placed"]]
    assert [told["unplaced"][0]["reason"] in line for line in shown["unplaced"]] == [True]


def test_the_page_loads_nothing_and_runs_nothing(shown: Any) -> None:  # noqa: ANN401 - the page's own values
    assert (shown["loaded"], shown["scripts"]) == (0, 0)
