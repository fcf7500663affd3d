"""The two programs: ``kubectl-deepseek`` with its verbs, and ``deepseek-operator run``.

Every error becomes one line on stderr and exit code 1; "no" as a sound answer is exit code 2.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

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
    """Run an app and return its exit code; no traceback reaches the user for an error that has a sentence."""
    import click

    try:
        result = app(standalone_mode=False)
    except click.ClickException as error:
        return _failed(error.format_message())
    except DeepSeekOperatorError as error:
        return _failed(str(error))
    except (click.Abort, KeyboardInterrupt):
        return _failed("interrupted")
    except BrokenPipeError:
        # The reader (head, less) has left; nothing more can be told to anybody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except OSError as error:
        return _failed(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
    return result if isinstance(result, int) else 0


def _failed(message: str) -> int:
    line = " ".join(message.split())
    if line:
        sys.stderr.write(f"error: {line}\n")
    return EXIT_ERROR
