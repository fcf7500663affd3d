"""``explain``: the story of one object."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepseek_operator.cli.files import Kubeconfig
from deepseek_operator.cli.objects import Namespace, ObjectFile, live, saved
from deepseek_operator.cli.output import Output, OutputFormat, console, write
from deepseek_operator.errors import InventoryError, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping


def explain(
    name: Annotated[
        str | None, typer.Argument(help="Of a DeepSeekDeployment; with -f of one only, not needed.")
    ] = None,
    namespace: Namespace = None,
    filename: ObjectFile = None,
    kubeconfig: Kubeconfig = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Tell the story of one object: what was asked, what is planned and why, what runs, what it costs, and lately."""
    from deepseek_operator.api.story import story

    if filename is not None:
        objects: list[Mapping[str, Any]] = [
            each for each in saved(filename) if name is None or each["metadata"]["name"] == name
        ]
        if len(objects) != 1:
            what = f"{len(objects)} DeepSeekDeployments" + (f" called {shortened(name)}" if name else "")
            raise InventoryError(f"{filename} holds {what}; name one")
    elif name is None:
        raise typer.BadParameter("name a DeepSeekDeployment, or give a file with -f")
    else:
        from deepseek_operator.cluster import context_namespace

        objects = asyncio.run(live(kubeconfig, namespace or context_namespace(kubeconfig), name))
    found = objects[0]
    told = story(found)
    if output is not OutputFormat.TABLE:
        write({"name": found["metadata"]["name"], **{key.lower(): lines for key, lines in told.items()}}, output)
        return
    from rich.markup import escape

    screen = console()
    screen.print(
        f"[bold]{escape(found['metadata'].get('namespace', 'default'))}/{escape(found['metadata']['name'])}[/bold]"
    )
    for heading, lines in told.items():
        screen.print(f"[bold]{heading}[/bold]")
        for line in lines or ["-"]:
            screen.print(f"  {escape(line)}", soft_wrap=True)
