"""One question to ``estimate`` in the engine's own option names: a value, read from options or from a JSON line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from deepseek_operator.catalog.engines import DEFAULT_VERSION
from deepseek_operator.cli.strict_json import parse_object
from deepseek_operator.errors import InvalidSpecError, near_matches, shortened

LARGEST_COUNT = 2**63 - 1
"""Largest number that any option takes: what fits into a signed 64-bit integer."""


@dataclass(frozen=True, kw_only=True)
class EstimateQuestion:
    """Options of ``estimate``; None or an empty text leaves a value to the engine's default for the GPU.

    Args:
        model: catalogue name; ``config`` stands in for it.
        config: path of a config.json, or its content.
        gpu: catalogue id.
        gpu_memory_bytes: memory of one GPU as the driver reports it; wins over the catalogue's.
        quantization: name in the engine or in the custom resource, with a parameter where the format has one
            (``awq:64``, ``gguf:Q4_K_M``; see ``catalog.quantizations.named_quantization``); empty runs the checkpoint
            as stored.
        gpu_memory_utilization: share of that memory, above 0 and at most 1.
        engine: whose speed is asked for; empty asks for memory only.
        input_tokens: mean prompt; with ``output_tokens`` and ``concurrency`` the load that the speed holds for.
        concurrency: requests in flight in the whole replica.
    """

    model: str = ""
    config: str | Mapping[str, object] = ""
    gpu: str = ""
    gpu_memory_bytes: int | None = None
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    enable_expert_parallel: bool = False
    quantization: str = ""
    kv_cache_dtype: str = "auto"
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    enforce_eager: bool = False
    engine_version: str = DEFAULT_VERSION
    engine: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    concurrency: int | None = None


def parse_question(line: bytes | str) -> EstimateQuestion:
    """Return the question of one JSON line, whose keys are the option names in camelCase.

    Raises:
        InvalidSpecError: the line is no JSON object, or a key or a value's type is wrong.

    >>> parse_question('{"model": "m", "tensorParallelSize": 8}').tensor_parallel_size
    8
    """
    content = parse_object(line)
    values: dict[str, Any] = {}
    for key, value in content.items():
        known = _KINDS_BY_KEY.get(key)
        if known is None:
            raise InvalidSpecError(shortened(key), _unknown(key))
        name, kinds, described = known
        if type(value) not in kinds:
            raise InvalidSpecError(key, f"{shortened(json.dumps(value))} has the wrong type; write {described}")
        values[name] = value
    return EstimateQuestion(**values)


def option(name: str) -> str:
    """Return a field as the command line spells it.

    >>> option("max_model_len")
    'max-model-len'
    """
    return name.replace("_", "-")


def positive(name: str, value: int, largest: int = LARGEST_COUNT) -> int:
    """Return the value of an option that counts something.

    Raises:
        InvalidSpecError: it is below 1 or above ``largest``.
    """
    if value < 1:
        raise InvalidSpecError(name, f"{shortened(str(value))} is no positive number; write 1 or more")
    if value > largest:
        shown = f"{value:,}" if value <= LARGEST_COUNT else f"a number of {value.bit_length():,} bits"
        raise InvalidSpecError(name, f"{shown} is more than {largest:,}, the most that is planned for")
    return value


def _unknown(key: str) -> str:
    near = near_matches(key, _KINDS_BY_KEY, limit=1)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; known are {', '.join(sorted(_KINDS_BY_KEY))}"


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_KINDS: Mapping[str, tuple[frozenset[type], str]] = {
    "str": (frozenset({str}), "a text"),
    "bool": (frozenset({bool}), "true or false"),
    "int": (frozenset({int}), "a whole number"),
    "int | None": (frozenset({int, type(None)}), "a whole number"),
    "float | None": (frozenset({int, float, type(None)}), "a number"),
    "str | Mapping[str, object]": (frozenset({str, dict}), "a path or an object"),
}
"""By annotation of a field: what JSON may hold for it (a boolean is no number), and how a refusal names that."""

_KINDS_BY_KEY = {_camel_case(field.name): (field.name, *_KINDS[str(field.type)]) for field in fields(EstimateQuestion)}
