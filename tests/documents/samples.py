"""The samples in the documents: fenced blocks, and the commands in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md")))
SHELL = ("console", "sh", "bash")
PLUGIN = (["kubectl", "deepseek"], ["kubectl-deepseek"])
OPERATOR = ["deepseek-operator"]

_BLOCK = re.compile(r"^( *)```([a-z]+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_END = re.compile(r"^(\||\|\||&&|&|;|>|>>|<|2>|[<>]\(.*)$")
"""A word after which no arguments of the command follow."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a block, as words."""

    place: str
    words: tuple[str, ...]

    @property
    def ours(self) -> list[str] | None:
        """Arguments of `kubectl deepseek`, None for another program."""
        return next((list(self.words[len(name) :]) for name in PLUGIN if list(self.words[: len(name)]) == name), None)


def blocks(*languages: str) -> list[Block]:
    """Return every block in one of some languages."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for block in _BLOCK.finditer(text):
            if block.group(2) in languages:
                line = text.count("\n", 0, block.start()) + 1
                body = "".join(each.removeprefix(block.group(1)) for each in block.group(3).splitlines(keepends=True))
                found.append(Block(str(document.relative_to(ROOT)), line, block.group(2), body))
    return found


def commands() -> list[Command]:
    """Return every command of the shell blocks; in a ``console`` block those after a prompt, else each line."""
    return [
        Command(block.place, words) for block in blocks(*SHELL) for line in _lines(block) if (words := _words(line))
    ]


def _lines(block: Block) -> list[str]:
    joined = block.text.replace("\\\n", " ")
    without_documents = re.sub(r"<<'?EOF'?.*?^EOF$", "", joined, flags=re.MULTILINE | re.DOTALL)
    lines = without_documents.splitlines()
    return [line[2:] for line in lines if line.startswith("$ ")] if block.language == "console" else lines


def _words(line: str) -> tuple[str, ...]:
    """Return the words of the first command of a line that can be split, without comments and redirections."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return ()
    end = next((index for index, word in enumerate(words) if _END.match(word)), len(words))
    return tuple(words[:end])
