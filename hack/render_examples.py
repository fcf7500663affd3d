"""Run the commands in docs/estimate.md and write what they print below them, so that no example is made up.

    python hack/render_examples.py [--check]

``--check`` changes nothing and fails when an output differs. Files that an example shows with ``cat`` exist for it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

from deepseek_operator.cli.main import kubectl_plugin

DOCUMENT = Path(__file__).parent.parent / "docs" / "estimate.md"
PROGRAM = ["kubectl", "deepseek"]
_BLOCK = re.compile(r"```console\n(.*?)```\n", re.DOTALL)


def rendered(text: str) -> str:
    """Return a document with the output of each command in its ``console`` blocks."""
    return _BLOCK.sub(lambda block: f"```console\n{_session(block.group(1))}```\n", text)


def _session(lines: str) -> str:
    """Return one block: files stay as they are, commands get their output."""
    result = []
    for part in re.split(r"^(?=\$ )", lines, flags=re.MULTILINE):
        command, _, shown = part.replace("\\\n", "\\\0").partition("\n")
        arguments = shlex.split(command.removeprefix("$ ").replace("\\\0", ""))
        if arguments[:1] == ["cat"]:
            Path(arguments[1]).write_text(shown)
        elif arguments[:2] == PROGRAM:
            shown = _output(arguments[2:])
        result.append(command.replace("\\\0", "\\\n") + "\n" + shown if command else "")
    return "".join(result)


def _output(arguments: list[str]) -> str:
    out = io.StringIO()
    sys.argv = ["kubectl-deepseek", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.suppress(SystemExit):
        kubectl_plugin()
    return out.getvalue()


def main() -> int:
    """Render or check the document."""
    check = sys.argv[1:] == ["--check"]
    old = DOCUMENT.read_text()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        new = rendered(old)
    if not check:
        DOCUMENT.write_text(new)
    if new != old and check:
        print(f"{DOCUMENT.name} shows other output than the program; run python hack/render_examples.py")
    return int(check and new != old)


if __name__ == "__main__":
    sys.exit(main())
