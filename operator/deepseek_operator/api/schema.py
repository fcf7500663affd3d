"""From pydantic's JSON schema to the structural schema that the Kubernetes API server accepts.

The API server (1.36) refuses ``$ref``, nullable ``anyOf``, ``additionalProperties: false`` beside properties,
numeric ``exclusiveMinimum``, ``prefixItems``, ``const`` and ``uniqueItems``. What has the same meaning in another
form is rewritten; what has not raises, so that a type is changed and not silently weakened.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_MAX_INT32 = 2**31 - 1
_NULL = {"type": "null"}
_NOISE = ("title", "$defs", "additionalProperties")


def structural_schema(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a type: no references, no nulls, every integer with its width.

    Raises:
        TypeError: the type uses something that a structural schema cannot say; the text names the place.
    """
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}), model.__name__)


def _structural(schema: Schema, definitions: dict[str, Schema], where: str) -> Schema:
    schema = _without_null(_with_reference(schema, definitions), definitions, where)
    structural = {key: value for key, value in schema.items() if key not in _NOISE}
    _drop_empty_default(structural)
    _rewrite_keywords(structural, where)
    _mark_numbers(structural, where)
    if "properties" in schema:
        structural["properties"] = {
            name: _structural(part, definitions, f"{where}.{name}") for name, part in schema["properties"].items()
        }
    elif isinstance(schema.get("additionalProperties"), dict) and not _keeps_unknown_fields(schema):
        values = _structural(schema["additionalProperties"], definitions, f"{where}.*")
        structural["additionalProperties"] = values
    structural.pop("propertyNames", None)
    if "items" in structural:
        structural["items"] = _structural(structural["items"], definitions, f"{where}[]")
    if "patternProperties" in structural:
        raise TypeError(f"{where}: a structural schema cannot check the keys of a map; use a CEL rule")
    return {key: structural[key] for key in sorted(structural, key=_reading_order)}


def _reading_order(key: str) -> int:
    """What a field is and means comes first, what it contains last; everything else stays in between."""
    return {"type": 0, "description": 1, "properties": 3, "items": 3, "additionalProperties": 3}.get(key, 2)


def _with_reference(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return the schema with its reference replaced by the definition; keys beside the reference win."""
    if "$ref" not in schema:
        return schema
    named = definitions[schema["$ref"].removeprefix("#/$defs/")]
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return _with_reference({**named, **beside}, definitions)


def _without_null(schema: Schema, definitions: dict[str, Schema], where: str) -> Schema:
    """Return ``X | None`` as X: leaving the field out is the null of Kubernetes."""
    if "anyOf" not in schema:
        return schema
    kinds = [kind for kind in schema["anyOf"] if kind != _NULL]
    if len(kinds) != 1:
        raise TypeError(f"{where}: a structural schema has one type per field, not {len(kinds)}")
    beside = {key: value for key, value in schema.items() if key != "anyOf"}
    return _with_reference({**kinds[0], **beside}, definitions)


def _keeps_unknown_fields(schema: Schema) -> bool:
    return bool(schema.get("x-kubernetes-preserve-unknown-fields", False))


def _drop_empty_default(schema: Schema) -> None:
    """Drop defaults that say "nothing", so that the API server does not write them into every object."""
    if "default" in schema and schema["default"] in (None, "", [], {}):
        del schema["default"]


def _rewrite_keywords(schema: Schema, where: str) -> None:
    """Replace the keywords that the API server refuses by ones of the same meaning, in place."""
    for refused in ("oneOf", "allOf", "not"):
        if refused in schema:
            raise TypeError(f"{where}: {refused} cannot carry types in a structural schema")
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if schema.pop("uniqueItems", False):
        schema["x-kubernetes-list-type"] = "set"
    if "prefixItems" in schema:
        kinds = schema.pop("prefixItems")
        if any(kind != kinds[0] for kind in kinds):
            raise TypeError(f"{where}: the items of a list must all have one type")
        schema["items"] = kinds[0]
    for exclusive, inclusive, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        if exclusive in schema:
            schema[inclusive] = schema.pop(exclusive) + step


def _mark_numbers(schema: Schema, where: str) -> None:
    """Give every integer its width, in place."""
    if schema.get("type") == "number":
        raise TypeError(f"{where}: no floats; use an integer with the unit in its name or a decimal string")
    if schema.get("type") == "integer":
        schema["format"] = "int32" if schema.get("maximum", _MAX_INT32 + 1) <= _MAX_INT32 else "int64"
