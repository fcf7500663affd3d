"""What is remembered of a running control plane: one JSON file in its directory."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from deepseek_operator.errors import SandboxError
from deepseek_operator.sandbox.processes import ProcessRecord

STATE_FILE = "sandbox.json"
_FORMAT = "deepseek-operator-sandbox/1"


@dataclass(frozen=True)
class SandboxState:
    """A control plane that ``up`` started.

    Args:
        directory: absolute path of everything that belongs to it.
        made_directory: whether ``up`` made that directory, so that ``down`` removes it whole.
        server: URL of the API server, on loopback.
        kubeconfig: absolute path of the administrator's kubeconfig.
        kubectl: absolute path of a kubectl of the same version.
        nodes: names of the fake nodes it was started with.
        processes: what runs, in starting order.
    """

    directory: Path
    made_directory: bool
    server: str
    kubeconfig: Path
    kubectl: Path
    nodes: tuple[str, ...] = ()
    processes: tuple[ProcessRecord, ...] = ()

    def with_process(self, process: ProcessRecord) -> SandboxState:
        """Return the state with one more process."""
        return replace(self, processes=(*self.processes, process))


def save_state(state: SandboxState) -> None:
    """Write the state file, readable by its owner only; a reader never sees half of it."""
    values: dict[str, Any] = {"format": _FORMAT, **asdict(state)}
    for key in ("directory", "kubeconfig", "kubectl"):
        values[key] = str(values[key])
    target = state.directory / STATE_FILE
    draft = target.with_suffix(".draft")
    write_private(draft, json.dumps(values, indent=2) + "\n")
    draft.replace(target)


def load_state(directory: Path) -> SandboxState | None:
    """Return what is remembered in a directory; ``None`` when no control plane was started there.

    Raises:
        SandboxError: the file belongs to another user or is none of ours; it is left alone.
    """
    path = directory / STATE_FILE
    try:
        if path.stat().st_uid != os.geteuid():
            raise SandboxError(f"{path} belongs to another user; choose another directory")
        values = json.loads(path.read_text())
        if values.pop("format") != _FORMAT:
            raise ValueError("another format")
        return SandboxState(
            directory=Path(values["directory"]),
            made_directory=bool(values["made_directory"]),
            server=str(values["server"]),
            kubeconfig=Path(values["kubeconfig"]),
            kubectl=Path(values["kubectl"]),
            nodes=tuple(values["nodes"]),
            processes=tuple(ProcessRecord(**process) for process in values["processes"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SandboxError(f"{path} is no state of a sandbox ({error}); remove it by hand") from error


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600 from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
