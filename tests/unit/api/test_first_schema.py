"""Today's definitions take everything that the first ones stored: each keyword is as wide as it was, or wider."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FIRST = ROOT / "tests" / "cluster" / "data" / "first_schema"
NAMES = sorted(path.name for path in FIRST.glob("*.yaml"))

Schema = dict[str, Any]

SAME = {
    *("type", "format", "pattern", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    "x-kubernetes-preserve-unknown-fields",
}
AT_LEAST = {"maximum", "maxLength", "maxItems", "maxProperties"}
AT_MOST = {"minimum", "minLength", "minItems", "minProperties"}
ELSEWHERE = {"description", "default", "properties", "items", "additionalProperties"}
"""Descriptions judge nothing. Defaults fill in what is missing, and what was stored has them already."""

NARROWER = {".status.scaling.decisions[].reason": "maxLength"}
"""In the status alone: the operators of that time wrote no decisions."""

RULES_IN_OTHER_WORDS = {
    "self.maxSurge > 0 || self.maxUnavailable > 0": (
        "!has(self.maxSurge) || !has(self.maxUnavailable) || self.maxSurge > 0 || self.maxUnavailable > 0"
    )
}
RULES_OF_NEW_FIELDS = {
    "!has(self.triton) || (has(self.type) && self.type == 'Triton')": "triton",
    "!has(self.store) || (has(self.backend) && self.backend == 'LMCache')": "store",
}
"""Rules that judge one field that the first schema did not have, so they hold for all that it stored."""


def definition(folder: Path, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((folder / name).read_text())["spec"]
    return loaded


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Return every field of a schema with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from fields(inner, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from fields(schema[keyword], f"{path}[]")


def narrowed(first: Schema, today: Schema) -> set[str]:
    """Return the keywords by which today's schema of a field takes less than the first one."""
    found = {key for key in SAME if first.get(key) != today.get(key)}
    found |= {key for key in AT_LEAST & today.keys() if today[key] < first.get(key, -1)}
    found |= {key for key in AT_LEAST & today.keys() if key not in first}
    found |= {key for key in AT_MOST & today.keys() if key not in first or today[key] > first[key]}
    if "enum" in today and not ("enum" in first and set(first["enum"]) <= set(today["enum"])):
        found.add("enum")
    if "required" in today and not set(today["required"]) <= set(first.get("required", ())):
        found.add("required")
    return found


def rules(schema: Schema) -> set[str]:
    return {rule["rule"] for rule in schema.get("x-kubernetes-validations", ())}


def schemas(name: str) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Return the fields of the first schema and those of today's."""
    first, today = (definition(folder, name)["versions"] for folder in (FIRST, ROOT / "crds"))
    (old,) = first
    (new,) = (version for version in today if version["name"] == old["name"])
    assert new["served"]
    return tuple(dict(fields(version["schema"]["openAPIV3Schema"])) for version in (old, new))  # type: ignore[return-value] - two of them


@pytest.mark.parametrize("name", NAMES)
def test_no_field_was_taken_away_or_takes_less_than_before(name: str) -> None:
    first, today = schemas(name)
    assert sorted(first.keys() - today.keys()) == []
    less = {
        path: keywords
        for path, schema in first.items()
        if (keywords := narrowed(schema, today[path]) - {NARROWER.get(path)})
    }
    assert less == {}


@pytest.mark.parametrize("name", NAMES)
def test_new_rules_judge_new_fields_alone(name: str) -> None:
    first, today = schemas(name)
    for path, schema in first.items():
        before = {RULES_IN_OTHER_WORDS.get(rule, rule) for rule in rules(schema)}
        for rule in rules(today[path]) - before:
            assert f"{path}.{RULES_OF_NEW_FIELDS[rule]}" not in first


@pytest.mark.parametrize("name", NAMES)
def test_every_keyword_of_the_schemas_is_judged(name: str) -> None:
    known = SAME | AT_LEAST | AT_MOST | ELSEWHERE | {"enum", "required", "x-kubernetes-validations"}
    first, today = schemas(name)
    assert {keyword for each in (first, today) for schema in each.values() for keyword in schema} <= known


@pytest.mark.parametrize("name", NAMES)
def test_the_kind_keeps_its_names_its_scope_and_its_stored_version(name: str) -> None:
    first, today = (definition(folder, name) for folder in (FIRST, ROOT / "crds"))
    assert (today["names"], today["scope"], today["group"]) == (first["names"], first["scope"], first["group"])
    stored = [
        [each["name"] for each in versions if each["storage"]] for versions in (first["versions"], today["versions"])
    ]
    assert stored[0] == stored[1] == ["v1alpha1"]


def test_less_is_told() -> None:
    """The comparison itself: whatever becomes narrower is named."""
    first = {"type": "integer", "minimum": 0, "maximum": 9, "enum": [1, 2]}
    assert narrowed(first, first) == set()
    assert narrowed(first, {"type": "integer"}) == set()
    assert narrowed(first, {"type": "string", "minimum": 1, "maximum": 8, "enum": [1], "required": ["a"]}) == {
        *("type", "minimum", "maximum", "enum", "required")
    }
    assert narrowed({"type": "string"}, {"type": "string", "maxLength": 9, "enum": ["a"], "minLength": 1}) == {
        *("maxLength", "enum", "minLength")
    }
