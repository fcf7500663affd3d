"""``estimate --batch``: JSON lines in, JSON lines out, in order, however long the input is."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from typing import Any, BinaryIO

from deepseek_operator.cli.estimate_answer import answer
from deepseek_operator.cli.estimate_question import parse_question
from deepseek_operator.cli.strict_json import open_stream
from deepseek_operator.errors import DeepSeekOperatorError, InvalidSpecError
from deepseek_operator.memory.remembered import forget, times_remembered
from deepseek_operator.units import MIB

MAX_LINE_BYTES = MIB
"""A line has some 500 characters, with a config some 3,000; a longer one is a mistake and is passed over."""

MAX_FILE_BYTES = 256 * MIB
"""Some half a million questions; standard input has no such limit."""

MAX_SKIPPED_BYTES = 64 * MIB
"""How much of a too long line is passed over before the rest of the input is given up."""

MOST_LAYERS = 100_000
"""Layers of models and stages that are remembered before all are forgotten; each takes some 350 bytes."""


def answer_lines(name: str) -> None:
    """Answer each line of a file, or of standard input for ``-``, on one line of standard output.

    Empty lines are skipped. Each answer is flushed, so that a program on the other end can ask line by line; at most
    one line is held in memory.

    Raises:
        InvalidSpecError: the file is a folder or device, or a line has no end.
        OSError: it cannot be read.
    """
    with nullcontext(sys.stdin.buffer) if name == "-" else _open(name) as lines:
        layers = 0
        while line := lines.readline(MAX_LINE_BYTES + 1):
            if not line.strip() and len(line) <= MAX_LINE_BYTES:
                continue
            before = times_remembered()
            content, size = _answered(line, lines)
            sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")
            sys.stdout.flush()
            layers += size if times_remembered() > before else 0
            if layers > MOST_LAYERS:
                forget()
                layers = 0


def _open(name: str) -> BinaryIO:
    instead = "a file of JSON lines, or - to read them from standard input"
    try:
        file = open_stream(name, instead)
    except InvalidSpecError as error:
        raise InvalidSpecError("batch", str(error)) from error
    if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
        file.close()
        raise InvalidSpecError("batch", f"{name} is larger than {MAX_FILE_BYTES:,} bytes; split it, or give it as -")
    return file


def _answered(line: bytes, lines: BinaryIO) -> tuple[dict[str, Any], int]:
    """Return the answer of a line, and the layers and stages of its model."""
    if len(line) > MAX_LINE_BYTES:
        _pass_over(line, lines)
        return {"error": f"the line is longer than {MAX_LINE_BYTES:,} bytes; a question has some hundred"}, 0
    try:
        found = answer(parse_question(line))
        content = found.as_json()
    except DeepSeekOperatorError as error:
        return {"error": str(error)}, 0
    except OSError as error:
        return {"error": f"{error.strerror}: {error.filename}"}, 0
    return content, found.shape.num_layers + len(content["perRank"])


def _pass_over(line: bytes, lines: BinaryIO) -> None:
    """Read on to the end of a line without keeping it."""
    skipped = 0
    while line and not line.endswith(b"\n"):
        skipped += len(line)
        if skipped > MAX_SKIPPED_BYTES:
            raise InvalidSpecError("batch", f"a line is longer than {MAX_SKIPPED_BYTES:,} bytes; give JSON lines")
        line = lines.readline(MAX_LINE_BYTES)
