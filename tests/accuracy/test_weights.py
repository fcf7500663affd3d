"""Parameters and stored bytes, equal to the last one."""

from __future__ import annotations

import csv
from collections import Counter

import pytest

from accuracy.recorded_startups import DATA
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.weights import (
    checkpoint_bytes,
    draft_parameter_counts,
    parameter_counts,
)

DRAFT_NAMES = {
    "proj": "draft_projection",
    "heads": "draft_heads",
    "duplicated_embeddings": "embeddings",
    "duplicated_lm_head": "lm_head",
}


def component_rows() -> list[dict[str, str]]:
    with (DATA / "model_parameter_components.csv").open(newline="") as file:
        return list(csv.DictReader(file))


COUNTED = sorted({row["model"] for row in component_rows()})


@pytest.mark.parametrize("name", COUNTED)
def test_components_have_exactly_the_recorded_parameters(name: str):
    main: Counter[str] = Counter()
    draft: Counter[str] = Counter()
    for row in component_rows():
        component = row["component"].partition("(")[0]
        if row["model"] != name:
            continue
        if component.startswith(("mtp_", "dspark_")):
            drafted = component.partition("_")[2]
            draft[DRAFT_NAMES.get(drafted, drafted)] += int(row["count"])
        else:
            main[component] += int(row["count"])
    counted = {component.value: count for component, count in parameter_counts(shape(name)).items()}
    counted_draft = {component.value: count for component, count in draft_parameter_counts(shape(name)).items()}
    assert (counted, counted_draft) == (dict(main), dict(draft))


@pytest.mark.parametrize("name", COUNTED)
def test_checkpoint_has_exactly_the_recorded_bytes(name: str):
    stored = sum(int(row["stored_bytes_native"]) for row in component_rows() if row["model"] == name)
    float32_norms = sum(
        int(row["stored_bytes_native"]) // 2
        for row in component_rows()
        if row["model"] == name and row["component"].endswith("norms") and row["stored_dtype"] == "f32"
    )
    assert checkpoint_bytes(shape(name)) == stored - float32_norms
