"""Run the commands in the documents and write what they print below them, so that no example is made up.

    python hack/render_examples.py [--check] [estimate.md ...]

Without names all of ``DOCUMENTS`` are rendered. Python blocks are run too, and what one prints stands in a
``text`` block right below it.
``--check`` changes nothing and fails when an output differs. Files that an example shows with ``cat`` exist for it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
import sys
import tempfile
from pathlib import Path

from deepseek_operator.cli.main import kubectl_plugin

DOCS = Path(__file__).parent.parent / "docs"
DOCUMENTS = ("capacity.md", "estimate.md", "plan.md", "catalog.md", "library.md")
PROGRAM = ["kubectl", "deepseek"]
_BLOCK = re.compile(r"```console\n(.*?)```\n", re.DOTALL)
_PYTHON = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n.*?```\n)?", re.DOTALL)


def rendered(text: str) -> str:
    """Return a document with the output of each command in its ``console`` blocks."""
    text = _BLOCK.sub(lambda block: f"```console\n{_session(block.group(1))}```\n", text)
    return _PYTHON.sub(lambda block: _run(block["code"]), text)


def _run(code: str) -> str:
    """Return a Python block with what it prints below it; each is run by itself, as in an empty notebook."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "block of a document", "exec"), {"__name__": "__main__"})  # noqa: S102 - our own documents
    shown = f"\n```text\n{out.getvalue()}```\n" if out.getvalue() else ""
    return f"```python\n{code}```\n{shown}"


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
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def main() -> int:
    """Render or check the documents; 1 when a checked one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, fail when an output differs")
    parser.add_argument("names", nargs="*", default=DOCUMENTS, metavar="NAME", help="files of docs/")
    given = parser.parse_args()
    return max(int(_render(DOCS / name, check=given.check)) for name in given.names)


def _render(document: Path, *, check: bool) -> bool:
    """Render one document, or return whether it differs."""
    old = document.read_text()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        new = rendered(old)
    if not check:
        document.write_text(new)
    elif new != old:
        print(f"{document.name} shows other output than the program; run python hack/render_examples.py")
    return check and new != old


if __name__ == "__main__":
    sys.exit(main())
