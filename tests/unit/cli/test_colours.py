"""Colours are for terminals, and for nobody who asked for none."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-c", "from deepseek_operator.cli.main import kubectl_plugin; kubectl_plugin()"]
ESTIMATE = ["estimate", "--model", "deepseek-ai/DeepSeek-R1", "--gpu", "h200-sxm", "--tensor-parallel-size", "8"]
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
"""ECMA-48 "select graphic rendition" with a foreground or background; bold and dim are none."""


def environment(**changes: str) -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT / "operator"), "PATH": os.environ["PATH"], "TERM": "xterm-256color", **changes}


def piped(**changes: str) -> str:
    return subprocess.run(
        [*PROGRAM, *ESTIMATE], capture_output=True, text=True, check=True, env=environment(**changes)
    ).stdout


def on_a_terminal(*arguments: str, **changes: str) -> str:
    """Return what a person would see."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([*PROGRAM, *arguments], stdout=theirs, stderr=theirs, env=environment(**changes)) as program:
        os.close(theirs)
        seen = b""
        while part := _read(ours):
            seen += part
    os.close(ours)
    assert program.returncode == 0, seen
    return seen.decode()


def _read(end: int) -> bytes:
    try:
        return os.read(end, 65536)
    except OSError:  # Linux: the other end was closed
        return b""


def test_nothing_but_text_goes_into_a_pipe() -> None:
    assert "\x1b" not in piped()


def test_a_terminal_gets_colours() -> None:
    assert COLOUR.search(on_a_terminal(*ESTIMATE))


def test_no_color_is_obeyed() -> None:
    """Source: https://no-color.org."""
    assert COLOUR.search(on_a_terminal(*ESTIMATE, NO_COLOR="1")) is None
    assert COLOUR.search(on_a_terminal("estimate", "--help", NO_COLOR="1")) is None


def test_a_dumb_terminal_gets_plain_text() -> None:
    assert "\x1b" not in on_a_terminal(*ESTIMATE, TERM="dumb")


def test_without_colours_each_part_of_a_bar_has_a_letter() -> None:
    bars = [on_a_terminal(*ESTIMATE, **no_colours) for no_colours in ({"NO_COLOR": "1"}, {"TERM": "dumb"})]
    assert all("####" in text and "====" in text and "█" not in text for text in bars)
    assert "█" in on_a_terminal(*ESTIMATE)
