"""One attempt to start a control plane, which either succeeds or leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deepseek_operator.errors import SandboxError
from deepseek_operator.sandbox.binaries import Binaries
from deepseek_operator.sandbox.directory import remove_directory
from deepseek_operator.sandbox.processes import is_running, last_log_lines, start, stop
from deepseek_operator.sandbox.progress import Progress
from deepseek_operator.sandbox.state import SandboxState, save_state

START_SECONDS = 90
"""How long each step may take; the whole takes about 6 s on two idle cores."""

_POLL_SECONDS = 0.05
_GRACE_AFTER_FAILURE_SECONDS = 2.0


class Startup:
    """Starts components one after the other and watches over those that run.

    Args:
        state: a state without processes, whose directory is ours.
        binaries: what to run.
        progress: told which step is waited for.
        ends_with_caller: whether processes end with the calling thread.
    """

    def __init__(self, state: SandboxState, binaries: Binaries, progress: Progress, ends_with_caller: bool) -> None:
        self.state = state
        self._binaries = binaries
        self._progress = progress
        self._ends_with_caller = ends_with_caller
        (state.directory / "logs").mkdir()
        save_state(state)

    @contextmanager
    def undone_on_failure(self) -> Iterator[None]:
        """End everything and remove the directory when the block fails or is interrupted."""
        try:
            yield
        except BaseException:
            stop(self.state.processes, _GRACE_AFTER_FAILURE_SECONDS)
            remove_directory(self.state)
            raise

    def run(self, name: str, arguments: Sequence[str], path: Path | None = None) -> None:
        """Start a component; ``down`` knows of it from now on.

        Args:
            name: of the component.
            arguments: of its program.
            path: of its program; None takes the binary of that name.

        Raises:
            SandboxError: its binary cannot be run.
        """
        directory = self.state.directory
        command = [str(path or self._binaries.path(name)), *arguments]
        try:
            process = start(
                name,
                command,
                directory,
                environment={"HOME": str(directory)},  # no settings of the user's, such as ~/.kwok/kwok.yaml
                ends_with_caller=self._ends_with_caller,
            )
        except OSError as error:
            raise SandboxError(f"{name} cannot be run: {error}") from error
        self.state = self.state.with_process(process)
        save_state(self.state)

    def wait(self, what: str, reached: Callable[[], bool]) -> None:
        """Wait until a condition holds.

        Args:
            what: the condition as a clause, for people.
            reached: whether it holds; called often.

        Raises:
            SandboxError: a component ended meanwhile, or it took too long.
        """
        started = time.monotonic()
        while not reached():
            for process in self.state.processes:
                if not is_running(process):
                    raise SandboxError(f"{process.name} ended while starting: {last_log_lines(process)}")
            if time.monotonic() - started > START_SECONDS:
                newest = self.state.processes[-1]
                raise SandboxError(
                    f"waited {START_SECONDS} s in vain until {what}; {newest.name} says: {last_log_lines(newest)}"
                )
            self._progress.update(f"starting the control plane: waiting until {what}")
            time.sleep(_POLL_SECONDS)
