"""The rules of the house as tests: layout, sizes, layers, types, lint and format."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 400

pytestmark = pytest.mark.timeout(600)


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def run_tool(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_source_root_does_not_shadow_the_standard_library_operator() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_no_python_file_is_longer_than_a_reader_takes() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in tracked("*.py")}
    too_long = {str(path.relative_to(ROOT)): lines for path, lines in sizes.items() if lines > MAX_LINES}
    assert too_long == {}


def test_no_test_folder_is_a_package() -> None:
    assert [path for path in tracked("tests/*.py") if path.name == "__init__.py"] == []


def test_layers_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_types_are_strict() -> None:
    run_tool("mypy")


def test_lint_is_clean() -> None:
    run_tool("ruff", "check", ".")


def test_format_is_applied() -> None:
    run_tool("ruff", "format", "--check", ".")


def test_every_suppression_names_its_code_and_reason() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked("operator/*.py")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for mark in ("# noqa", "# type: ignore")
        if mark in line and not _explains(line.split(mark, 1)[1])
    ]
    assert bare == []


def _explains(rest: str) -> bool:
    """A code, then a reason in words."""
    code, separator, reason = rest.partition("  # " if "  # " in rest else " - ")
    return bool(code.strip(":[] ")) and bool(separator) and bool(reason.strip())
