from __future__ import annotations

import fcntl
import io
import threading
from pathlib import Path

import pytest

from deepseek_operator.errors import SandboxError
from deepseek_operator.sandbox import build
from deepseek_operator.sandbox.build import ensure_built, is_built
from deepseek_operator.sandbox.progress import Progress
from deepseek_operator.sandbox.versions import TOOLS, fingerprint
from unit.sandbox.programs import program

GOOD_GO = """
case "$1" in
version) echo "go version go1.26.1 linux/amd64" ;;
list) echo some/package ;;
build)
    while [ "$1" != "-o" ]; do shift; done
    echo built > "$2"; chmod +x "$2"; echo once >> "$COUNT" ;;
esac
"""
FAILING_GO = """
case "$1" in
version) echo "go version go1.26.1 linux/amd64" ;;
list) echo "go: downloading example v1" >&2; echo "example@v1: connection refused" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on PATH, for a ``go`` that stands in for the compiler."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    monkeypatch.setenv("COUNT", str(tmp_path / "builds"))
    monkeypatch.setattr(build, "POLL_SECONDS", 0.01)
    return tmp_path / "path" / "go"


def test_binaries_are_built_once_and_kept(go: Path, tmp_path: Path):
    program(go, GOOD_GO)
    cache = tmp_path / "cache"
    first = ensure_built(cache, Progress())
    assert ensure_built(cache, Progress()) == first
    assert {path.name for path in first.iterdir()} == {tool.name for tool in TOOLS}
    assert len((tmp_path / "builds").read_text().split()) == len(TOOLS)
    assert not list(cache.glob("building-*"))


def test_progress_says_what_is_built_and_how_long_it_takes(go: Path, tmp_path: Path):
    program(go, GOOD_GO)
    said = io.StringIO()
    ensure_built(tmp_path / "cache", Progress(said))
    assert "takes 5-10 minutes" in said.getvalue()
    assert "built in " in said.getvalue()


def test_a_failed_build_says_why_and_what_to_do_on_one_line_and_leaves_nothing(go: Path, tmp_path: Path):
    program(go, FAILING_GO)
    with pytest.raises(SandboxError, match="example@v1: connection refused; check that Go can fetch") as raised:
        ensure_built(tmp_path / "cache", Progress())
    assert "\n" not in str(raised.value)
    assert "downloading" not in str(raised.value)
    assert not is_built(tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("building-*"))


def test_a_second_process_waits_for_the_first_and_uses_what_it_built(go: Path, tmp_path: Path):
    program(go, GOOD_GO)
    cache = tmp_path / "cache"
    cache.mkdir()
    waiting = threading.Event()

    class Waiting(Progress):
        def update(self, text: str) -> None:
            if "another process" in text:
                waiting.set()

    with (cache / f"{fingerprint()}.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        second = threading.Thread(target=ensure_built, args=(cache, Waiting()))
        second.start()
        assert waiting.wait(timeout=5)
        for tool in TOOLS:
            program(build.binary_directory(cache) / tool.name, "")
    second.join(timeout=5)
    assert not (tmp_path / "builds").exists()


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SandboxError, match="set XDG_CACHE_HOME"):
        ensure_built(tmp_path / "file" / "cache", Progress())
