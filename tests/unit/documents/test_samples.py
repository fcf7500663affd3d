"""The samples of the documentation are of the product as it is: objects parse, verbs and options exist."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from deepseek_operator.api.capacity_plan import CapacityPlan
from deepseek_operator.api.parse import parse
from deepseek_operator.cli.main import operator_app, plugin_app

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BASE = {
    "model": {"name": "deepseek-ai/deepseek-llm-7b-chat"},
    "workload": {"inputTokens": 1024, "outputTokens": 256, "maxContextTokens": 4096, "concurrency": 4},
}
"""What a sample that shows some fields of a spec leaves out."""


def blocks(kind: str) -> Iterator[Any]:
    """Yield each code block of a kind with its place."""
    for page in PAGES:
        text = page.read_text()
        for block in re.finditer(rf"^( *)```(?:{kind})\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, block.start()) + 1
            lines = [each.removeprefix(block[1]) for each in block[2].splitlines()]
            yield pytest.param("\n".join(lines), id=f"{page.name}:{line}")


@pytest.mark.parametrize("block", list(blocks("yaml")))
def test_objects_are_valid(block: str) -> None:
    for document in yaml.safe_load_all(block):
        if not isinstance(document, dict):
            continue
        if document.get("kind") == "CapacityPlan":
            CapacityPlan.model_validate_json(json.dumps({"spec": document["spec"]}))
        elif document.get("kind") == "DeepSeekDeployment":
            parse(document)
        elif set(document) == {"spec"}:
            parse(
                {
                    "apiVersion": "deepseek-operator.io/v1alpha1",
                    "kind": "DeepSeekDeployment",
                    "metadata": {"name": "sample", "namespace": "default"},
                    "spec": {**BASE, **document["spec"]},
                }
            )


@pytest.mark.parametrize("block", list(blocks("console|sh|bash")))
def test_verbs_and_options_exist(block: str) -> None:
    for line in block.replace("\\\n", " ").splitlines():
        words = (
            shlex.split(line.removeprefix("$ "), comments=True) if "deepseek" in line and "<TAB>" not in line else []
        )
        for start, app in ((["kubectl", "deepseek"], plugin_app), (["deepseek-operator"], operator_app)):
            if words[: len(start)] == start:
                check(get_command(app), words[len(start) :])


def check(command: Any, words: list[str]) -> None:  # noqa: ANN401 - typer keeps the class to itself
    """Fail for a verb or an option that does not exist."""
    for word in words:
        if word in {"|", ">", "&&", "||", "&", ";"}:
            return
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            known = {each for param in command.params for each in (*param.opts, *param.secondary_opts)} | {"--help"}
            assert name in known, f"no option {name}"
        elif hasattr(command, "commands"):
            found = command.get_command(None, word)
            assert found is not None, f"no verb {word}"
            command = found
