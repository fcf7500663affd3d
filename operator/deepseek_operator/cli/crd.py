"""``crd``: the CustomResourceDefinition, and whether a file still is what the types say."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deepseek_operator.cli.output import EXIT_ERROR

CheckedFile = Annotated[
    Path | None,
    typer.Option("--check", metavar="FILE", help="Print nothing; exit 1 when FILE differs from what would be printed."),
]


class DefinedKind(StrEnum):
    """Kinds that have a definition, by their plural."""

    DEPLOYMENTS = "deepseekdeployments"
    CAPACITY_PLANS = "capacityplans"


def crd(
    kind: Annotated[DefinedKind, typer.Argument(help="Which definition.")] = DefinedKind.DEPLOYMENTS,
    check: CheckedFile = None,
) -> None:
    """Print the CustomResourceDefinition of a kind as YAML, for `kubectl apply -f -`."""
    from deepseek_operator.api.crd import capacity_plan_definition, crd_yaml, custom_resource_definition

    is_plan = kind is DefinedKind.CAPACITY_PLANS
    text = crd_yaml(capacity_plan_definition() if is_plan else custom_resource_definition())
    if check is None:
        sys.stdout.write(text)
    elif check.read_bytes() != text.encode():
        sys.stderr.write(
            f"error: {check} differs from the types; write it with `kubectl deepseek crd {kind.value} > {check}`\n"
        )
        raise typer.Exit(EXIT_ERROR)
