"""The control plane's processes: started detached, told apart from strangers, ended exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Asks the kernel for SIGTERM when the parent ends (prctl PR_SET_PDEATHSIG), then becomes the program. A wrapper and no
# preexec_fn, because that is unsafe in a process with threads.
_ENDS_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.argv[1], sys.argv[1:])"
_POLL_SECONDS = 0.02
_KILL_SECONDS = 5.0
_LOG_LINES = 3
_LOG_LINE_CHARACTERS = 300


@dataclass(frozen=True)
class ProcessRecord:
    """One process that was started here.

    Args:
        name: the binary's name.
        pid: its process id.
        start_ticks: clock ticks from boot to its start; with the boot id it tells it from a later process
            that got the same pid.
        boot_id: which boot of the machine that was.
        log: file with its output.
    """

    name: str
    pid: int
    start_ticks: int
    boot_id: str
    log: str


def current_boot_id() -> str:
    """Return the id that the kernel gave to this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks_of(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; ``None`` when there is no such process.

    A process that has ended but whose parent has not asked for its exit status counts as there.
    """
    fields = _stat_fields(pid)
    return None if fields is None else int(fields[19])


def _stat_fields(pid: int) -> list[bytes] | None:
    """Return the fields of ``/proc/PID/stat`` from the third on: state first, start time at index 19."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in brackets and may hold anything, so count from the last bracket.
    return status[status.rindex(b")") + 2 :].split()


def start(
    name: str,
    command: Sequence[str],
    directory: Path,
    *,
    environment: Mapping[str, str] | None = None,
    ends_with_caller: bool = False,
) -> ProcessRecord:
    """Start a process in its own session, with its output in ``logs/<name>.log``, and return its record.

    Args:
        name: what it is called in messages and in the log's name.
        command: absolute path of the program, and its arguments.
        directory: its working directory, which has a ``logs`` folder.
        environment: changes to the environment.
        ends_with_caller: whether the kernel ends it when the calling thread ends, however that ends.

    Raises:
        OSError: the program cannot be run.
    """
    log = directory / "logs" / f"{name}.log"
    if ends_with_caller:
        command = [sys.executable, "-I", "-S", "-c", _ENDS_WITH_PARENT, *command]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - a fixed argument list, no shell
            command,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    ticks = start_ticks_of(process.pid)
    # The process outlives this object: is_running() and stop() look after it, so Popen must not complain.
    process.returncode = 0
    return ProcessRecord(name, process.pid, -1 if ticks is None else ticks, current_boot_id(), str(log))


def is_running(record: ProcessRecord) -> bool:
    """Return whether exactly this process still runs; a stranger with the same pid does not count."""
    if record.boot_id != current_boot_id():
        return False
    fields = _stat_fields(record.pid)
    if fields is None or int(fields[19]) != record.start_ticks:
        return False
    return fields[0] not in (b"Z", b"X") or not _has_ended(record.pid)


def stop(records: Sequence[ProcessRecord], grace_seconds: float = 5.0) -> None:
    """End these processes and no other, the last started first: SIGTERM, then SIGKILL for those that outlast it.

    Args:
        records: what to end, in starting order; those that ended before are passed over.
        grace_seconds: how long all of them together may take to end by themselves.
    """
    deadline = time.monotonic() + grace_seconds
    for record in reversed(records):
        _signal(record, signal.SIGTERM)
        _wait_until_ended(record, deadline)
    for record in reversed(records):
        _signal(record, signal.SIGKILL)
        _wait_until_ended(record, time.monotonic() + _KILL_SECONDS)


def _signal(record: ProcessRecord, number: signal.Signals) -> None:
    if is_running(record):
        with suppress(ProcessLookupError):  # it ended just now
            os.kill(record.pid, number)


def _wait_until_ended(record: ProcessRecord, deadline: float) -> None:
    while is_running(record) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _has_ended(zombie: int) -> bool:
    """Return whether a process whose first thread ended has ended as a whole, and take its exit status if ours."""
    try:
        return os.waitpid(zombie, os.WNOHANG)[0] == zombie
    except ChildProcessError:  # started by another process, whose task it is to take the exit status
        return True


def last_log_lines(record: ProcessRecord) -> str:
    """Return the end of a process's output on one line, for an error message."""
    try:
        text = Path(record.log).read_text(errors="replace")
    except OSError:
        return "no output"
    lines = [line.strip()[:_LOG_LINE_CHARACTERS] for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-_LOG_LINES:]) or "no output"
