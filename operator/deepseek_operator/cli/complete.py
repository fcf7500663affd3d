"""``kubectl_complete-deepseek``: the program that kubectl asks what may come next on a line of ``kubectl deepseek``.

It gets the words after ``deepseek``, the last of which is unfinished or empty, and prints one candidate a line, a tab
before what it means, and last a colon with what the shell shall do besides.
Source: kubernetes/kubernetes#105867 (kubectl 1.26 and later) and cobra's ``ShellCompDirective``.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from typer.main import get_command

from deepseek_operator.cli.main import plugin_app

FILES = 0
"""cobra's ``ShellCompDirectiveDefault``: the shell offers files where no candidate fits."""

NO_FILES = 4
"""cobra's ``ShellCompDirectiveNoFileComp``."""

FILE_METAVARS = frozenset({"FILE", "CSV", "FOLDER"})
"""How the help calls values that are files although they are read as text."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What may come next.

    Args:
        candidates: words and what they mean.
        directive: ``FILES`` or ``NO_FILES``.
    """

    candidates: tuple[tuple[str, str], ...] = ()
    directive: int = NO_FILES


def complete(words: Sequence[str]) -> Completion:
    """Return what may stand in place of the last word.

    Args:
        words: of the line, after ``kubectl deepseek``; the last is what was typed of the next one, empty for nothing.

    >>> [word for word, _ in complete(["ca"]).candidates]
    ['capacity', 'catalog']
    >>> [word for word, _ in complete(["catalog", ""]).candidates]
    ['models', 'gpus', 'instances']
    >>> complete(["plan", "-o", "j"]).candidates
    (('json', ''),)
    >>> complete(["plan", "--output=j"]).candidates, complete(["plan", "-o=j"]).candidates
    ((('--output=json', ''),), ())
    """
    *before, typed = words or [""]
    command: Any = get_command(plugin_app)
    waiting: Any = None
    for word in before:
        if waiting is not None:
            waiting = None
        elif word.startswith("-"):
            waiting = _taking_a_value(command, word)
        elif hasattr(command, "commands"):
            command = command.get_command(None, word)
            if command is None:
                return Completion()
    if waiting is not None:
        return _values(waiting, typed)
    name, equals, value = typed.partition("=")
    if name.startswith("--") and equals and (option := _taking_a_value(command, name)) is not None:
        found = _values(option, value)
        return Completion(
            candidates=tuple((f"{name}={each}", help_) for each, help_ in found.candidates), directive=found.directive
        )
    if typed.startswith("-"):
        return Completion(candidates=tuple(_starting(typed, _options(command))))
    if hasattr(command, "commands"):
        return Completion(candidates=tuple(_starting(typed, _verbs(command))))
    argument = next((each for each in command.params if not each.opts[0].startswith("-")), None)
    return Completion() if argument is None else _values(argument, typed)


def _verbs(command: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - typer keeps the class to itself
    for name in command.commands:
        yield name, command.get_command(None, name).get_short_help_str(80)


def _taking_a_value(command: Any, name: str) -> Any:  # noqa: ANN401 - as above
    """Return the option of a name when a value follows it; None for flags and unknown names."""
    named = (each for each in command.params if name in each.opts and not getattr(each, "is_flag", False))
    return next(named, None)


def _options(command: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - as above
    for param in command.params:
        for name in (*param.opts, *param.secondary_opts):
            if name.startswith("--"):
                yield name, (param.help or "").partition(". ")[0]
    yield "--help", "Show the help and exit."


def _values(param: Any, typed: str) -> Completion:  # noqa: ANN401 - as above
    """Return the values of an option or argument."""
    annotation = param.type_descriptor.annotation
    kinds = [each for each in (annotation, *typing.get_args(annotation)) if isinstance(each, type)]
    choices = next((each for each in kinds if issubclass(each, Enum)), None)
    if choices is not None:
        return Completion(candidates=tuple(_starting(typed, ((str(each.value), "") for each in choices))))
    if any(issubclass(each, Path) for each in kinds) or param.metavar in FILE_METAVARS or param.name in _FILES:
        return Completion(directive=FILES)
    return Completion(candidates=tuple(_starting(typed, _known(param.name))))


_FILES = frozenset({"filename", "kubeconfig"})
"""Parameters that take a file although they are read as text."""


def _known(name: str) -> Iterable[tuple[str, str]]:
    """Return the names of the catalogue that a parameter takes."""
    from deepseek_operator.catalog import gpus, models

    if name == "model":
        return ((each, "") for each in models.model_names())
    if name == "gpu":
        return ((each.id, each.product) for each in gpus.gpus())
    return ()


def _starting(typed: str, candidates: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return (each for each in candidates if each[0].startswith(typed))


def main() -> None:
    """Answer kubectl; what cannot be completed has no candidates, because a shell shows no errors."""
    found = complete(sys.argv[1:])
    for word, means in found.candidates:
        sys.stdout.write(f"{word}\t{means}\n" if means else f"{word}\n")
    sys.stdout.write(f":{found.directive}\n")


if __name__ == "__main__":
    main()
