"""The two programs: ``kubectl-deepseek`` with its verbs, and ``deepseek-operator run``.

Every error becomes one line on stderr and exit code 1; "no" as a sound answer is exit code 2.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from deepseek_operator import __version__
from deepseek_operator.cli.once import OnceCommand
from deepseek_operator.cli.output import EXIT_ERROR
from deepseek_operator.errors import DeepSeekOperatorError


class LazyVerbs(TyperGroup):
    """Loads a verb when it is asked for, so that none pays for the imports and options of the others."""

    verbs: ClassVar[Mapping[str, str]] = {}
    """Verbs in the order of the help; each is a module below ``cli`` and the name of what it offers there."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - handed on to typer as they come
        super().__init__(**settings)
        self.commands.update({verb: TyperCommand(verb) for verb in self.verbs})
        self._loaded: set[str] = set()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - typer keeps the class to itself
        """Return the verb's command, or None when there is no such verb."""
        if cmd_name in self.verbs and cmd_name not in self._loaded:
            self.commands[cmd_name] = _load(cmd_name, self.verbs[cmd_name])
            self._loaded.add(cmd_name)
        return self.commands.get(cmd_name)

    def get_help_option(self, ctx: Any) -> Any:  # noqa: ANN401 - typer keeps the class to itself
        """Return ``--help``, off unless given: to convert typer's own default, None, would load pydantic."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


def _load(verb: str, name: str) -> Any:  # noqa: ANN401 - typer keeps the class to itself
    offered = getattr(importlib.import_module(f"deepseek_operator.cli.{verb}"), name)
    if isinstance(offered, typer.Typer):
        command: Any = get_command(offered)
    else:
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(verb, cls=OnceCommand)(offered)
        command = get_command(app)
    command.name = verb
    return command


class PluginVerbs(LazyVerbs):
    """Verbs of ``kubectl deepseek``."""

    verbs = MappingProxyType(
        {
            "plan": "plan",
            "render": "render",
            "explain": "explain",
            "status": "status",
            "inventory": "inventory",
            "capacity": "capacity",
            "estimate": "app",
            "crd": "crd",
            "catalog": "app",
            "simulate": "simulate",
            "sandbox": "app",
        }
    )


class OperatorVerbs(LazyVerbs):
    """Verbs of ``deepseek-operator``."""

    verbs = MappingProxyType({"run": "run"})


plugin_app = typer.Typer(
    name="kubectl deepseek",
    help="Plan, render and estimate DeepSeek models on Kubernetes GPUs.",
    cls=PluginVerbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
operator_app = typer.Typer(
    name="deepseek-operator",
    help="The controller for DeepSeekDeployments.",
    cls=OperatorVerbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
        if isinstance(error, IsADirectoryError):
            return _failed(f"{error.filename} is a folder; name one file of it")
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
