"""What every type of the custom resource shares: camelCase names, strictness, and rules told in two languages.

A rule that spans several fields is written once as a ``Rule``: as CEL for the API server, as a function for
files that are planned without a cluster, and as one sentence that both of them say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

MAX_INT32 = 2**31 - 1
MAX_BYTES = 2**53 - 1
"""Largest byte count: the largest integer that every JSON reader keeps exact (RFC 8259, section 6)."""

_MAP_KEYS = "x-kubernetes-list-map-keys"

RULE_ERROR = "rule"
"""Type of the pydantic error that a broken ``Rule`` raises."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A condition on several fields of one type.

    Args:
        cel: the condition for the API server; must be cheap, so every list and text in it is bounded.
        holds: the same condition for a parsed value.
        message: one sentence that says what to write instead.
        field: camelCase path below the type that the error points at; empty for the type itself.
    """

    cel: str
    holds: Callable[[Any], bool]
    message: str
    field: str = ""

    def validation(self) -> dict[str, str]:
        """Return the rule as one entry of ``x-kubernetes-validations``."""
        entry = {"rule": self.cel, "message": self.message}
        if self.field:
            entry["fieldPath"] = f".{self.field}"
        return entry


class ApiModel(BaseModel):
    """Base of all types: immutable, no coercion, unknown fields refused, names in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, strict=True)

    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        for rule in self.RULES:
            if not rule.holds(self):
                raise PydanticCustomError(RULE_ERROR, "{message}", {"message": rule.message, "field": rule.field})
        return self

    @model_validator(mode="after")
    def _refuse_doubles(self) -> Self:
        """Refuse what the API server refuses in a list whose items are told apart by keys."""
        for name, field in type(self).model_fields.items():
            marks = field.json_schema_extra
            keys = marks.get(_MAP_KEYS) if isinstance(marks, dict) else None
            if isinstance(keys, list):
                named = [tuple(getattr(item, str(key)) for key in keys) for item in getattr(self, name) or ()]
                if double := next((each for index, each in enumerate(named) if each in named[:index]), None):
                    told = {"message": f"{double[0]} is there twice; leave one of them out", "field": to_camel(name)}
                    raise PydanticCustomError(RULE_ERROR, "{message}", told)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        if cls.RULES:
            schema["x-kubernetes-validations"] = [rule.validation() for rule in cls.RULES]
        return schema


def list_map(*keys: str) -> dict[str, Any]:
    """Return the markers of a list whose items are told apart by keys, so that several appliers can share it.

    >>> list_map("name")
    {'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name']}
    """
    return {"x-kubernetes-list-type": "map", _MAP_KEYS: list(keys)}


DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
DnsSubdomain = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")]
OptionalDnsSubdomain = Annotated[str, Field(max_length=253, pattern=r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$")]
RepositoryName = Annotated[
    str,
    Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$"),
]
OptionalRepositoryName = Annotated[
    str,
    Field(max_length=128, pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?)?$"),
]
DecimalUsd = Annotated[str, Field(min_length=1, max_length=12, pattern=r"^[0-9]{1,7}(\.[0-9]{1,4})?$")]
AbsolutePath = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/[^\x00]*$")]
RelativePath = Annotated[str, Field(max_length=1024, pattern=r"^([^/\x00][^\x00]*)?$")]


class SecretKeyRef(ApiModel):
    """One key of a Secret in the same namespace; the operator references it and never reads it."""

    name: DnsSubdomain = Field(description="Name of the Secret.")
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] = Field(
        description="Key inside the Secret."
    )


class SecretRef(ApiModel):
    """A Secret in the same namespace; the operator references it and never reads it."""

    name: DnsSubdomain = Field(description="Name of the Secret.")
