"""From a plain object or a file's text to DeepSeekDeployments, or to one sentence that says what to write instead."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from deepseek_operator.api.sentences import field_path, invalid_spec
from deepseek_operator.api.v1alpha1 import API_VERSION, KIND, DeepSeekDeployment
from deepseek_operator.api.yaml_text import MAX_DEPTH, yaml_documents
from deepseek_operator.errors import InvalidSpecError, shortened

MAX_OBJECT_BYTES = 2**20
"""Largest object that is read, as JSON. Source: etcd's default ``--max-request-bytes`` is 1.5 MiB."""

MAX_INT64 = 2**63 - 1


def parse(obj: Mapping[str, Any]) -> DeepSeekDeployment:
    """Return a DeepSeekDeployment from a plain object, as YAML, JSON or the API server give it.

    Status and the metadata that the operator does not use are not looked at, so an object that a newer or older
    operator has written is read all the same. Unknown fields of the spec are refused: the API server drops them with
    no more than a warning, and a limit that is silently gone may cost GPUs. For the same reason empty fields (``sla:``)
    are refused, which the API server leaves out without a word.

    Raises:
        InvalidSpecError: the first thing that is wrong, with the field's path, what to write and how many more errors
            there are.

    >>> parse({"metadata": {"name": "r1"}, "spec": {"model": {"nam": "deepseek-ai/DeepSeek-R1"}}})
    Traceback (most recent call last):
    ...
    deepseek_operator.errors.InvalidSpecError: spec.model.nam: is no field; did you mean name? (and 2 more errors)
    """
    if not isinstance(obj, Mapping):
        raise InvalidSpecError("", f"a DeepSeekDeployment is a block of fields, not {type(obj).__name__}")
    wanted = {key: obj[key] for key in obj if key != "status"}
    _refuse_what_json_cannot_say(wanted, ())
    text = json.dumps(wanted)
    if len(text) > MAX_OBJECT_BYTES:
        raise InvalidSpecError("", f"the object has {len(text):,} bytes; at most {MAX_OBJECT_BYTES:,} are read")
    try:
        return DeepSeekDeployment.model_validate_json(text)
    except ValidationError as error:
        raise invalid_spec(error, DeepSeekDeployment) from None


def parse_documents(text: str) -> tuple[DeepSeekDeployment, ...]:
    """Return every DeepSeekDeployment of a file, in its order; objects of other kinds are passed over.

    Args:
        text: YAML or JSON, one or many documents, ``List`` objects included; at most 1 MiB.

    Raises:
        InvalidSpecError: the text cannot be read, holds no DeepSeekDeployment, or one of them is wrong; the text
            names the document by number and first line.

    >>> parse_documents("kind: Namespace")
    Traceback (most recent call last):
    ...
    deepseek_operator.errors.InvalidSpecError: there is no DeepSeekDeployment in the file, only Namespace
    """
    deployments: list[DeepSeekDeployment] = []
    other_kinds: set[str] = set()
    for place, obj in _objects(text):
        if _is_deployment(obj, place):
            try:
                deployments.append(parse(obj))
            except InvalidSpecError as error:
                raise InvalidSpecError("", f"{place}: {error}") from None
        else:
            other_kinds.add(shortened(str(obj.get("kind", "objects without a kind"))))
    if not deployments:
        found = f", only {', '.join(sorted(other_kinds)[:5])}" if other_kinds else ""
        raise InvalidSpecError("", f"there is no DeepSeekDeployment in the file{found}")
    return tuple(deployments)


def _is_deployment(obj: Mapping[str, Any], place: str) -> bool:
    """Return whether an object is a DeepSeekDeployment; a near miss is an error and not another kind.

    Raises:
        InvalidSpecError: kind or apiVersion are misspelt, or the version is not served.
    """
    kind, version = obj.get("kind"), obj.get("apiVersion")
    group = str(version).partition("/")[0]
    if kind == KIND and version == API_VERSION:
        return True
    if kind == KIND or group == API_VERSION.partition("/")[0] or str(kind).lower() == KIND.lower():
        raise InvalidSpecError("", f"{place}: apiVersion must be {API_VERSION} and kind {KIND}, not {_said(obj)}")
    return False


def _said(obj: Mapping[str, Any]) -> str:
    return f"{shortened(str(obj.get('apiVersion')))!r} and {shortened(str(obj.get('kind')))!r}"


def _objects(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each object with the words that place it in the file; the items of a List one by one."""
    for number, (line, document) in enumerate(yaml_documents(text), start=1):
        place = f"document {number} (line {line})"
        if document is None:
            continue
        if not isinstance(document, Mapping):
            raise InvalidSpecError("", f"{place}: an object is a block of fields, not {type(document).__name__}")
        items = document.get("items")
        if str(document.get("kind", "")).endswith("List") and isinstance(items, list):
            for index, item in enumerate(items):
                if isinstance(item, Mapping):
                    yield f"{place}, item {index}", item
        else:
            yield place, document


def _refuse_what_json_cannot_say(value: object, location: tuple[int | str, ...]) -> None:
    """Raise for what YAML can hold and an API object cannot, wherever it lies below ``value``."""
    if len(location) > MAX_DEPTH:
        raise InvalidSpecError(field_path(location[:4]), f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidSpecError(
                    field_path(location), f"the key {shortened(str(key))} must be text; put it in quotes"
                )
            _refuse_odd_scalar(key, location)
            _refuse_what_json_cannot_say(item, (*location, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_what_json_cannot_say(item, (*location, index))
    else:
        _refuse_odd_scalar(value, location)


def _refuse_odd_scalar(value: object, location: tuple[int | str, ...]) -> None:
    match value:
        case bool():
            return
        case str():
            if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
                raise InvalidSpecError(field_path(location), "holds half a character (a lone UTF-16 surrogate)")
        case None:
            if location[:1] == ("spec",) and location[:3] != ("spec", "model", "config"):
                raise InvalidSpecError(field_path(location), "is empty; write a value or leave the field out")
        case int():
            if abs(value) > MAX_INT64:
                raise InvalidSpecError(field_path(location), f"must be a whole number of at most {MAX_INT64}")
        case float():
            if not math.isfinite(value):
                raise InvalidSpecError(field_path(location), f"must be a finite number, not {value}")
        case _:
            kind = type(value).__name__
            raise InvalidSpecError(field_path(location), f"is read as a {kind}; put text in quotes")
