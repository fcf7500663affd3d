"""How every verb answers: one option for the form, one place that writes it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

if TYPE_CHECKING:
    from rich.console import Console

EXIT_YES = 0
EXIT_ERROR = 1
EXIT_NO = 2
"""Exit codes of every verb: yes, any error, and a sound "no" (infeasible, does not fit)."""


PIPED_COLUMNS = 120
"""Width of prose for programs and files."""

UNBROKEN_COLUMNS = 100_000
"""Width of tables for programs that read line by line: no line is longer."""


_BLANKS = re.compile(r"[ \t]+\n")


class OutputFormat(StrEnum):
    """Forms of an answer."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class PageFormat(StrEnum):
    """Forms of an answer that people also look at as a picture."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    HTML = "html"


Output = Annotated[
    OutputFormat, typer.Option("--output", "-o", help="Form of the answer: a table for people, or JSON or YAML.")
]
"""The option that every verb with an answer has."""


def console(*, stderr: bool = False, unbroken: bool = False) -> Console:
    """Return a console that is plain when nobody looks (no terminal).

    Args:
        stderr: whether it writes there.
        unbroken: whether no line is broken where nobody looks, as of tables that programs read line by line.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return Console(stderr=stderr, highlight=False, soft_wrap=False)
    piped = UNBROKEN_COLUMNS if unbroken else PIPED_COLUMNS
    return Console(file=cast("TextIO", _Trimmed(stream)), width=piped, highlight=False, soft_wrap=False)


class _Trimmed:
    """A file or pipe in which no line ends with blanks, as the cells of tables do; each text has whole lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def isatty(self) -> bool:
        """Return that nobody looks."""
        return False

    def write(self, text: str) -> int:
        """Write the text without the blanks at the ends of its lines."""
        self._stream.write(_BLANKS.sub("\n", text))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        self._stream.flush()


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with right-aligned columns, for tables that need no terminal.

    >>> aligned([("STAGE", "KV"), ("0", "40.0 GiB")])
    ['STAGE        KV', '    0  40.0 GiB']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def write(data: Mapping[str, Any], form: OutputFormat) -> None:
    """Print data as JSON or YAML; keys stay in the order that the data has."""
    if form is OutputFormat.YAML:
        import yaml

        yaml.safe_dump(dict(data), sys.stdout, sort_keys=False, allow_unicode=True, width=120)
    else:
        json.dump(data, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
