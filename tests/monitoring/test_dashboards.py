"""The Grafana dashboards: up to date, of metrics that exist, queries that parse, units and descriptions everywhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dashboards
import pytest
import yaml

from debian_programs import Program
from monitoring.metric_names import asked, exported

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "deepseek-operator"
FILES = sorted((CHART / "files" / "dashboards").glob("*.json"))

pytestmark = pytest.mark.timeout(600)


def panels() -> list[dict[str, Any]]:
    return [panel for file in FILES for panel in json.loads(file.read_text())["panels"]]


def queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_the_files_are_what_the_script_makes() -> None:
    assert dashboards.main(["--check"]) == 0
    assert [file.stem for file in FILES] == sorted(dashboards.DASHBOARDS)


def test_every_metric_exists() -> None:
    names = {name for query in queries() for name in asked(query)}
    assert len(names) > 20
    assert names - exported() == set()


def test_every_panel_has_a_unit_and_a_description() -> None:
    lacking = [
        panel["title"]
        for panel in panels()
        if not panel["description"].endswith(".") or not panel["fieldConfig"]["defaults"]["unit"]
    ]
    assert (len(panels()), lacking) == (29, [])


def test_no_panel_covers_another() -> None:
    for file in FILES:
        places = [panel["gridPos"] for panel in json.loads(file.read_text())["panels"]]
        cells = [
            (place["x"] + across, place["y"] + down)
            for place in places
            for across in range(place["w"])
            for down in range(place["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(place["x"] + place["w"] for place in places) <= dashboards.COLUMNS


def test_promtool_parses_every_query(promtool: Program, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$(\w+)", r"\1", query)}
        for number, query in enumerate(queries())
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [str(promtool.path), "check", "rules", "rules.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_carries_them_for_grafanas_sidecar() -> None:
    helm = str(Path(sys.executable).with_name("helm"))
    command = [helm, "template", "x", str(CHART), "--set", "monitoring.dashboards=true"]
    text = subprocess.run(
        [*command, "--show-only", "templates/monitoring.yaml"], check=True, capture_output=True, text=True
    ).stdout
    maps = [each for each in yaml.safe_load_all(text) if each]
    assert {each["metadata"]["labels"]["grafana_dashboard"] for each in maps} == {"1"}
    carried = {name: json.loads(body) for each in maps for name, body in each["data"].items()}
    assert carried == {file.name: json.loads(file.read_text()) for file in FILES}
