"""One question to ``estimate`` in the engine's own option names: a value, read from options or from a JSON line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

from deepseek_operator.catalog.engines import DEFAULT_VERSION
from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.cli.strict_json import parse_object
from deepseek_operator.errors import InvalidSpecError, near_matches, shortened
from deepseek_operator.memory.parallelism import Parallelism

LARGEST_COUNT = 2**63 - 1
"""Largest number that any option takes: what fits into a signed 64-bit integer."""

BYTES_EXAMPLE = "write all bytes, such as 85899345920 for 80 GiB"

SERVING = "serving"
TRAINING = "training"
LORA = "lora"
MODES = (SERVING, TRAINING, LORA)
"""What the GPUs are to do: run an engine, train every parameter, or train adapters beside frozen ones."""


def _only(default: Any, *modes: str) -> Any:  # noqa: ANN401 - a default and a dataclass field are any object
    """Declare an option that belongs to some modes alone."""
    return field(default=default, metadata={"modes": modes})


def _serving(default: Any = None) -> Any:  # noqa: ANN401 - as above
    return _only(default, SERVING)


def _training(default: Any = None) -> Any:  # noqa: ANN401 - as above
    return _only(default, TRAINING, LORA)


def _lora(default: Any = None) -> Any:  # noqa: ANN401 - as above
    return _only(default, LORA)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a question is about, in every mode.

    Args:
        approximation: one sentence on what of the shape is made up; empty when nothing is.
        product: the GPU; None when only its memory was given.
        memory_bytes: of one GPU.
        split: of one replica, or of the whole training run.
    """

    shape: ModelShape
    product: Gpu | None
    memory_bytes: int
    split: Parallelism
    approximation: str = ""


@dataclass(frozen=True, kw_only=True)
class EstimateQuestion:
    """Options of ``estimate``; None or an empty text leaves a value to the default of engine or training.

    The training options are those of ``memory.training.settings`` and ``memory.training.adapters``.

    Args:
        mode: one of ``MODES``.
        model: catalogue name; ``config`` stands in for it.
        config: path of a config.json, or its content.
        parameters: size of a model of which only that is known, such as ``13e9`` or ``65B``; what is known of its
            widths may be given beside it (``catalog.generic_model``).
        gpu: catalogue id.
        gpu_memory_bytes: memory of one GPU as the driver reports it; wins over the catalogue's.
        quantization: name in the engine or in the custom resource, with a parameter where the format has one
            (``awq:64``, ``gguf:Q4_K_M``; see ``catalog.quantizations.named_quantization``); empty runs the checkpoint
            as stored.
        gpu_memory_utilization: share of that memory, above 0 and at most 1.
        spec_tokens: tokens that the draft layers of the checkpoint propose in a step; None loads no draft.
        cpu_offload_gb: weights of each GPU that stay in host memory, in GiB.
        kv_offloading_size: host memory for KV blocks of one engine, in GiB.
        engine: whose speed is asked for; empty with a load means vllm, and without one asks for memory only.
        input_tokens: mean prompt; with ``output_tokens`` and ``concurrency`` the load that the speed holds for.
        concurrency: requests in flight in the whole replica.
    """

    mode: str = SERVING
    model: str = ""
    config: str | Mapping[str, object] = ""
    parameters: str | float = ""
    layers: int | None = None
    hidden_size: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    intermediate_size: int | None = None
    vocab_size: int | None = None
    gpu: str = ""
    gpu_memory_bytes: int | None = None
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    enable_expert_parallel: bool = False
    quantization: str = _serving("")
    kv_cache_dtype: str = _serving("auto")
    max_model_len: int | None = _serving()
    max_num_seqs: int | None = _serving()
    max_num_batched_tokens: int | None = _serving()
    gpu_memory_utilization: float | None = _serving()
    enforce_eager: bool = _serving(False)
    engine_version: str = _serving(DEFAULT_VERSION)
    decode_context_parallel_size: int = _serving(1)
    indexer_kv_dtype: str = _serving("auto")
    kv_cache_memory_bytes: int | None = _serving()
    spec_tokens: int | None = _serving()
    no_async_scheduling: bool = _serving(False)
    cpu_offload_gb: float | None = _serving()
    kv_offloading_size: float | None = _serving()
    engine: str = _serving("")
    input_tokens: int | None = _serving()
    output_tokens: int | None = _serving()
    concurrency: int | None = _serving()
    micro_batch_size: int | None = _training()
    sequence_length: int | None = _training()
    gradient_accumulation_steps: int | None = _training()
    optimizer: str = _training("")
    training_dtype: str = _training("")
    no_master_weights: bool = _training(False)
    fp32_gradients: bool = _training(False)
    activation_checkpointing: str = _training("")
    no_flash_attention: bool = _training(False)
    dropout: bool = _training(False)
    no_fused_kernels: bool = _training(False)
    sequence_parallel: bool = _training(False)
    zero_stage: int | None = _training()
    offload_optimizer: bool = _training(False)
    offload_parameters: bool = _training(False)
    lora_rank: int | None = _lora()
    lora_target_modules: str = _lora("")
    lora_routed_experts: bool = _lora(False)
    qlora: bool = _lora(False)
    no_double_quantization: bool = _lora(False)


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


Choice = TypeVar("Choice", bound=StrEnum)


def choice(name: str, text: str, choices: type[Choice]) -> Choice:
    """Return one of the values that an option takes.

    Raises:
        InvalidSpecError: it is another; the text lists them.
    """
    if text not in list(choices):
        raise InvalidSpecError(name, f"unknown {shortened(text)!r}; known are {', '.join(choices)}")
    return choices(text)


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
    "str | float": (frozenset({str, int, float}), "a number"),
    "str | Mapping[str, object]": (frozenset({str, dict}), "a path or an object"),
}
"""By annotation of a field: what JSON may hold for it (a boolean is no number), and how a refusal names that."""

_KINDS_BY_KEY = {_camel_case(each.name): (each.name, *_KINDS[str(each.type)]) for each in fields(EstimateQuestion)}
