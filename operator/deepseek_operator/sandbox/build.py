"""Builds the control plane's binaries once and keeps them in the user's cache folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deepseek_operator.errors import SandboxError
from deepseek_operator.sandbox.progress import Progress, elapsed
from deepseek_operator.sandbox.toolchain import Go, find_go
from deepseek_operator.sandbox.versions import (
    GO_MODULE,
    KUBERNETES_VERSION,
    TOOLS,
    Tool,
    fingerprint,
    linker_flags,
)

POLL_SECONDS = 0.5
_REMEDY = (
    "check that Go can fetch modules (go env GOPROXY) and that 5 GB of disk are free, then run it again: "
    "what was compiled is kept; or point KUBEBUILDER_ASSETS at ready-made binaries"
)
_SHOWN_ERROR_LINES = 5


def binary_directory(cache: Path) -> Path:
    """Return where the binaries of this release are kept inside the cache folder."""
    return cache / fingerprint() / "bin"


def is_built(cache: Path) -> bool:
    """Return whether every binary of this release lies in the cache folder."""
    return all(os.access(binary_directory(cache) / tool.name, os.X_OK) for tool in TOOLS)


def ensure_built(cache: Path, progress: Progress) -> Path:
    """Return the folder with every binary, building them first when they are not there.

    Two processes never build at once: the second waits for the first. A build that is cut short leaves nothing
    behind but Go's own build cache, so the next one goes on from there.

    Args:
        cache: the sandbox's cache folder; made when missing.
        progress: told what is being built, for how long, and how long it takes.

    Raises:
        SandboxError: Go, its modules or the compiler failed; the text has the last lines and what to do.
    """
    if is_built(cache):
        return binary_directory(cache)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with locked(cache / f"{fingerprint()}.lock", progress):
            if not is_built(cache):
                _build(cache, progress)
    except OSError as error:
        raise SandboxError(f"cannot keep the sandbox's binaries in {cache}: {error}; set XDG_CACHE_HOME") from error
    return binary_directory(cache)


@contextmanager
def locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold a lock file, so that two processes never build the same at once."""
    started = time.monotonic()
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = elapsed(time.monotonic() - started)
                progress.update(f"waiting for another process that builds the binaries ({waited})")
                time.sleep(POLL_SECONDS)
        yield


def _build(cache: Path, progress: Progress) -> None:
    started = time.monotonic()
    go = find_go(cache, progress)
    progress.say(
        f"building Kubernetes {KUBERNETES_VERSION}, etcd and KWOK from source, once; takes 5-10 minutes on two cores"
    )
    with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as temporary:
        work = Path(temporary)
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(GO_MODULE / name, work / name)
        packages = _list_packages(go, work, progress, started)
        result = work / "result"
        (result / "bin").mkdir(parents=True)
        for tool in TOOLS:
            _build_tool(tool, go, work, packages, progress, started)
        target = cache / fingerprint()
        shutil.rmtree(target, ignore_errors=True)
        result.rename(target)
    progress.say(f"built in {elapsed(time.monotonic() - started)}; kept in {binary_directory(cache)}")


def _list_packages(go: Go, work: Path, progress: Progress, started: float) -> dict[str, set[str]]:
    """Return each tool's packages; fetches the modules on the way."""
    command = [str(go.executable), "list", "-mod=readonly", "-deps"]
    packages: dict[str, set[str]] = {}
    for tool in TOOLS:
        listed = work / "packages.txt"
        with listed.open("w") as output:
            for _ in running([*command, tool.package], go, work, output.fileno(), f"fetching {tool.name}"):
                progress.update(f"fetching Go modules for {tool.name} ({elapsed(time.monotonic() - started)})")
        packages[tool.name] = set(listed.read_text().split())
    return packages


def _build_tool(
    tool: Tool, go: Go, work: Path, packages: dict[str, set[str]], progress: Progress, started: float
) -> None:
    command = [str(go.executable), "build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly"]
    command += ["-ldflags", linker_flags(), "-o", str(work / "result" / "bin" / tool.name), tool.package]
    earlier = TOOLS[: TOOLS.index(tool)]
    new = len(packages[tool.name].difference(*(packages[other.name] for other in earlier)))
    for compiled in running(command, go, work, subprocess.DEVNULL, f"building {tool.name}"):
        progress.update(
            f"building {tool.name} {tool.version} ({len(earlier) + 1} of {len(TOOLS)}): "
            f"{compiled} of about {max(new, compiled)} new packages, {elapsed(time.monotonic() - started)} so far"
        )


def running(command: Sequence[str], go: Go, work: Path, output: int, doing: str) -> Iterator[int]:
    """Run a Go command and yield, about twice a second, how many lines of error output it has written."""
    log = work / "go.log"
    with log.open("w+b") as errors:
        process = subprocess.Popen(  # noqa: S603 - a fixed argument list, no shell
            command,
            cwd=work,
            env=go.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                yield log.read_bytes().count(b"\n")
                _wait(process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    if process.returncode != 0:
        raise SandboxError(f"{doing} failed: {_last_lines(log)}; {_REMEDY}")


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return


def _last_lines(log: Path) -> str:
    """Return the end of Go's error output without the names of packages that went well, on one line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    said = [line for line in lines if " " in line and not line.startswith("go: downloading ")]
    return " | ".join(said[-_SHOWN_ERROR_LINES:] or ["Go said nothing"])
