"""The directory of a control plane: taken into possession, and given back as it was found."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from deepseek_operator.errors import SandboxError
from deepseek_operator.sandbox.processes import is_running
from deepseek_operator.sandbox.state import STATE_FILE, SandboxState, load_state


def default_directory() -> Path:
    """Return the directory of the user's sandbox when none is chosen; it lies in the temporary folder."""
    return Path(tempfile.gettempdir()) / f"deepseek-operator-sandbox-{os.geteuid()}"


def take_directory(directory: Path) -> bool:
    """Take a directory for a new control plane and return whether it had to be made.

    What is left of a sandbox whose processes have all ended, such as after a restart of the machine, is removed.

    Args:
        directory: absolute path; missing, empty or with the rest of an ended sandbox.

    Raises:
        SandboxError: a sandbox runs there, or somebody else's files lie there, or it cannot be written.
    """
    earlier = load_state(directory)
    if earlier is not None:
        if any(is_running(process) for process in earlier.processes):
            raise SandboxError(f"a sandbox already runs in {directory}; end it with `sandbox down` first")
        remove_directory(earlier)
    made = not directory.exists()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_uid != os.geteuid():
            raise SandboxError(f"{directory} belongs to another user; choose another directory")
        if any(directory.iterdir()):
            raise SandboxError(f"{directory} is not empty and holds no sandbox; choose another directory")
        directory.chmod(0o700)
    except OSError as error:
        raise SandboxError(f"cannot use {directory}: {error}; choose another directory") from error
    return made


def remove_directory(state: SandboxState) -> None:
    """Remove everything in a control plane's directory, and the directory too when ``up`` made it.

    Raises:
        SandboxError: something cannot be removed.
    """
    try:
        # The state file goes last, so that an interrupted removal can be taken up again.
        for entry in sorted(state.directory.iterdir(), key=lambda path: path.name == STATE_FILE):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        if state.made_directory:
            state.directory.rmdir()
    except OSError as error:
        raise SandboxError(f"cannot remove {state.directory}: {error}; remove it by hand") from error
