from __future__ import annotations

from pathlib import Path

import pytest

from deepseek_operator.errors import SandboxError
from deepseek_operator.sandbox import components
from deepseek_operator.sandbox.binaries import Binaries
from deepseek_operator.sandbox.components import Ports
from deepseek_operator.sandbox.control_plane import down, status, up
from deepseek_operator.sandbox.processes import is_running
from deepseek_operator.sandbox.progress import Progress
from deepseek_operator.sandbox.startup import Startup
from deepseek_operator.sandbox.state import SandboxState, load_state
from deepseek_operator.sandbox.versions import TOOLS
from unit.sandbox.programs import program


@pytest.fixture(autouse=True)
def no_real_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "free_ports", lambda: Ports(1, 2, 3))


def binaries(folder: Path, script: str) -> Binaries:
    return Binaries({tool.name: program(folder / tool.name, script) for tool in TOOLS})


def test_a_component_that_dies_is_named_with_its_last_words_and_nothing_is_left(tmp_path: Path):
    directory = tmp_path / "sandbox"
    with pytest.raises(SandboxError, match=r"^etcd ended while starting: disk is full$"):
        up(directory, [], binaries=binaries(tmp_path / "bin", "echo disk is full; exit 1"))
    assert not directory.exists()


def test_a_binary_that_cannot_be_run_is_named(tmp_path: Path):
    missing = Binaries({tool.name: tmp_path / "missing" for tool in TOOLS})
    with pytest.raises(SandboxError, match=r"^etcd cannot be run"):
        up(tmp_path / "sandbox", [], binaries=missing)
    assert not (tmp_path / "sandbox").exists()


def test_an_interrupt_during_the_start_takes_everything_down(tmp_path: Path):
    class Interrupting(Progress):
        def update(self, text: str) -> None:
            state = load_state(tmp_path / "sandbox")
            assert state is not None
            started.extend(state.processes)
            raise KeyboardInterrupt

    started = []
    with pytest.raises(KeyboardInterrupt):
        up(
            tmp_path / "sandbox",
            [],
            binaries=binaries(tmp_path / "bin", "exec sleep 60"),
            progress=Interrupting(),
        )
    assert [process.name for process in started] == ["etcd"]
    assert not any(is_running(process) for process in started)
    assert not (tmp_path / "sandbox").exists()


def test_down_and_status_of_nothing_say_so(tmp_path: Path):
    assert not down(tmp_path)
    assert status(tmp_path) is None


def test_status_tells_running_from_ended_components(tmp_path: Path):
    directory = tmp_path / "sandbox"
    directory.mkdir()
    state = SandboxState(directory, True, "", directory / "kubeconfig", tmp_path / "kubectl")
    scripts = {"etcd": "exec sleep 60", "kwok": "exit 0"}
    paths = {name: program(tmp_path / "bin" / name, script) for name, script in scripts.items()}
    startup = Startup(state, Binaries(paths), Progress(), ends_with_caller=True)
    startup.run("etcd", [])
    startup.run("kwok", [])
    try:
        with pytest.raises(SandboxError, match="kwok ended while starting: no output"):
            startup.wait("never", lambda: False)
        seen = status(directory)
        assert seen is not None
        assert (seen.running, seen.ended, seen.healthy) == (("etcd",), ("kwok",), False)
    finally:
        assert down(directory)
    assert not directory.exists()
