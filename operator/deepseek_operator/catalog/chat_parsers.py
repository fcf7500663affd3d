"""Which parsers and which tokenizer read a model's reasoning and tool calls, from the data file by generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from deepseek_operator.catalog.data_files import read_json


@dataclass(frozen=True, kw_only=True)
class ChatParsers:
    """How the engine reads what a model writes; each is empty where the model has none or the engine chooses.

    Args:
        reasoning: name of ``--reasoning-parser``.
        tool: name of ``--tool-call-parser``; only for models whose prompts take tools without a further template.
        tokenizer: name of ``--tokenizer-mode``.
        note: what to know, such as what a user must add for tool calls.
    """

    reasoning: str = ""
    tool: str = ""
    tokenizer: str = ""
    note: str = ""


NO_PARSERS = ChatParsers()


@lru_cache(maxsize=256)
def chat_parsers(model_name: str, architecture: str = "") -> ChatParsers:
    """Return the parsers of a model.

    Args:
        model_name: ``owner/name``; owners of copies and quantized repositories do not matter.
        architecture: class name of its config, for a model of another name; empty where it is not known.

    >>> chat_parsers("deepseek-ai/DeepSeek-R1-Distill-Qwen-14B").reasoning
    'deepseek_r1'
    >>> chat_parsers("mycorp/tuned", "DeepseekV32ForCausalLM").tool
    'deepseek_v32'
    >>> chat_parsers("mycorp/tuned", "DeepseekV3ForCausalLM") == NO_PARSERS
    True
    """
    data = _data()
    for row in data["models"]:
        if fnmatchcase(model_name, row["pattern"]):
            return _parsers(row)
    pattern = data["architectures"].get(architecture)
    return next((_parsers(row) for row in data["models"] if row["pattern"] == pattern), NO_PARSERS)


def _parsers(row: Mapping[str, str]) -> ChatParsers:
    return ChatParsers(
        reasoning=row.get("reasoning", ""),
        tool=row.get("tool", ""),
        tokenizer=row.get("tokenizer", ""),
        note=row.get("note", ""),
    )


@lru_cache(maxsize=1)
def _data() -> Mapping[str, Any]:
    data: dict[str, Any] = read_json("chat_parsers.json")
    return data
