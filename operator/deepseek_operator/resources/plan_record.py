"""A plan as text and back: what the ConfigMap keeps, because a status does not survive a backup."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Union, get_args, get_origin, get_type_hints

from deepseek_operator.planner.result import Plan


def encode_plan(plan: Plan) -> str:
    """Return the plan as JSON: every field under its own name, money as a decimal string, keys sorted."""
    return json.dumps(dataclasses.asdict(plan), sort_keys=True, indent=1, default=str)


def decode_plan(text: str) -> Plan | None:
    """Return the plan that `encode_plan` wrote, or None when the text is no plan of this version.

    Fields that are not known are passed over; a missing field or a value of another type makes it None, and the caller
    plans anew.
    """
    try:
        value = _read(Plan, json.loads(text))
    except (ValueError, TypeError, KeyError, InvalidOperation):
        return None
    return value if isinstance(value, Plan) else None


def _read(kind: Any, value: Any) -> Any:  # noqa: ANN401 - reads any of the field types of a plan
    """Read a JSON value as a field type: dataclass, enumeration, tuple, optional or scalar."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _read(next(each for each in inner if each is not types.NoneType), value)
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError("a list is needed")
        return tuple(_read(inner[0], item) for item in value)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _read_fields(kind, value)
    if issubclass(kind, (Decimal, StrEnum)):
        return kind(value)
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} is needed")
    return value


def _read_fields(kind: type, value: Mapping[str, object]) -> object:
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    return kind(**{field.name: _read(hints[field.name], value[field.name]) for field in fields if _given(field, value)})


def _given(field: dataclasses.Field[Any], value: Mapping[str, object]) -> bool:
    """Whether to read the field; a missing one without a default is read too, and fails there by name."""
    has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    return field.name in value or not has_default
