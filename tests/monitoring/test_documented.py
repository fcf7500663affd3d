"""The page on monitoring names every metric of the operator and every alert, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from monitoring.metric_names import of_the_operator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
RULES = ROOT / "charts" / "deepseek-operator" / "files" / "alerts.yaml"


def test_the_page_has_every_metric_of_the_operator_with_its_type_and_meaning() -> None:
    own = sorted((each for each in of_the_operator() if each.name.startswith("deepseek_")), key=lambda each: each.name)
    rows = [
        f"| `{each.name}{'_total' if each.type == 'counter' else ''}` | {each.type} | {each.documentation} |"
        for each in own
    ]
    assert re.findall(r"^\| `deepseek_operator_.*", PAGE, re.MULTILINE) == rows


def test_the_page_has_every_alert() -> None:
    alerts = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    short = {"…BurnsSlowly": "DeepSeekServiceLevelBurnsSlowly", "…Bug": "DeepSeekOperatorBug"}
    cells = re.findall(r"^\| ((?:DeepSeek).*?) \|", PAGE, re.MULTILINE)
    assert {short.get(name, name) for cell in cells for name in cell.split(", ")} == alerts
