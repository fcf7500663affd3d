"""The image's recipe keeps its promises as far as they can be read: nothing here builds it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "Dockerfile").read_text()
_PIN = re.compile(r"^(?P<name>[a-z0-9._-]+)==(?P<rest>.*?)(?=^[a-z]|\Z)", re.DOTALL | re.MULTILINE)


def pins(name: str) -> set[tuple[str, frozenset[str]]]:
    """Return each package of a lock with its version, as ``name==version``, and its hashes."""
    found = set()
    for pin in _PIN.finditer((ROOT / name).read_text()):
        version = pin["rest"].split()[0]
        found.add((f"{pin['name']}=={version}", frozenset(re.findall(r"sha256:[0-9a-f]{64}", pin["rest"]))))
    return found


def test_the_image_is_built_from_a_part_of_the_lock_that_the_tests_run_with() -> None:
    image, whole = pins("requirements-image.lock"), pins("requirements.lock")
    assert image < whole
    assert all(hashes for _, hashes in image)


def test_the_lock_of_the_image_has_every_dependency_and_no_tool_of_the_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    locked = {pin.partition("==")[0] for pin, _ in pins("requirements-image.lock")}
    wanted = {re.split(r"[><=;\[ ]", each)[0] for each in project["project"]["dependencies"]}
    assert wanted - locked == set()
    tools = {re.split(r"[><=;\[ ]", each)[0] for each in project["dependency-groups"]["dev"] if isinstance(each, str)}
    assert tools & locked == set()


def test_both_stages_take_the_base_that_a_release_pins() -> None:
    assert re.findall(r"^FROM (\S+)", RECIPE, re.MULTILINE) == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    assert re.findall(r"^ARG (\S+)", RECIPE, re.MULTILINE) == ["PYTHON_IMAGE=python:3.11-slim"]


def test_it_runs_as_a_number_that_is_not_root() -> None:
    final = RECIPE.rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (\d+):(\d+)$", final, re.MULTILINE)
    assert all(int(each) > 0 for each in user)
    assert "RUN" not in final


def test_packages_are_wheels_of_known_hashes_and_no_step_needs_a_compiler() -> None:
    (download,) = re.findall(r"pip download .*?\n\n", RECIPE, re.DOTALL)
    assert {"--require-hashes", "--only-binary", ":all:", "requirements-image.lock"} <= set(download.split())
    assert re.findall(r"pip install (?!--no-index)", RECIPE) == []
    assert re.findall(r"apt|apk|gcc|make |curl|wget|amd64|x86|arm64|aarch64", RECIPE) == []


@pytest.mark.parametrize("source", re.findall(r"^COPY (?!--from)(.*) \S+$", RECIPE, re.MULTILINE))
def test_what_is_copied_is_let_through_and_exists(source: str) -> None:
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for each in source.split():
        assert f"!{each}" in allowed
        assert (ROOT / each).exists()
