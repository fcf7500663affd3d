"""From a question to its answer: what it is about, then the mode that it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Protocol

from deepseek_operator.catalog.gpus import Gpu, gpu
from deepseek_operator.catalog.hf_config import shape_from_config
from deepseek_operator.catalog.models import model_names, shape
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.cli.estimate_question import (
    BYTES_EXAMPLE,
    MODES,
    SERVING,
    EstimateQuestion,
    Subject,
    option,
    positive,
)
from deepseek_operator.cli.strict_json import read_object
from deepseek_operator.errors import InvalidSpecError, UnknownModelError, near_matches, shortened
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.units import GIB, MIB

MAX_CONFIG_BYTES = MIB
"""A config.json has some 2 kB; a larger file is a mistake."""

LARGEST_SIZES: Mapping[str, int] = {"tensor": 128, "pipeline": 128, "data": 1024}
"""Largest split that the custom resource takes, too (``api/spec_hardware.py``)."""

LARGEST_CONTEXT = 10**9
"""Tokens of a stand-in, as of a config (``catalog/config_fields.py``)."""

_WIDTHS = (
    "layers",
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "vocab_size",
)

LARGEST_WORLD = 16_384
"""GPUs of the largest published training runs."""

LARGEST_MEMORY_BYTES = 2**50
"""One pebibyte: a thousand times the memory of the largest GPU of the catalogue."""

_FOREIGN = {
    mode: tuple(
        (field.name, field.default, field.metadata["modes"])
        for field in fields(EstimateQuestion)
        if mode not in field.metadata.get("modes", MODES)
    )
    for mode in MODES
}
"""By mode the options that it does not have, with their defaults and the modes that have them."""


class Answer(Protocol):
    """What every mode answers."""

    @property
    def shape(self) -> ModelShape:
        """The model that was asked about."""
        ...

    @property
    def fits(self) -> bool:
        """Whether the GPUs hold it."""
        ...

    def print(self) -> None:
        """Print the answer for people."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Return the answer under its documented keys."""
        ...

    def explanation(self) -> tuple[str, ...]:
        """Return the formulas with the numbers put in, one a line."""
        ...


def answer(question: EstimateQuestion) -> Answer:
    """Return the estimate of a question.

    Raises:
        DeepSeekOperatorError: the question cannot be answered; the text says which option to change.
        OSError: the config file cannot be read.
    """
    _refuse_other_modes(question)
    model, approximation = _shape(question)
    product = gpu(question.gpu) if question.gpu else None
    subject = Subject(
        shape=model,
        product=product,
        memory_bytes=_memory_bytes(question, product),
        split=_split(question),
        approximation=approximation,
    )
    if question.mode == SERVING:
        from deepseek_operator.cli.estimate_serving import answer_serving

        return answer_serving(question, subject)
    from deepseek_operator.cli.estimate_training import answer_training

    return answer_training(question, subject)


def _refuse_other_modes(question: EstimateQuestion) -> None:
    """Refuse an unknown mode, and options that only another mode has."""
    if question.mode not in MODES:
        near = near_matches(question.mode, MODES) or MODES
        raise InvalidSpecError("mode", f"unknown {shortened(question.mode)!r}; known are {', '.join(near)}")
    for name, default, modes in _FOREIGN[question.mode]:
        if getattr(question, name) != default:
            owner = " and ".join(modes)
            raise InvalidSpecError(option(name), f"belongs to mode {owner}, not to {question.mode}; leave it out")


def _shape(question: EstimateQuestion) -> tuple[ModelShape, str]:
    """Return the model, and what of it is made up."""
    given = [name for name in ("model", "config", "parameters") if getattr(question, name) not in ("", {})]
    if len(given) > 1:
        raise InvalidSpecError("", f"{' and '.join(given)} contradict each other; give one of them")
    if question.parameters != "":
        return _stand_in(question)
    for name in _WIDTHS:
        if getattr(question, name) is not None:
            raise InvalidSpecError(option(name), "belongs to parameters; a model or config says it itself")
    if question.model:
        try:
            return shape(question.model), ""
        except UnknownModelError as error:
            raise UnknownModelError("model", question.model, model_names(), "give its config.json as config") from error
    if not question.config:
        raise InvalidSpecError("", "give a model name (see `catalog models`), a config or parameters")
    return _shape_of_config(question.config), ""


def _stand_in(question: EstimateQuestion) -> tuple[ModelShape, str]:
    from deepseek_operator.catalog.generic_model import DEFAULT_CONTEXT, GivenWidths, generic_model, parse_parameters

    context = question.max_model_len or question.sequence_length or DEFAULT_CONTEXT
    found = generic_model(
        parse_parameters(str(question.parameters)),
        GivenWidths(
            num_hidden_layers=question.layers,
            hidden_size=question.hidden_size,
            num_attention_heads=question.num_attention_heads,
            num_key_value_heads=question.num_key_value_heads,
            intermediate_size=question.intermediate_size,
            vocab_size=question.vocab_size,
            max_position_embeddings=min(max(DEFAULT_CONTEXT, context), LARGEST_CONTEXT),
        ),
    )
    return found.shape, found.approximation


def _shape_of_config(config: str | Mapping[str, object]) -> ModelShape:
    if isinstance(config, str):
        try:
            return shape_from_config(read_object(config, MAX_CONFIG_BYTES, "the model's config.json"))
        except InvalidSpecError as error:
            raise InvalidSpecError("config", str(error)) from error
    return shape_from_config(config)


def _memory_bytes(question: EstimateQuestion, product: Gpu | None) -> int:
    given = question.gpu_memory_bytes
    if given is not None:
        if 0 < given < GIB:
            raise InvalidSpecError("gpu-memory-bytes", f"{given:,} bytes are less than 1 GiB; {BYTES_EXAMPLE}")
        return positive("gpu-memory-bytes", given, LARGEST_MEMORY_BYTES)
    if product is None:
        raise InvalidSpecError("", "give a GPU id (see `catalog gpus`) or gpu-memory-bytes")
    if product.usable_memory_bytes is None:
        raise InvalidSpecError("gpu", f"the usable memory of {product.id} is not known; give gpu-memory-bytes as well")
    return product.usable_memory_bytes


def _split(question: EstimateQuestion) -> Parallelism:
    split = Parallelism(
        tensor=positive("tensor-parallel-size", question.tensor_parallel_size, LARGEST_SIZES["tensor"]),
        pipeline=positive("pipeline-parallel-size", question.pipeline_parallel_size, LARGEST_SIZES["pipeline"]),
        data=positive("data-parallel-size", question.data_parallel_size, LARGEST_SIZES["data"]),
        expert=question.enable_expert_parallel,
        decode_context=positive("decode-context-parallel-size", question.decode_context_parallel_size),
    )
    if split.world_size > LARGEST_WORLD:
        raise InvalidSpecError(
            "", f"{split} are {split.world_size:,} GPUs, more than {LARGEST_WORLD:,}, the most that is planned for"
        )
    return split
