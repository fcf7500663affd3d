"""``crd``: the CustomResourceDefinition, and whether a file still is what the types say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from deepseek_operator.cli.output import EXIT_ERROR

CheckedFile = Annotated[
    Path | None,
    typer.Option("--check", metavar="FILE", help="Print nothing; exit 1 when FILE differs from what would be printed."),
]


def crd(check: CheckedFile = None) -> None:
    """Print the CustomResourceDefinition of DeepSeekDeployment as YAML, for `kubectl apply -f -`."""
    from deepseek_operator.api.crd import crd_yaml

    text = crd_yaml()
    if check is None:
        sys.stdout.write(text)
    elif check.read_bytes() != text.encode():
        sys.stderr.write(f"error: {check} differs from the types; write it with `kubectl deepseek crd > {check}`\n")
        raise typer.Exit(EXIT_ERROR)
