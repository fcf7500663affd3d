"""Values with many fields that are asked for their hash again and again, as keys of what is remembered about them."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")


def hashed_once(cls: type[Value]) -> type[Value]:
    """Make a frozen dataclass compute its hash once per object; equality stays that of its fields.

    Hashing a model's shape takes longer than looking up what is known of it. The hash is kept beside the fields, so
    ``replace`` makes an object without it.

    >>> from dataclasses import dataclass
    >>> @hashed_once
    ... @dataclass(frozen=True)
    ... class Point:
    ...     x: int
    >>> hash(Point(1)) == hash(Point(1)), Point(1) == Point(1)
    (True, True)
    """
    of_fields = cls.__hash__

    def remembered(self: Value) -> int:
        known: int | None = self.__dict__.get("_hash")
        if known is None:
            known = self.__dict__["_hash"] = of_fields(self)
        return known

    cls.__hash__ = remembered  # type: ignore[method-assign, assignment]  # the same protocol, with a memory
    return cls
