"""Reading a request trace: CSV, packed with gzip or not, line by line and bounded."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import math
import zlib
from array import array
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

from deepseek_operator.errors import SimulationError, shortened
from deepseek_operator.units import MIB

if TYPE_CHECKING:
    from deepseek_operator.scaling.fleet_values import Trace

COLUMNS = ("arrival_seconds", "input_tokens", "output_tokens")

MOST_REQUESTS = 5_000_000
"""Longest trace; each request takes 24 bytes. A busy service makes that many in some days."""

MOST_SECONDS = 32 * 86_400
"""Longest trace in time: a month."""

MOST_TOKENS = 10_000_000
"""Most tokens that a request is believed to have."""

MAX_TEXT_BYTES = 1024 * MIB
"""Unpacked size at which reading ends: a small packed file may hold any amount."""

MOST_LINES = 2 * MOST_REQUESTS
"""Lines at which reading ends, empty ones among them: a packed file of a megabyte may hold a billion."""

MAX_LINE_CHARACTERS = 4096

_GZIP = b"\x1f\x8b"


def read_trace(path: Path) -> Trace:
    """Return the requests of a CSV file with the columns `COLUMNS`; other columns are passed over.

    Raises:
        SimulationError: it is no such file, is too long, or a line of it is wrong; the text names the line.
        OSError: it cannot be read.
    """
    from deepseek_operator.scaling.fleet_values import Trace

    arrivals, prompts, outputs = array("d"), array("l"), array("l")
    with path.open("rb") as file:
        rows = csv.reader(_lines(file, path), strict=True)
        try:
            places = _places(next(rows, []), path)
            for row in rows:
                if row:
                    _take(row, places, (arrivals, prompts, outputs), f"{path}, line {rows.line_num}")
        except (csv.Error, UnicodeDecodeError) as error:
            raise SimulationError(f"{path} is no CSV of UTF-8 text: {shortened(str(error))}") from error
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise SimulationError(f"{path} cannot be unpacked: {shortened(str(error))}") from error
    if not arrivals:
        raise SimulationError(f"{path} holds no request; each line below {','.join(COLUMNS)} is one")
    return Trace(arrivals=arrivals, prompt_tokens=prompts, output_tokens=outputs)


def _lines(file: BufferedReader, path: Path) -> Iterator[str]:
    """Yield the lines of a file, unpacked where it is packed, until it is too long."""
    stream = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == _GZIP else file
    size = 0
    with io.TextIOWrapper(stream, encoding="utf-8", errors="strict", newline="") as text:
        for number in itertools.count(1):
            if not (line := text.readline(MAX_LINE_CHARACTERS)):
                return
            size += len(line)
            if len(line) == MAX_LINE_CHARACTERS or size > MAX_TEXT_BYTES:
                raise SimulationError(f"{path} has a line above 4 kB or more than 1 GiB of text; it is no trace")
            if number > MOST_LINES:
                raise SimulationError(f"{path} has more than {MOST_LINES:,} lines; cut the trace")
            yield line


def _places(header: Sequence[str], path: Path) -> tuple[int, int, int]:
    names = [name.strip().lstrip("\ufeff") for name in header]
    for name in COLUMNS:
        if names.count(name) != 1:
            raise SimulationError(
                f"{path} must have one column {name}: its first line is {shortened(','.join(names)) or 'empty'}, "
                f"and {','.join(COLUMNS)} is expected"
            )
    first, second, third = (names.index(name) for name in COLUMNS)
    return first, second, third


def _take(
    row: Sequence[str], places: tuple[int, int, int], columns: tuple[array[float], array[int], array[int]], where: str
) -> None:
    arrivals, prompts, outputs = columns
    if len(row) <= max(places):
        raise SimulationError(f"{where}: {len(row)} columns, and {max(places) + 1} are needed")
    try:
        arrived = float(row[places[0]])
    except ValueError:
        arrived = math.nan
    if not 0 <= arrived <= MOST_SECONDS:
        raise SimulationError(f"{where}: arrival_seconds is {shortened(row[places[0]])!r}, not 0 to {MOST_SECONDS:,}")
    if arrivals and arrived < arrivals[-1]:
        raise SimulationError(f"{where}: arrival_seconds falls from {arrivals[-1]:g} to {arrived:g}; sort the trace")
    if len(arrivals) >= MOST_REQUESTS:
        raise SimulationError(f"{where}: more than {MOST_REQUESTS:,} requests; cut the trace")
    arrivals.append(arrived)
    prompts.append(_tokens(row[places[1]], COLUMNS[1], where))
    outputs.append(_tokens(row[places[2]], COLUMNS[2], where))


def _tokens(text: str, name: str, where: str) -> int:
    """Return a number of tokens; a request without any counts as one of 1 token."""
    clean = text.strip()
    if not (clean.isascii() and clean.isdecimal() and len(clean) <= len(str(MOST_TOKENS))) or int(clean) > MOST_TOKENS:
        raise SimulationError(f"{where}: {name} is {shortened(text)!r}, not a whole number from 0 to {MOST_TOKENS:,}")
    return max(1, int(clean))
