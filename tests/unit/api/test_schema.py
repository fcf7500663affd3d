"""From pydantic's schema to what the API server accepts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from deepseek_operator.api.crd import capacity_plan_definition, crd_yaml, custom_resource_definition
from deepseek_operator.api.schema import structural_schema

ROOT = Path(__file__).parents[3]
MAX_CRD_BYTES = 100_000


class Colour(StrEnum):
    RED = "Red"


class Inner(BaseModel):
    """Inner words."""

    size: int = Field(gt=0, lt=10, description="Size in mm.")


class Everything(BaseModel):
    """All that is rewritten."""

    inner: Inner = Field(description="Outer words.")
    maybe: Inner | None = None
    colour: Colour = Colour.RED
    one: Literal["a"] = "a"
    pair: tuple[int, int] = (1, 2)
    unique: set[str] = Field(default_factory=set)
    many: tuple[Inner, ...] = ()
    labels: dict[str, Annotated[str, Field(max_length=3)]] = Field(default_factory=dict)
    free: dict[str, Any] = Field(default_factory=dict, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
    text: str = ""


INNER = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "description": "Size in mm.", "minimum": 1, "maximum": 9, "format": "int32"}
    },
}


DEFINITIONS = {"deepseekdeployments": custom_resource_definition(), "capacityplans": capacity_plan_definition()}


def test_everything_that_the_api_server_refuses_is_rewritten() -> None:
    assert structural_schema(Everything) == {
        "type": "object",
        "description": "All that is rewritten.",
        "required": ["inner"],
        "properties": {
            "inner": INNER | {"description": "Outer words."},
            "maybe": INNER | {"description": "Inner words."},
            "colour": {"type": "string", "enum": ["Red"], "default": "Red"},
            "one": {"type": "string", "enum": ["a"], "default": "a"},
            "pair": {
                "type": "array",
                "items": {"type": "integer", "format": "int64"},
                "minItems": 2,
                "maxItems": 2,
                "default": [1, 2],
            },
            "unique": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "many": {"type": "array", "items": INNER | {"description": "Inner words."}},
            "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 3}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "text": {"type": "string"},
        },
    }


class TwoTypes(BaseModel):
    value: int | str


class Fraction(BaseModel):
    value: float


class MixedPair(BaseModel):
    value: tuple[int, str]


class CheckedKeys(BaseModel):
    value: dict[Annotated[str, Field(pattern="^a$")], str]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        pytest.param(TwoTypes, "one type per field, not 2", id="a field of two types"),
        pytest.param(Fraction, "no floats", id="a float"),
        pytest.param(MixedPair, "must all have one type", id="a list of mixed items"),
        pytest.param(CheckedKeys, "use a CEL rule", id="keys with a pattern"),
    ],
)
def test_what_cannot_be_said_raises_and_is_not_weakened(model: type[BaseModel], reason: str) -> None:
    with pytest.raises(TypeError, match=rf"^{model.__name__}\.value: .*{reason}"):
        structural_schema(model)


def nodes(schema: object, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return every schema below one, with its path."""
    if not isinstance(schema, dict):
        return []
    found = [(path, schema)]
    for name, part in schema.get("properties", {}).items():
        found += nodes(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        found += nodes(schema.get(key), f"{path}[]")
    return found


def schema_of(part: str) -> list[tuple[str, dict[str, Any]]]:
    version = custom_resource_definition()["spec"]["versions"][0]
    return nodes(version["schema"]["openAPIV3Schema"]["properties"][part], part)


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_has_a_description(part: str) -> None:
    silent = [path for path, schema in schema_of(part) if not path.endswith("[]") and not schema.get("description")]
    assert silent == []


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_list_map_and_text_is_bounded(part: str) -> None:
    limits = {"array": "maxItems", "string": "maxLength"}
    unbounded = [
        path
        for path, schema in schema_of(part)
        if (limit := limits.get(schema.get("type", ""))) and limit not in schema and "enum" not in schema
    ]
    assert unbounded == []
    maps = [schema for _, schema in schema_of(part) if "additionalProperties" in schema]
    assert all("maxProperties" in schema for schema in maps)


def test_every_number_of_the_spec_has_a_range() -> None:
    numbers = [(path, schema) for path, schema in schema_of("spec") if schema.get("type") == "integer"]
    assert [path for path, schema in numbers if not {"minimum", "maximum"} <= set(schema)] == []


def test_words_to_choose_from_are_camel_case() -> None:
    words = {word for _, schema in schema_of("spec") for word in schema.get("enum", ())}
    assert {word for word in words if not word[0].isupper() or not word.isalnum()} == set()


def test_replicas_has_no_default_because_a_default_would_claim_it() -> None:
    fields = dict(schema_of("spec"))
    assert "default" not in fields["spec.replicas"]


def test_the_file_is_what_the_types_say_and_small_enough() -> None:
    for name, definition in DEFINITIONS.items():
        text = (ROOT / "crds" / f"{name}.deepseek-operator.io.yaml").read_text()
        assert text == crd_yaml(definition), f"write it with `kubectl deepseek crd {name}`"
        assert len(text.encode()) < MAX_CRD_BYTES
