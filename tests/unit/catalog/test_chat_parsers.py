"""How each generation's reasoning and tool calls are read."""

from __future__ import annotations

import pytest

from deepseek_operator.catalog.chat_parsers import NO_PARSERS, ChatParsers, chat_parsers
from deepseek_operator.catalog.models import model, model_names

OF_GENERATIONS = {
    "deepseek-ai/DeepSeek-R1": ("deepseek_r1", "", ""),
    "deepseek-ai/DeepSeek-R1-0528": ("deepseek_r1", "", ""),
    "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B": ("deepseek_r1", "", ""),
    "deepseek-ai/DeepSeek-R1-Distill-Llama-70B": ("deepseek_r1", "", ""),
    "deepseek-ai/DeepSeek-V3": ("", "", ""),
    "deepseek-ai/DeepSeek-V3-0324": ("", "", ""),
    "deepseek-ai/DeepSeek-V3.1": ("deepseek_v3", "", ""),
    "deepseek-ai/DeepSeek-V3.1-Terminus": ("deepseek_v3", "", ""),
    "deepseek-ai/DeepSeek-V3.2": ("deepseek_v3", "deepseek_v32", "deepseek_v32"),
    "deepseek-ai/DeepSeek-V3.2-Exp": ("deepseek_v3", "", ""),
    "deepseek-ai/DeepSeek-V3.2-Speciale": ("deepseek_v3", "", "deepseek_v32"),
    "deepseek-ai/DeepSeek-V4-Flash": ("deepseek_v4", "deepseek_v4", "deepseek_v4"),
    "deepseek-ai/DeepSeek-V4-Pro": ("deepseek_v4", "deepseek_v4", "deepseek_v4"),
    "deepseek-ai/DeepSeek-V4.1-Flash": ("deepseek_v41", "deepseek_v41", "deepseek_v41"),
}


@pytest.mark.parametrize("name", sorted(OF_GENERATIONS))
def test_each_generation_has_its_parsers(name: str) -> None:
    found = chat_parsers(name, model(name).architecture)
    assert (found.reasoning, found.tool, found.tokenizer) == OF_GENERATIONS[name]


@pytest.mark.parametrize("name", [name for name in model_names() if name.endswith(("-Base", "-base"))])
def test_base_models_have_none(name: str) -> None:
    found = chat_parsers(name, model(name).architecture)
    assert ChatParsers(note=found.note) == found


def test_a_copy_of_another_owner_is_read_like_the_original() -> None:
    assert chat_parsers("quantizers/DeepSeek-R1-AWQ") == chat_parsers("deepseek-ai/DeepSeek-R1")


def test_a_model_of_another_name_is_known_by_its_class_alone_where_that_tells() -> None:
    assert chat_parsers("me/mine", "DeepseekV41ForCausalLM") == chat_parsers("deepseek-ai/DeepSeek-V4.1-Flash")
    assert chat_parsers("me/mine", "DeepseekV3ForCausalLM") == NO_PARSERS
