"""A command that reads simple options itself, because typer's own conversion costs half of a quick verb's time."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Any

import typer
from typer.core import TyperCommand

_WHOLE = re.compile(r"-?\d{1,18}")
_FRACTION = re.compile(r"-?\d{1,18}(?:\.\d{0,18})?(?:[eE][+-]?\d{1,2})?")


class PlainCommand(TyperCommand):
    """Converts texts, numbers and choices without pydantic; everything else, and every mistake, is left to typer."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer keeps the class to itself
        """Fill ``ctx.params`` with what is given on the command line, and with the defaults of all else."""
        given, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
        exposed = [param for param in self.get_params(ctx) if param.expose_value]
        readers = {param.name: _reader(param) for param in exposed}
        if rest or not all(readers.get(name) for name in given) or any(param.envvar for param in exposed):
            return self._left_to_typer(ctx, args)
        values = {param.name: param.default for param in exposed}
        try:
            values |= {name: reader(given[name]) for name, reader in readers.items() if reader and name in given}
        except ValueError:
            return self._left_to_typer(ctx, args)
        ctx.params.update(values)
        return []

    def _left_to_typer(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer keeps the class to itself
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if getattr(error.param, "metavar", None) == "BYTES":
                from deepseek_operator.cli.estimate_question import BYTES_EXAMPLE

                error.message = f"{error.message.removesuffix('.')}; {BYTES_EXAMPLE}"
            raise


def _reader(param: Any) -> Callable[[Any], object] | None:  # noqa: ANN401 - typer keeps the class to itself
    """Return what reads an option's value; None leaves the option to typer."""
    if param.callback is not None or param.multiple or param.nargs not in (0, 1):
        return None
    kind = param.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return _READERS.get(kind)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _whole(text: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise ValueError
    return int(text)


def _fraction(text: str) -> float:
    if _FRACTION.fullmatch(text) is None:
        raise ValueError
    return float(text)


_READERS: dict[object, Callable[[Any], object]] = {str: str, bool: _flag, int: _whole, float: _fraction}
