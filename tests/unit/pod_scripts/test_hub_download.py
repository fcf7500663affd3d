"""The download script as its pod runs it: a process of its own, the real ``huggingface_hub``, and a hub that fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deepseek_operator.pod_scripts
from unit.pod_scripts.hub_stand_in import COMMIT, REPOSITORY, Fault, Hub, serving

pytestmark = pytest.mark.enable_socket

SCRIPT = Path(next(iter(deepseek_operator.pod_scripts.__path__))) / "hub_download.py"

RUN = f"""
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("hub_download", {str(SCRIPT)!r})
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
def sleep(seconds):
    print(f"slept {{seconds:.0f}}", flush=True)
    time.sleep(0.02)
sys.exit(script.main(sys.argv[1:], sleep))
"""
"""The script with waits that are told and not waited."""

WEIGHTS = bytes(range(256)) * 4096
FILES = {
    "config.json": b"{}",
    "model-1.safetensors": WEIGHTS,
    "model-2.safetensors": WEIGHTS[::-1],
    "pytorch_model.bin": WEIGHTS,
}
SERVED = sorted(set(FILES) - {"pytorch_model.bin"})


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub(files=dict(FILES))) as served:
        yield served


def start(hub: Hub, home: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home.parent),
        "HF_HOME": str(home),
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        **variables,
    }
    command = [sys.executable, "-c", RUN, *(words or (REPOSITORY,))]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def run(hub: Hub, home: Path, *words: str, **variables: str) -> tuple[int, list[str]]:
    process = start(hub, home, *words, **variables)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out.splitlines()


def snapshot(home: Path, commit: str = COMMIT) -> dict[str, bytes]:
    folder = home / "hub" / "models--deepseek-ai--tiny" / "snapshots" / commit
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def waits(lines: list[str]) -> list[int]:
    return [int(line.split()[1]) for line in lines if line.startswith("slept ")]


def test_everything_that_the_engine_reads_is_there_afterwards_where_it_looks_when_offline(hub: Hub, tmp_path: Path):
    home = tmp_path / "volume"
    code, lines = run(hub, home)
    assert code == 0, lines
    assert snapshot(home) == {name: FILES[name] for name in SERVED}
    offline = (
        "from huggingface_hub import snapshot_download as s; "
        f"print(s({REPOSITORY!r}, revision=None, local_files_only=True))"
    )
    found = subprocess.run(
        [sys.executable, "-c", offline],
        env={"HF_HUB_CACHE": str(home / "hub"), "HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).name == COMMIT


def test_a_second_run_asks_the_hub_nothing_even_when_the_branch_has_moved_on(hub: Hub, tmp_path: Path):
    assert run(hub, tmp_path)[0] == 0
    asked, hub.commit = len(hub.requests), "2" * 40
    code, lines = run(hub, tmp_path)
    assert (code, lines) == (0, [f"{REPOSITORY} is complete; nothing is downloaded"])
    assert len(hub.requests) == asked


def test_a_file_that_was_lost_is_downloaded_again_and_nothing_else(hub: Hub, tmp_path: Path):
    assert run(hub, tmp_path)[0] == 0
    folder = tmp_path / "hub" / "models--deepseek-ai--tiny"
    (folder / "snapshots" / COMMIT / "config.json").resolve().unlink()
    assert run(hub, tmp_path)[0] == 0
    assert snapshot(tmp_path) == {name: FILES[name] for name in SERVED}
    assert (hub.count("GET", "config.json"), hub.count("GET", "model-1.safetensors")) == (2, 1)


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        pytest.param({"Retry-After": "120"}, 120, id="seconds"),
        pytest.param({"RateLimit": '"api";r=0;t=77'}, 77, id="the hub's own header"),
        pytest.param({}, 5, id="nothing said"),
    ],
)
def test_a_refusal_for_too_many_requests_is_waited_out_as_long_as_the_hub_says(
    hub: Hub, tmp_path: Path, headers: dict[str, str], least: int
):
    hub.faults[("GET", "info")] = [Fault(status=429, headers=headers)]
    code, lines = run(hub, tmp_path)
    (waited,) = waits(lines)
    assert code == 0
    assert least <= waited <= max(least, 6)
    assert snapshot(tmp_path).keys() == set(SERVED)


def test_back_off_doubles_while_the_hub_is_down_and_the_container_ends_after_some_tries(hub: Hub, tmp_path: Path):
    hub.faults[("GET", "info")] = [Fault(status=503)] * 20
    code, lines = run(hub, tmp_path)
    assert code == 1
    assert [least <= waited <= 1.2 * least for waited, least in zip(waits(lines), back_offs(8), strict=True)] == [
        True
    ] * 8
    assert lines[-1].startswith(f"{REPOSITORY}: gave up after 9 tries")


def back_offs(count: int) -> list[float]:
    return [min(5.0 * 2**index, 300.0) for index in range(count)]


def test_a_broken_connection_goes_on_where_it_broke(hub: Hub, tmp_path: Path):
    hub.files["model-1.safetensors"] = WEIGHTS * 24
    hub.faults[("GET", "model-1.safetensors")] = [Fault(after_bytes=15 * 2**20)]
    code, lines = run(hub, tmp_path)
    assert code == 0, lines
    assert snapshot(tmp_path)["model-1.safetensors"] == WEIGHTS * 24
    assert hub.ranges("model-1.safetensors") == ["", f"bytes={10 * 2**20}-"]  # the library writes pieces of 10 MiB


def test_a_pod_that_was_killed_is_resumed_by_the_next_one(hub: Hub, tmp_path: Path):
    hub.held = "model-2.safetensors"
    process = start(hub, tmp_path)
    assert hub.asked.wait(timeout=60)
    process.kill()
    process.communicate()
    hub.held = ""
    hub.released.set()
    code, lines = run(hub, tmp_path)
    assert code == 0, lines
    assert snapshot(tmp_path) == {name: FILES[name] for name in SERVED}


def test_two_pods_that_share_a_volume_download_a_model_once(hub: Hub, tmp_path: Path):
    hub.held = "model-2.safetensors"
    first = start(hub, tmp_path)
    assert hub.asked.wait(timeout=60)
    second = start(hub, tmp_path, f"{REPOSITORY}@main")
    assert second.stdout is not None
    assert second.stdout.readline() == (f"{REPOSITORY} is being downloaded into this volume by another pod; waiting\n")
    hub.released.set()
    told = second.communicate(timeout=60)[0].splitlines()
    first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert told[-1] == f"{REPOSITORY} is complete; nothing is downloaded"
    assert {name: hub.count("GET", name) for name in SERVED} == dict.fromkeys(SERVED, 1)


@pytest.mark.parametrize(
    ("words", "token", "message"),
    [
        pytest.param(
            (REPOSITORY,),
            "right",
            f"the hub refuses {REPOSITORY} (HTTP 401): it is gated, private or misspelt; the Secret of "
            "spec.model.storage.huggingFace.tokenSecretRef must hold a token that may read it",
            id="a gated repository with another token",
        ),
        pytest.param(
            (f"{REPOSITORY}@v9",), "", f"the hub has no {REPOSITORY} at revision v9 (HTTP 404)", id="no such revision"
        ),
    ],
)
def test_what_no_waiting_mends_is_said_in_one_line(
    hub: Hub, tmp_path: Path, words: tuple[str, ...], token: str, message: str
):
    hub.token = token
    assert run(hub, tmp_path, *words, HF_TOKEN="wrong") == (1, [message])  # noqa: S106 -- a token that is refused


def test_the_token_is_sent_and_never_printed(hub: Hub, tmp_path: Path):
    hub.token = "hf_secret"  # noqa: S105 -- of the stand-in
    code, lines = run(hub, tmp_path, HF_TOKEN="hf_secret")  # noqa: S106 -- of the stand-in
    assert code == 0
    assert "hf_secret" not in "\n".join(lines)


def test_a_volume_that_cannot_be_written_is_named(hub: Hub, tmp_path: Path):
    (tmp_path / "file").write_text("")
    code, lines = run(hub, tmp_path / "file")
    assert code == 1
    assert lines == [
        f"the volume cannot be written by user {os.getuid()}, group {os.getgid()} (Not a directory); "
        "let that group write, or use another claim"
    ]


def test_the_marker_names_the_commit_and_every_file(hub: Hub, tmp_path: Path):
    assert run(hub, tmp_path, f"{REPOSITORY}@{COMMIT}")[0] == 0
    (marker,) = (tmp_path / ".deepseek-operator").glob("*.json")
    assert marker.name == f"deepseek-ai--tiny@{COMMIT}.json"
    assert json.loads(marker.read_text()) == {
        "commit": COMMIT,
        "files": {name: len(FILES[name]) for name in SERVED},
    }
