"""The two programs: ``kubectl-deepseek`` with its verbs, and ``deepseek-operator run``.

Every error becomes one line on stderr and exit code 1; "no" as a sound answer is exit code 2.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from deepseek_operator import __version__
from deepseek_operator.cli import catalog, crd, estimate, inventory, plan, render, run, sandbox
from deepseek_operator.cli.output import EXIT_ERROR
from deepseek_operator.errors import DeepSeekOperatorError

plugin_app = typer.Typer(
    name="kubectl deepseek",
    help="Plan, render and estimate DeepSeek models on Kubernetes GPUs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
plugin_app.command("plan")(plan.plan)
plugin_app.command("render")(render.render)
plugin_app.command("inventory")(inventory.inventory)
plugin_app.command("estimate")(estimate.estimate)
plugin_app.command("crd")(crd.crd)
plugin_app.add_typer(catalog.app, name="catalog")
plugin_app.add_typer(sandbox.app, name="sandbox")

operator_app = typer.Typer(
    name="deepseek-operator",
    help="The controller for DeepSeekDeployments.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
operator_app.command("run")(run.run)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


MAX_LINE = 1000
"""Longest error in characters; nobody reads more, and what a user typed may be of any length."""

Version = Annotated[
    bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
]


@plugin_app.callback()
def _plugin_options(version: Version = False) -> None: ...


@operator_app.callback()
def _operator_options(version: Version = False) -> None: ...


def kubectl_plugin() -> None:
    """Run ``kubectl deepseek``."""
    sys.exit(_exit_code(plugin_app))


def operator() -> None:
    """Run ``deepseek-operator``."""
    sys.exit(_exit_code(operator_app))


def _exit_code(app: typer.Typer) -> int:
    """Run an app and return its exit code; whatever goes wrong becomes one line, and no traceback reaches the user."""
    _prepare_streams()
    try:
        result = app(standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        return _failed(error.format_message())
    except DeepSeekOperatorError as error:
        return _failed(str(error))
    except (typer.Abort, KeyboardInterrupt):
        return _failed("interrupted")
    except BrokenPipeError:
        # The reader (head, less) has left; nothing more can be told to anybody.
        _drop_output()
        return EXIT_ERROR
    except OSError as error:
        _drop_output()
        return _failed(
            f"{error.strerror or error}: {error.filename}" if error.filename else error.strerror or str(error)
        )
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        return _failed(f"this is a defect of the program, please report it: {said}")
    return result if isinstance(result, int) else 0


def _prepare_streams() -> None:
    """Make the standard streams usable however the program was started: closed, or with another text encoding."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - lives as long as the process
        elif isinstance(stream, io.TextIOWrapper) and name == "stdin":
            stream.reconfigure(encoding="utf-8", errors="strict")
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Send what can no longer be written nowhere, so that the interpreter does not complain about it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(io.UnsupportedOperation):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failed(message: str) -> int:
    words = " ".join(message.split())
    line = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in words)
    if line:
        sys.stderr.write(f"error: {line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + '…'}\n")
    return EXIT_ERROR
