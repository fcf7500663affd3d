"""Writes protobuf text format, as Triton reads ``config.pbtxt``.

A writer of 30 lines instead of the protobuf library: the operator sends nothing in that format, and the tests parse
what is written with the real message type of ``tritonclient``.
Source: "Text Format Language Specification", protobuf.dev.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

INDENT = "  "


class Word(str):
    """A bare word: the name of an enumeration's value, such as ``KIND_MODEL``."""

    __slots__ = ()


Scalar = str | int | bool
Field = Scalar | Mapping[str, "Field"] | Sequence["Field"]
"""What a field holds: a scalar, a message, or several of one kind for a repeated field."""


def protobuf_text(message: Mapping[str, Field], indent: str = "") -> str:
    """Return a message as text, one field a line, in the order of the mapping.

    Args:
        message: values by field name; a list writes a repeated field.
        indent: what each line begins with.

    >>> print(protobuf_text({"name": "a", "dims": [1, -1], "group": [{"kind": Word("KIND_CPU"), "on": True}]}), end="")
    name: "a"
    dims: [ 1, -1 ]
    group {
      kind: KIND_CPU
      on: true
    }
    """
    return "".join(_field(name, value, indent) for name, value in message.items())


def _field(name: str, value: Field, indent: str) -> str:
    match value:
        case Mapping():
            return f"{indent}{name} {{\n{protobuf_text(value, indent + INDENT)}{indent}}}\n"
        case str() | int():
            return f"{indent}{name}: {_scalar(value)}\n"
    if any(isinstance(each, Mapping) for each in value):
        return "".join(_field(name, each, indent) for each in value)
    return f"{indent}{name}: [ {', '.join(_scalar(each) for each in value)} ]\n"


def _scalar(value: object) -> str:
    match value:
        case Word():
            return str(value)
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)
