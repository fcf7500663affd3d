"""How deep JSON text nests, told from its bytes while they are read: parsers of streams need memory for each level."""

from __future__ import annotations

import re

MOST_LEVELS = 1000
"""Objects of Kubernetes have some 30; its own decoder refuses more than 10,000."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_OPENING = b"[{"
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


class Nesting:
    """Follows the depth of a text that comes in pieces, and how long the string is in which the last piece ended.

    >>> nesting = Nesting()
    >>> [nesting.within(piece) for piece in (b'{"a": "[[[[', b'[[", "b": [', b"1]}")]
    [True, True, True]
    >>> nesting.within(b"[" * 1001)
    False
    """

    def __init__(self) -> None:
        self.text_bytes = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def within(self, piece: bytes) -> bool:
        """Take in the next piece and return whether no level so far is deeper than ``MOST_LEVELS``."""
        brackets = self._outside_strings(piece).translate(None, _OTHERS)
        opened = brackets.count(b"[") + brackets.count(b"{")
        if self._depth + opened <= MOST_LEVELS:
            self._depth += 2 * opened - len(brackets)
            return True
        for each in brackets:
            self._depth += 1 if each in _OPENING else -1
            if self._depth > MOST_LEVELS:
                return False
        return True

    def _outside_strings(self, piece: bytes) -> bytes:
        """Return the piece without its strings; remember whether it ends inside one."""
        if self._in_string:
            start = 1 if self._escaped else 0
            end = _REST_OF_STRING.match(piece, start)
            if end is None:
                self._escaped = _ends_escaped(piece[start:])
                self.text_bytes += len(piece)
                return b""
            piece = piece[end.end() :]
        outside = _STRING.sub(b"", piece)
        before, quote, inside = outside.partition(b'"')
        self._in_string, self.text_bytes = bool(quote), len(inside)
        self._escaped = bool(quote) and _ends_escaped(inside)
        return before


def _ends_escaped(text: bytes) -> bool:
    """Return whether the next byte is escaped: an odd number of backslashes at the end."""
    return (len(text) - len(text.rstrip(b"\\"))) % 2 == 1
