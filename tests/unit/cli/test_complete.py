"""What kubectl is told may come next on a line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from deepseek_operator.catalog import gpus, models
from deepseek_operator.cli.complete import FILES, NO_FILES, Completion, complete
from deepseek_operator.cli.main import PluginVerbs

ROOT = Path(__file__).parents[3]


def words(*line: str) -> list[str]:
    return [word for word, _ in complete(line).candidates]


def test_every_verb_comes_first_with_what_it_does() -> None:
    found = complete([""])
    assert [word for word, _ in found.candidates] == list(PluginVerbs.verbs)
    assert all(means for _, means in found.candidates)
    assert found.directive == NO_FILES
    assert complete([]) == found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (("ca",), ["capacity", "catalog"]),
        (("catalog", "g"), ["gpus"]),
        (("catalog", "gpus", "-o", ""), ["table", "json", "yaml"]),
        (("capacity", "--output", "h"), ["html"]),
        (("capacity", "--output=h"), ["--output=html"]),
        (("crd", "c"), ["capacityplans"]),
        (("sandbox", "up", "--with", ""), ["leader-worker-set"]),
        (("plan", "--cluster", "catalog", "--out"), ["--output"]),
        (("sandbox", "up", "--no-"), ["--no-install"]),
        (("plan", "--he"), ["--help"]),
        (("no-such-verb", ""), []),
        (("no-such-verb", "--output", ""), []),
        (("plan", "--no-such-option="), []),
        (("plan", "word", ""), []),
        (("estimate", "--layers", ""), []),
    ],
)
def test_what_may_follow(line: tuple[str, ...], expected: list[str]) -> None:
    assert words(*line) == expected


def test_models_and_gpus_come_from_the_catalogue() -> None:
    assert words("estimate", "--model", "") == list(models.model_names())
    assert dict(complete(["estimate", "--gpu", ""]).candidates) == {each.id: each.product for each in gpus.gpus()}


@pytest.mark.parametrize("line", [("plan", "-f", ""), ("render", "--cluster", "c"), ("estimate", "--config", "")])
def test_files_are_left_to_the_shell(line: tuple[str, ...]) -> None:
    assert complete(line) == Completion(directive=FILES)


def test_the_package_installs_it_under_the_name_that_kubectl_looks_for() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["kubectl_complete-deepseek"] == "deepseek_operator.cli.complete:main"
