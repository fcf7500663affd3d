from __future__ import annotations

import io

from deepseek_operator.sandbox.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_a_plain_line_every_fifteen_seconds():
    now = 0.0
    out = io.StringIO()
    progress = Progress(out, clock=lambda: now)
    for second in range(40):
        now = float(second)
        progress.update(f"at {second} s")
    assert out.getvalue() == "sandbox: at 0 s\nsandbox: at 15 s\nsandbox: at 30 s\n"


def test_a_terminal_gets_one_moving_line():
    out = Terminal()
    progress = Progress(out)
    progress.update("one")
    progress.update("two")
    progress.say("done")
    assert out.getvalue() == "\r\x1b[Ksandbox: one\r\x1b[Ksandbox: two\r\x1b[Ksandbox: done\n"


def test_nothing_is_shown_without_a_stream():
    progress = Progress()
    progress.say("one")
    progress.update("two")
