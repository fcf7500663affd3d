"""Programs that only Debian packages: found on PATH, else unpacked once into the user's cache, without root.

Packages are downloaded with apt's own client and its checks of signatures; nothing is installed into the system. Tests
ask for a program by ``required``: skipped where it cannot be had, a failure under CI.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deepseek_operator.sandbox.versions import cache_directory

SECONDS_TO_DOWNLOAD = 500


class ProgramMissingError(Exception):
    """The program is neither here nor can it be had; the text says why."""


@dataclass(frozen=True, kw_only=True)
class DebianProgram:
    """A program and the package that holds it.

    Args:
        name: as it is called on PATH.
        package: name of the Debian package.
        path: of the program inside the package; no wrapper script, because those name the system's paths.
        with_dependencies: whether it needs shared libraries of other packages; a static program does not.
        version_arguments: a call that ends at once and tells that it runs.
    """

    name: str
    package: str
    path: str
    with_dependencies: bool = False
    version_arguments: tuple[str, ...] = ("--version",)


PROMETHEUS = DebianProgram(name="prometheus", package="prometheus", path="usr/bin/prometheus")
PROMTOOL = DebianProgram(name="promtool", package="prometheus", path="usr/bin/promtool")
CHROMIUM = DebianProgram(name="chromium", package="chromium", path="usr/lib/chromium/chromium", with_dependencies=True)


@dataclass(frozen=True)
class Program:
    """A program that runs here.

    Args:
        path: what to start.
        environment: variables that it needs beside those of the caller.
    """

    path: Path
    environment: Mapping[str, str] = field(default_factory=dict)


def find_or_unpack(wanted: DebianProgram, say: Callable[[str], None] = lambda text: None) -> Program:
    """Return a program that runs, from PATH, from the cache, or freshly downloaded; safe in several processes at once.

    Raises:
        ProgramMissingError: it is not on PATH and there is no apt, no such package, or the program does not run.
    """
    found = shutil.which(wanted.name)
    if found is not None:
        return _tried(wanted, Program(Path(found)))
    parent = cache_directory().parent / "debian"
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / f"{wanted.package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _tried(wanted, _unpacked(wanted, parent / wanted.package, say))


def required(wanted: DebianProgram, capture: pytest.Config) -> Program:
    """Return the program with progress on the terminal; skip the test where it cannot be had, fail under CI."""
    manager = capture.pluginmanager.getplugin("capturemanager")
    try:
        with manager.global_and_fixture_disabled():
            return find_or_unpack(wanted, lambda text: print(f"tests: {text}", flush=True))
    except (ProgramMissingError, OSError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no {wanted.name}: {error}")


def _unpacked(wanted: DebianProgram, folder: Path, say: Callable[[str], None]) -> Program:
    done = folder / "unpacked"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        downloads = folder / "downloads"
        downloads.mkdir(parents=True)
        options = _apt_options(wanted, folder)
        packages = [wanted.package, *(_missing_dependencies(wanted, options) if wanted.with_dependencies else ())]
        say(f"downloading the Debian package {wanted.package} and {len(packages) - 1} that it needs, once ...")
        _run("apt-get", *options, "download", "--quiet", *packages, folder=downloads)
        for package in sorted(downloads.glob("*.deb")):
            _run("dpkg-deb", "--extract", str(package), str(folder), folder=folder)
        say(f"unpacked {wanted.package} into {folder}")
        shutil.rmtree(downloads)
        done.touch()
    return Program(folder / wanted.path, _library_path(folder))


def _apt_options(wanted: DebianProgram, folder: Path) -> list[str]:
    """Return options for apt with lists that know the package: the system's, else lists of our own.

    Raises:
        ProgramMissingError: there is no apt, or nobody has the package.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise ProgramMissingError(f"{wanted.name} is not on PATH, and this system has no apt; install {wanted.name}")
    if _known(wanted, []):
        return []
    state = folder / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True)
    options = ["-o", f"Dir::State::lists={state / 'lists'}", "-o", f"Dir::Cache={state / 'cache'}"]
    _run("apt-get", *options, "update", "--quiet", folder=folder)
    if not _known(wanted, options):
        raise ProgramMissingError(f"{wanted.name} is not on PATH, and no source of apt has {wanted.package}")
    return options


def _known(wanted: DebianProgram, options: Sequence[str]) -> bool:
    done = subprocess.run(["apt-cache", *options, "show", wanted.package], capture_output=True)
    return done.returncode == 0 and bool(done.stdout.strip())


def _missing_dependencies(wanted: DebianProgram, options: Sequence[str]) -> list[str]:
    """Return the packages that it needs, directly or not, and that are not installed; apt resolves, root or not."""
    planned = _run("apt-get", *options, "install", "--simulate", "--no-install-recommends", "--quiet", wanted.package)
    names = {line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")}
    return sorted(names - {wanted.package})


def _library_path(folder: Path) -> dict[str, str]:
    libraries = sorted({str(path.parent) for path in folder.glob("**/*.so*")})
    before = os.environ.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": ":".join([*libraries, *([before] if before else [])])} if libraries else {}


def _tried(wanted: DebianProgram, program: Program) -> Program:
    """Return the program after it has told its version.

    Raises:
        ProgramMissingError: it does not run; the text has its own words.
    """
    try:
        done = subprocess.run(
            [program.path, *wanted.version_arguments],
            env={**os.environ, **program.environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramMissingError(f"{program.path} does not run: {error}") from error
    if done.returncode:
        raise ProgramMissingError(f"{program.path} does not run: {done.stderr.strip()[-300:]}")
    return program


def _run(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_DOWNLOAD,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode:
        raise ProgramMissingError(f"{' '.join(command[:4])} ... failed: {done.stderr.strip()[-300:]}")
    return done.stdout
