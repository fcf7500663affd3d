"""Write docs/reference.md: every field of both kinds, from the schemas that the API server gets.

python hack/render_reference.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deepseek_operator.api.crd import capacity_plan_definition, custom_resource_definition

PAGE = Path(__file__).parent.parent / "docs" / "reference.md"

Schema = Mapping[str, Any]

HEAD = """# Reference: every field

Written by `make docs` (`hack/render_reference.py`) from the schemas in [crds/](../crds); a test holds the page
against them. `kubectl explain dsd.spec` says the same in a cluster. A field without a default is left open: the
planner decides, or nothing is set; a default here is the API server's, which it writes into the stored object.
Limits are checked by the API server before anything is stored.

`[]` is an item of a list, `*` any key of a map. Required fields are required where the object around them is
given.
"""

AS_PLAN = ("status", "proposedPlan")
"""Has the fields of ``status.plan``, which are listed once."""

LIMITS = {
    "enum": lambda value: "one of " + ", ".join(f"`{each}`" if each != "" else "empty" for each in value),
    "minimum": lambda value: f"at least {value:,}",
    "maximum": lambda value: f"at most {value:,}",
    "minLength": lambda value: f"{value:,} character{'' if value == 1 else 's'} or more",
    "maxLength": lambda value: f"at most {value:,} characters",
    "maxItems": lambda value: f"at most {value:,} items",
    "minProperties": lambda value: f"{value:,} key{'' if value == 1 else 's'} or more",
    "maxProperties": lambda value: f"at most {value:,} keys",
    "pattern": lambda value: f"matches `{value}`",
    "x-kubernetes-list-map-keys": lambda value: f"one item per {' and '.join(value)}",
    "x-kubernetes-preserve-unknown-fields": lambda _: "any fields",
}


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_kind(custom_resource_definition()), "", *_kind(capacity_plan_definition())]) + "\n"


def _kind(definition: Mapping[str, Any]) -> Iterator[str]:
    names, (version,) = definition["spec"]["names"], definition["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    scope = definition["spec"]["scope"].lower()
    yield f"## {names['kind']}\n"
    yield f"`{definition['spec']['group']}/{version['name']}`, {scope}; `kubectl get {names['plural']}`"
    yield f"(short: {', '.join(f'`{each}`' for each in names.get('shortNames', [])) or 'none'})."
    for part in ("spec", "status"):
        yield f"\n### {names['kind']} {part}\n"
        yield f"{schema['properties'][part].get('description', '')}\n"
        yield "| field | type | default | limits | what |"
        yield "|---|---|---|---|---|"
        yield from _fields(schema["properties"][part], (part,), (part,))
        yield from _rules(schema["properties"][part], (part,))


def _fields(schema: Schema, path: tuple[str, ...], place: tuple[str, ...]) -> Iterator[str]:
    """Yield a row for each field below a path.

    Args:
        schema: of the object at the path.
        path: as it is written, with ``[]`` and ``*``.
        place: names of the properties alone.
    """
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        here, inside = (*path, name), (*place, name)
        yield _row(field, ".".join(here), required=name in required)
        if inside != AS_PLAN:
            yield from _below(field, here, inside)


def _below(field: Schema, path: tuple[str, ...], place: tuple[str, ...]) -> Iterator[str]:
    yield from _fields(field, path, place)
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(field.get(key), Mapping):
            yield from _fields(field[key], (*path[:-1], path[-1] + mark), place)


def _row(field: Schema, path: str, *, required: bool) -> str:
    default = f"`{_plain(field['default'])}`" if "default" in field else "required" if required else ""
    what = field.get("description", "")
    if path == ".".join(AS_PLAN):
        what = f"{what} The fields are those of `status.plan`."
    return f"| `{path}` | {_type(field)} | {default} | {_limits(field)} | {_cell(what)} |"


def _plain(value: object) -> str:
    """Return a default as YAML writes it."""
    return value if isinstance(value, str) and value else json.dumps(value)


def _type(field: Schema) -> str:
    kind = str(field.get("format") or field["type"])
    if field["type"] == "array":
        return f"list of {_type(field['items'])}s"
    if isinstance(field.get("additionalProperties"), Mapping):
        return f"map to {_type(field['additionalProperties'])}s"
    return kind


def _limits(field: Schema) -> str:
    own = [tell(field[key]) for key, tell in LIMITS.items() if key in field]
    each = field.get("items") or field.get("additionalProperties")
    if isinstance(each, Mapping) and "properties" not in each:
        own += [f"each {tell(each[key])}" for key, tell in LIMITS.items() if key in each]
    return _cell("; ".join(own))


def _rules(schema: Schema, path: tuple[str, ...]) -> Iterator[str]:
    """Yield what the API server checks beyond single fields."""
    rules = list(_all_rules(schema, path))
    if rules:
        yield "\nRules between fields:\n"
        yield from (f"* `{where}`: {message}" for where, message in rules)


def _all_rules(schema: Schema, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield ".".join(path), str(rule.get("message") or rule["rule"])
    for name, field in schema.get("properties", {}).items():
        yield from _all_rules(field, (*path, name))
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(schema.get(key), Mapping):
            yield from _all_rules(schema[key], (*path[:-1], path[-1] + mark))


def _cell(text: str) -> str:
    """Return a text as a cell of a table takes it."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
