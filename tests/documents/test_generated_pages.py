"""Pages that are written from the program say what the program says today."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import render_reference
import render_sizing

from deepseek_operator.api.crd import capacity_plan_definition, custom_resource_definition
from deepseek_operator.catalog.models import model_names

REMEDY = "the page is not what the program says; run make docs"


@pytest.mark.timeout(300)
def test_sizing_is_what_the_planner_says() -> None:
    assert render_sizing.page() == render_sizing.PAGE.read_text(), REMEDY


def test_sizing_covers_every_model_of_the_catalogue() -> None:
    page = render_sizing.PAGE.read_text()
    named = set(re.findall(r"^## (\S+)$|The same shape: (.*)\.$", page, re.MULTILINE))
    names = {name for alone, others in named for name in (alone, *others.split(", ")) if name}
    assert names == {name.partition("/")[2] for name in model_names()}


def test_the_reference_is_what_the_schemas_say() -> None:
    assert render_reference.page() == render_reference.PAGE.read_text(), REMEDY


@pytest.mark.parametrize(
    "definition", [custom_resource_definition(), capacity_plan_definition()], ids=["DeepSeekDeployment", "CapacityPlan"]
)
def test_the_reference_has_every_field(definition: Mapping[str, Any]) -> None:
    (version,) = definition["spec"]["versions"]
    parts = version["schema"]["openAPIV3Schema"]["properties"]
    page = render_reference.PAGE.read_text()
    fields = [path for part in ("spec", "status") for path in paths(parts[part], part)]
    assert len(fields) > 20
    assert [path for path in fields if f"| `{path}` |" not in page] == []


def paths(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the path of each field below one, those of a proposed plan as those of the plan."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        if f"{path}.{name}" != "status.proposedPlan":
            yield from paths(field, f"{path}.{name}")
            yield from paths(field.get("items", {}), f"{path}.{name}[]")


def test_a_proposed_plan_has_the_fields_of_a_plan() -> None:
    (version,) = custom_resource_definition()["spec"]["versions"]
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    plan, proposed = (json.dumps(status[each]["properties"], sort_keys=True) for each in ("plan", "proposedPlan"))
    assert plan == proposed
