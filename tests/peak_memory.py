"""The most memory that a process alone has had; run as a program, that of another Python program, last on stderr."""

from __future__ import annotations

import atexit
import re
import runpy
import sys
from pathlib import Path

_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


def peak_mb() -> float:
    """Return the most memory that this process has had, in MB.

    `ru_maxrss` would count what the process had that started this one, and of children it is the largest of all.
    Source: Linux, proc_pid_status(5), ``VmHWM``; getrusage(2).
    """
    found = _PEAK.search(Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    atexit.register(lambda: print(f"{peak_mb():.0f}", file=sys.stderr))
    runpy.run_path(sys.argv[0], run_name="__main__")
