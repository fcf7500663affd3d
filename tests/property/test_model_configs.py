"""Whatever a config.json says, it is either understood or refused in one sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.catalog import models
from deepseek_operator.catalog.hf_config import shape_from_config
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.errors import UnsupportedModelError

BASES = [
    "deepseek-ai/deepseek-llm-67b-chat",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B",
    "deepseek-ai/deepseek-moe-16b-chat",
    "deepseek-ai/DeepSeek-V2-Lite",
    "deepseek-ai/DeepSeek-V3.2",
    "deepseek-ai/deepseek-vl2-tiny",
    "deepseek-ai/DeepSeek-OCR",
    "deepseek-ai/DeepSeek-V4-Flash-Vision-Exp",
    "deepseek-ai/DeepSeek-V4.1-Flash",
]
FIELDS = sorted({field for name in BASES for field in models.model(name).config})
WORDS = st.text("abfptz018_-", max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(WORDS, SCALARS, max_size=2)


@given(
    name=st.sampled_from(BASES),
    changes=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3),
    dropped=st.sets(st.sampled_from(FIELDS), max_size=2),
)
def test_a_changed_config_is_a_shape_or_a_refusal(name: str, changes: dict[str, object], dropped: set[str]):
    config = {field: value for field, value in {**models.model(name).config, **changes}.items() if field not in dropped}
    assert_understood_or_refused(config)


NESTED = "deepseek-ai/DeepSeek-V4.1-Flash"
PARTS = ("text_config", "vision_config")


def nested_part(part: str) -> dict[str, object]:
    found = models.model(NESTED).config[part]
    assert isinstance(found, dict)
    return found


NESTED_FIELDS = sorted({field for part in PARTS for field in nested_part(part)})


@given(
    part=st.sampled_from(PARTS),
    changes=st.dictionaries(st.sampled_from(NESTED_FIELDS), VALUES, max_size=3),
    dropped=st.sets(st.sampled_from(NESTED_FIELDS), max_size=2),
)
def test_a_changed_nested_config_is_a_shape_or_a_refusal(part: str, changes: dict[str, object], dropped: set[str]):
    kept = {field: value for field, value in {**nested_part(part), **changes}.items() if field not in dropped}
    assert_understood_or_refused({**models.model(NESTED).config, part: kept})


def assert_understood_or_refused(config: dict[str, object]) -> None:
    try:
        answer: ModelShape | str = shape_from_config(config)
    except UnsupportedModelError as refused:
        answer = str(refused)
    if isinstance(answer, str):
        assert len(answer) < 400
        assert "\n" not in answer
    else:
        assert min(answer.num_layers, answer.hidden_size, answer.vocab_size, answer.attention.num_heads) >= 1


@given(name=st.sampled_from(BASES), unknown=st.dictionaries(WORDS, VALUES, max_size=3))
def test_fields_that_planning_does_not_use_change_nothing(name: str, unknown: dict[str, object]):
    extra = {f"x_{field}": value for field, value in unknown.items()}
    assert shape_from_config({**models.model(name).config, **extra}) == models.shape(name)


@pytest.mark.parametrize("name", BASES)
def test_reading_does_not_change_the_config(name: str):
    config = dict(models.model(name).config)
    before = repr(config)
    shape_from_config(config)
    assert repr(config) == before
