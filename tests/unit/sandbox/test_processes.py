from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deepseek_operator.sandbox.processes import (
    ProcessRecord,
    is_running,
    last_log_lines,
    start,
    start_ticks_of,
    stop,
)
from unit.sandbox.programs import program

SLEEP = shutil.which("sleep") or "/bin/sleep"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path


@pytest.fixture
def sleeper(directory: Path) -> Iterator[ProcessRecord]:
    record = start("sleeper", [SLEEP, "60"], directory)
    yield record
    stop([record])


def test_a_started_process_runs_until_it_is_stopped(sleeper: ProcessRecord):
    assert is_running(sleeper)
    stop([sleeper])
    assert not is_running(sleeper)
    assert start_ticks_of(sleeper.pid) is None


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(lambda record: replace(record, start_ticks=record.start_ticks - 1), id="started at another time"),
        pytest.param(lambda record: replace(record, boot_id="another"), id="recorded before the machine's restart"),
    ],
)
def test_a_process_that_got_a_reused_pid_is_not_touched(
    sleeper: ProcessRecord, stranger: Callable[[ProcessRecord], ProcessRecord]
):
    record = stranger(sleeper)
    assert not is_running(record)
    stop([record])
    assert is_running(sleeper)


def test_a_process_that_ignores_the_first_signal_is_killed_after_the_grace(directory: Path):
    ready = directory / "ready"
    stubborn = program(directory / "stubborn", f"trap '' TERM; touch {ready}; while :; do sleep 0.05; done")
    record = start("stubborn", [str(stubborn)], directory)
    while not ready.exists():
        assert is_running(record)
    stop([record], grace_seconds=0.1)
    assert not is_running(record)


def test_a_process_with_brackets_and_spaces_in_its_name_is_understood(directory: Path):
    odd = directory / "a) b (c"
    odd.symlink_to(SLEEP)
    record = start("odd", [str(odd), "60"], directory)
    try:
        assert is_running(record)
    finally:
        stop([record])


def test_output_ends_up_in_the_log(directory: Path):
    record = start("talker", [str(program(directory / "talker", "echo one; echo two >&2"))], directory)
    while is_running(record):
        pass
    assert last_log_lines(record) == "one | two"


def test_a_log_that_is_missing_or_empty_is_said_to_be_so(directory: Path):
    record = ProcessRecord("x", 1, 1, "", str(directory / "missing"))
    assert last_log_lines(record) == "no output"


def test_a_process_tied_to_its_caller_ends_when_the_caller_is_killed(directory: Path):
    script = (
        "import os, signal, sys; from pathlib import Path; from deepseek_operator.sandbox.processes import start;"
        "record = start('child', [sys.argv[2], '60'], Path(sys.argv[1]), ends_with_caller=True);"
        "comm = Path(f'/proc/{record.pid}/comm')\n"
        "while comm.read_text() != 'sleep\\n': pass\n"
        "print(record.pid, record.start_ticks, record.boot_id, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(directory), SLEEP], capture_output=True, text=True, check=False
    )
    pid, ticks, boot = answer.stdout.split()
    record = ProcessRecord("child", int(pid), int(ticks), boot, "")
    while is_running(record):  # the kernel delivers the signal in its own time; the test's timeout bounds this
        os.sched_yield()
