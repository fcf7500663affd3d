"""JSON from users, read strictly: every number finite and of sane length, no key twice, bounded in size."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import BinaryIO

from deepseek_operator.errors import InvalidSpecError, shortened

MAX_DIGITS = 18
"""Longest whole number; every byte count, token count or model size has fewer digits."""

MAX_FRACTION_CHARACTERS = 64
"""Longest fraction; seventeen digits tell any two apart."""


class _Refused(ValueError):
    """Valid for Python's JSON reader, but not for us; the text says what and what instead."""


def parse_object(data: bytes | str) -> dict[str, object]:
    """Return the one JSON object of a text.

    Raises:
        InvalidSpecError: what is wrong and what to write instead, in one sentence.

    >>> parse_object('{"maxModelLen": 4096}')
    {'maxModelLen': 4096}
    >>> parse_object('{"gpuMemoryUtilization": NaN}')
    Traceback (most recent call last):
    deepseek_operator.errors.InvalidSpecError: NaN is no JSON number; write a finite one
    """
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        raise InvalidSpecError("", "no UTF-8 text; save it as JSON in UTF-8") from error
    if not text.strip():
        raise InvalidSpecError("", "empty; write a JSON object such as {}")
    try:
        content = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_finite,
            object_pairs_hook=_single_keys,
        )
    except _Refused as error:
        raise InvalidSpecError("", str(error)) from error
    except RecursionError as error:
        raise InvalidSpecError("", "nested too deeply; a config or question has a handful of levels") from error
    except ValueError as error:
        raise InvalidSpecError("", f"no JSON object: {shortened(text.strip())!r}") from error
    if not isinstance(content, dict):
        raise InvalidSpecError("", f"no JSON object: {shortened(text.strip())!r}")
    return content


def open_stream(name: str, instead: str) -> BinaryIO:
    """Open a file or pipe for reading.

    Args:
        name: its path.
        instead: what to name instead of a folder or device, as a noun phrase.

    Raises:
        InvalidSpecError: it is a folder or a device, or no path at all.
        OSError: it cannot be opened.
    """
    try:
        kind = os.stat(name).st_mode
    except ValueError as error:
        raise InvalidSpecError("", f"{shortened(name)!r} is no path; give {instead}") from error
    if stat.S_ISDIR(kind):
        raise InvalidSpecError("", f"{shortened(name)} is a folder; give {instead}")
    if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):
        raise InvalidSpecError("", f"{shortened(name)} is a device or socket; give {instead}")
    return Path(name).open("rb")


def read_object(name: str, largest_bytes: int, instead: str) -> dict[str, object]:
    """Return the JSON object of a file, of which at most ``largest_bytes`` are ever read; errors as above."""
    with open_stream(name, instead) as file:
        data = file.read(largest_bytes + 1)
    if len(data) > largest_bytes:
        raise InvalidSpecError("", f"{shortened(name)} is larger than {largest_bytes:,} bytes; give {instead}")
    try:
        return parse_object(data)
    except InvalidSpecError as error:
        raise InvalidSpecError("", f"{shortened(name)}: {error}; give {instead}") from error


def _refuse_constant(name: str) -> float:
    raise _Refused(f"{name} is no JSON number; write a finite one")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS + 1:
        raise _Refused(f"{text[:8]}… has {len(text):,} digits; write a number of at most {MAX_DIGITS}")
    return int(text)


def _finite(text: str) -> float:
    number = float(text) if len(text) <= MAX_FRACTION_CHARACTERS else math.inf
    if not math.isfinite(number):
        raise _Refused(
            f"{shortened(text)} is too large or too long; write a finite number in {MAX_FRACTION_CHARACTERS} characters"
        )
    return number


def _single_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        for twice, _ in pairs:
            if twice in seen:
                break
            seen.add(twice)
        raise _Refused(f"key {shortened(twice)!r} stands twice; keep one")
    return content
