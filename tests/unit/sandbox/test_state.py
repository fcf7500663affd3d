from __future__ import annotations

from pathlib import Path

import pytest

from deepseek_operator.errors import SandboxError
from deepseek_operator.sandbox.directory import remove_directory, take_directory
from deepseek_operator.sandbox.processes import ProcessRecord, current_boot_id, start_ticks_of
from deepseek_operator.sandbox.state import STATE_FILE, SandboxState, load_state, save_state


def state_in(directory: Path, **changes: object) -> SandboxState:
    values = {
        "directory": directory,
        "made_directory": True,
        "server": "https://127.0.0.1:1",
        "kubeconfig": directory / "kubeconfig",
        "kubectl": Path("/somewhere/kubectl"),
        "nodes": ("a", "b"),
        "processes": (ProcessRecord("etcd", 1, 2, "earlier boot", "/log"),),
    }
    return SandboxState(**{**values, **changes})


def test_what_is_saved_is_loaded_again(tmp_path: Path):
    save_state(state_in(tmp_path))
    assert load_state(tmp_path) == state_in(tmp_path)
    assert (tmp_path / STATE_FILE).stat().st_mode & 0o777 == 0o600


def test_a_directory_without_a_state_holds_no_sandbox(tmp_path: Path):
    assert load_state(tmp_path) is None
    assert load_state(tmp_path / "missing") is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="no object"),
        pytest.param("{}", id="without a format"),
        pytest.param('{"format": "something-else/1"}', id="of another program"),
        pytest.param('{"format": "deepseek-operator-sandbox/1"}', id="cut short"),
    ],
)
def test_a_file_that_is_no_state_is_refused_in_one_sentence(text: str, tmp_path: Path):
    (tmp_path / STATE_FILE).write_text(text)
    with pytest.raises(SandboxError, match="is no state of a sandbox"):
        load_state(tmp_path)


def test_another_users_state_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_state(state_in(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: (tmp_path / STATE_FILE).stat().st_uid + 1)
    with pytest.raises(SandboxError, match="belongs to another user"):
        load_state(tmp_path)


def test_a_missing_directory_is_made_private_and_removed_whole(tmp_path: Path):
    directory = tmp_path / "new"
    assert take_directory(directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    (directory / "etcd").mkdir()
    save_state(state_in(directory))
    remove_directory(state_in(directory))
    assert not directory.exists()


def test_an_empty_directory_is_used_and_left_empty(tmp_path: Path):
    assert not take_directory(tmp_path)
    save_state(state_in(tmp_path))
    remove_directory(state_in(tmp_path, made_directory=False))
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path):
    (tmp_path / "mine").write_text("")
    with pytest.raises(SandboxError, match="not empty"):
        take_directory(tmp_path)
    assert (tmp_path / "mine").exists()


def test_the_rest_of_a_sandbox_that_ended_is_cleared_away(tmp_path: Path):
    save_state(state_in(tmp_path, made_directory=False))
    (tmp_path / "etcd").mkdir()
    take_directory(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_whose_sandbox_runs_is_refused(tmp_path: Path):
    ticks = start_ticks_of(1)
    assert ticks is not None
    running = ProcessRecord("etcd", 1, ticks, current_boot_id(), "")
    save_state(state_in(tmp_path, processes=(running,)))
    with pytest.raises(SandboxError, match="already runs"):
        take_directory(tmp_path)


def test_what_a_link_in_the_directory_points_to_is_not_removed(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    directory = tmp_path / "sandbox"
    directory.mkdir()
    (directory / "link").symlink_to(outside)
    remove_directory(state_in(directory))
    assert outside.exists()
