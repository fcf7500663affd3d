"""One sentence out of pydantic's errors: the field's path, what is wrong there and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from deepseek_operator.api.base import RULE_ERROR
from deepseek_operator.catalog.gpu_labels import NVIDIA_PRODUCT, match_label
from deepseek_operator.catalog.gpus import gpus
from deepseek_operator.errors import InvalidSpecError, near_matches, shortened

MAX_PATH_CHARACTERS = 200
"""Longest path that a message names; paths of the spec itself are below 60."""

_TYPE_WORDS = {
    "string_type": "text; put the value in quotes",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a block of fields",
    "model_attributes_type": "a block of fields",
    "dict_type": "a block of fields",
}
"""What should have been written, by the type of pydantic's error."""


def invalid_spec(error: ValidationError, model: type[BaseModel]) -> InvalidSpecError:
    """Return the first error as one sentence, and how many more there are.

    Args:
        error: what pydantic found.
        model: the type that was read, for the names of its fields.
    """
    details = sorted(error.errors(include_url=False), key=_weight)
    first = details[0]
    location = first["loc"]
    if first["type"] == RULE_ERROR and first["ctx"]["field"]:
        location = (*location, first["ctx"]["field"])
    message = _sentence(first, model)
    more = len(details) - 1
    if more:
        message += f" (and {more} more error{'' if more == 1 else 's'})"
    return InvalidSpecError(field_path(location), message)


def field_path(location: Sequence[int | str]) -> str:
    """Return a location as people write it.

    >>> field_path(("spec", "hardware", "gpus", 0))
    'spec.hardware.gpus[0]'
    """
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step != "[key]":
            name = shortened(step) if step.isprintable() else repr(shortened(step))
            path += f".{name}" if path else name
    return path if len(path) <= MAX_PATH_CHARACTERS else path[: MAX_PATH_CHARACTERS - 1] + "…"


CREDENTIALS = re.compile(r"://[^/@\s]*@")
"""User and password in a URL, which are never shown again."""


def _weight(detail: ErrorDetails) -> int:
    """Put typos first: the field that is missing is often the one that is misspelt."""
    return 0 if detail["type"] == "extra_forbidden" else 1


def _sentence(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == RULE_ERROR:
        return str(context["message"])
    if kind == "missing":
        return f"is required; {_description(model, detail['loc']) or 'add it'}"
    if kind == "extra_forbidden":
        return _unknown_field(model, detail["loc"])
    if kind in _TYPE_WORDS:
        quoted = " without quotes" if kind == "int_type" and isinstance(detail["input"], str) else ""
        return f"must be {_TYPE_WORDS[kind]}{quoted}, not {_shown(detail['input'])}"
    if kind == "string_pattern_mismatch" and detail["loc"][-2:-1] == ("gpus",):
        return f"{_shown(detail['input'])} is no id of the catalogue; {_meant_gpu(str(detail['input']))}"
    sentence = f"{_limit(kind, context)}, not {_shown(detail['input'])}"
    hint = _description(model, detail["loc"]) if kind == "string_pattern_mismatch" else ""
    return f"{sentence}; {hint}" if hint else sentence


def _limit(kind: str, context: Mapping[str, Any]) -> str:
    match kind:
        case "greater_than_equal":
            return f"must be {context['ge']} or more"
        case "less_than_equal":
            return f"must be {context['le']} or less"
        case "enum":
            return f"must be one of {str(context['expected']).replace(chr(39), '')}"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "string_too_short":
            return "must not be empty"
        case "string_pattern_mismatch":
            return f"must match {context['pattern']}"
        case "too_long":
            return f"must have at most {context['max_length']} entries"
        case "too_short":
            return f"must have at least {context['min_length']} entries"
        case "int_from_float" | "int_parsing" | "int_parsing_size":
            return "must be a whole number"
        case _:
            return f"cannot be read ({kind.replace('_', ' ')})"


def _shown(value: object) -> str:
    match value:
        case str():
            return repr(shortened(CREDENTIALS.sub("://...@", value)))
        case bool():
            return str(value).lower()
        case None:
            return "empty"
        case dict():
            return "a block of fields"
        case list() | tuple():
            return f"a list of {len(value)}"
        case _:
            return shortened(str(value))


def _meant_gpu(name: str) -> str:
    """Return what to write for a GPU product that is named as its label or its maker does.

    >>> _meant_gpu("NVIDIA-A100-SXM4-80GB")
    'did you mean a100-sxm4-80gb?'
    """
    labelled, key = match_label({NVIDIA_PRODUCT: name}).gpu, "-".join(name.lower().split())
    containing = [each.id for each in gpus() if key in each.id]
    near = [labelled.id] if labelled else containing or near_matches(name, (each.id for each in gpus()))
    return f"did you mean {' or '.join(near)}?" if near else "see `kubectl deepseek catalog gpus` for the ids"


def _unknown_field(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    parent = _model_at(model, location[:-1])
    known = _fields(parent) if parent is not None else {}
    near = near_matches(str(location[-1]), known)
    if near:
        return f"is no field; did you mean {' or '.join(near)}?"
    return f"is no field; there are {', '.join(known)}" if known else "is no field; remove it"


def _description(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Return the first sentence of a field's description as a clause; empty when there is none."""
    names = [step for step in location if isinstance(step, str)]
    parent = _model_at(model, tuple(names[:-1]))
    text = _fields(parent).get(names[-1], "") if parent is not None and names else ""
    first = text.split(". ")[0].rstrip(".")
    return first if first[1:2].isupper() else first[:1].lower() + first[1:]


def _fields(model: type[BaseModel]) -> dict[str, str]:
    """Return the names of a type's fields as people write them, each with its description."""
    return {field.alias or name: field.description or "" for name, field in model.model_fields.items()}


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the type that a location below ``model`` holds; None when that is no type of ours."""
    current: type[BaseModel] | None = model
    for step in location:
        if isinstance(step, int) or current is None:
            continue
        names = {field.alias or name: field for name, field in current.model_fields.items()}
        current = _model_inside(names[step].annotation) if step in names else None
    return current


def _model_inside(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any type annotation
    """Return the first pydantic type inside an annotation such as ``tuple[EnvVar, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_inside(part) for part in getattr(annotation, "__args__", ()))
    return next((found for found in inner if found is not None), None)
