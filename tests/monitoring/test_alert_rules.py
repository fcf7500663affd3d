"""The alert rules under promtool: right, firing on their series, silent on others, and of metrics that exist."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from debian_programs import Program
from monitoring.metric_names import asked, exported

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "deepseek-operator"
RULES = CHART / "files" / "alerts.yaml"
CASES = Path(__file__).parent / "data" / "alerts_test.yaml"

pytestmark = pytest.mark.timeout(600)


def run(program: Program, folder: Path, *arguments: str) -> None:
    done = subprocess.run([str(program.path), *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong(promtool: Program) -> None:
    run(promtool, RULES.parent, "check", "rules", RULES.name)


def test_each_alert_fires_on_its_series_and_on_no_other(promtool: Program, tmp_path: Path) -> None:
    for file in (RULES, CASES):
        shutil.copy(file, tmp_path)
    run(promtool, tmp_path, "test", "rules", CASES.name)


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_no_alert_is_without_a_case() -> None:
    tried = {
        case["alertname"]
        for group in yaml.safe_load(CASES.read_text())["tests"]
        for case in group["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert tried == {rule["alert"] for rule in alerts()}


def test_every_metric_exists() -> None:
    assert {name for rule in alerts() for name in asked(rule["expr"])} - exported() == set()


def test_the_chart_wraps_the_same_rules() -> None:
    helm = str(Path(sys.executable).with_name("helm"))
    command = [helm, "template", "x", str(CHART), "--set", "monitoring.rules=true,monitoring.labels.release=prom"]
    text = subprocess.run(
        [*command, "--show-only", "templates/monitoring.yaml"], check=True, capture_output=True, text=True
    ).stdout
    (rule,) = (each for each in yaml.safe_load_all(text) if each)
    assert (rule["kind"], rule["metadata"]["labels"]["release"]) == ("PrometheusRule", "prom")
    assert rule["spec"] == yaml.safe_load(RULES.read_text())


def test_the_test_alert_is_one_more_group_and_needs_the_rules(promtool: Program, tmp_path: Path) -> None:
    helm = [str(Path(sys.executable).with_name("helm")), "template", "x", str(CHART), "--set"]
    only = ["--show-only", "templates/monitoring.yaml"]
    both = [*helm, "monitoring.rules=true,monitoring.testAlert=true", *only]
    rendered = yaml.safe_load(subprocess.run(both, check=True, capture_output=True, text=True).stdout)["spec"]
    assert rendered["groups"][:-1] == yaml.safe_load(RULES.read_text())["groups"]
    assert [rule["alert"] for rule in rendered["groups"][-1]["rules"]] == ["DeepSeekTestAlert"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rendered))
    run(promtool, tmp_path, "check", "rules", "rules.yaml")
    alone = subprocess.run([*helm, "monitoring.testAlert=true"], capture_output=True, text=True, check=False)
    assert "monitoring.testAlert is one of the alert rules; set monitoring.rules too" in alone.stderr
