"""A dense stand-in for a model of which only the number of parameters is known (``estimate --parameters 13e9``).

Layers and widths come from published families (``data/published_scaling.json``), the width of the MLP is then solved
for the asked number. The weights are counted by that number exactly (``ModelShape.stated_parameters``); KV cache and
activations follow the stand-in's widths and are approximate, which ``GenericModel.approximation`` says.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from decimal import Decimal

from deepseek_operator.catalog.data_files import read_json
from deepseek_operator.catalog.shapes import GroupedQueryAttention, ModelShape
from deepseek_operator.errors import InvalidSpecError, shortened

SMALLEST_PARAMETERS = 100_000_000
LARGEST_PARAMETERS = 100_000_000_000_000
"""An order of magnitude around the published models; beyond is a typing error."""

DEFAULT_CONTEXT = 4096
"""Longest context in tokens where none is given (Llama 2, DeepSeek LLM)."""

WIDTH_STEP = 64
"""The MLP's width is a multiple of this, so that it can be cut."""

MOST_LAYERS = 50_000
"""Layers that are solved for; 100 trillion parameters of the widest published widths have 12,713."""

CLOSE_PERCENT = 15
"""Within this distance of a published size its number of layers is kept."""

CONTRADICTION_PERCENT = 25
"""Widths that all are given must give the asked number of parameters this closely."""

_SUFFIXES = {"": 0, "k": 3, "m": 6, "b": 9, "g": 9, "t": 12}
_NUMBER = re.compile(r"(\d{1,20}(?:\.\d{0,20})?)(?:[eE]\+?(\d{1,2})|([kKmMbBgGtT]))?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class PublishedSize:
    """One published dense model; fields as in ``config.json``."""

    name: str
    parameters: int
    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    vocab_size: int
    tie_word_embeddings: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class GivenWidths:
    """What is known beside the number of parameters; None leaves a field to the nearest published size.

    Each field is an option: ``--layers``, ``--hidden-size``, ``--num-attention-heads``, ``--num-key-value-heads``,
    ``--intermediate-size``, ``--vocab-size``; ``max_position_embeddings`` is the longest context to plan for, at least
    ``--max-model-len`` or ``--sequence-length``.
    """

    num_hidden_layers: int | None = None
    hidden_size: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    intermediate_size: int | None = None
    vocab_size: int | None = None
    max_position_embeddings: int = DEFAULT_CONTEXT


@dataclass(frozen=True, kw_only=True)
class GenericModel:
    """A stand-in with the sentence that says what is exact and what is not."""

    shape: ModelShape
    approximation: str


def parse_parameters(text: str) -> int:
    """Return a number of parameters as people write it.

    Raises:
        InvalidSpecError: it is no number, or none between 100 million and 100 trillion.

    >>> parse_parameters("13e9"), parse_parameters("671B"), parse_parameters("1.5b"), parse_parameters("7000000000")
    (13000000000, 671000000000, 1500000000, 7000000000)
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise InvalidSpecError("parameters", f"{shortened(text)!r} is no number of parameters; write 13e9, 13B or 1.6T")
    number, exponent, suffix = match.groups()
    zeros = int(exponent) if exponent else _SUFFIXES[(suffix or "").lower()]
    value = Decimal(number).scaleb(zeros)
    if not SMALLEST_PARAMETERS <= value <= LARGEST_PARAMETERS:
        raise InvalidSpecError(
            "parameters", f"{shortened(text)!r} is not between 100M and 100T parameters; write 13e9, 13B or 1.6T"
        )
    return int(value)


def generic_model(parameters: int, given: GivenWidths | None = None) -> GenericModel:
    """Return a dense Llama-like model whose widths give nearly the asked number of parameters.

    Args:
        parameters: 100 million to 100 trillion (``parse_parameters``).
        given: widths that are known; they are kept.

    Raises:
        InvalidSpecError: a number is out of range, heads do not divide, or the given widths contradict the number.

    >>> shape = generic_model(13_000_000_000).shape
    >>> shape.num_layers, shape.hidden_size, shape.attention.num_heads, shape.intermediate_size
    (40, 5120, 40, 13824)
    """
    given = given or GivenWidths()
    if not SMALLEST_PARAMETERS <= parameters <= LARGEST_PARAMETERS:
        raise InvalidSpecError("parameters", f"{parameters:,} is not between 100M and 100T; write 13e9, 13B or 1.6T")
    _refuse_out_of_range(given)
    near = min(published_sizes(), key=lambda row: abs(math.log(row.parameters / parameters)))
    hidden = given.hidden_size or near.hidden_size
    attention = _attention(given, near, hidden)
    vocabulary = given.vocab_size or near.vocab_size
    beside_layers = (1 if near.tie_word_embeddings else 2) * vocabulary * hidden + hidden
    layers, width = _layers_and_width(parameters - beside_layers, given, near, attention, hidden)
    shape = ModelShape(
        architecture="LlamaForCausalLM",
        model_type="llama",
        num_layers=layers,
        hidden_size=hidden,
        vocab_size=vocabulary,
        max_position_embeddings=given.max_position_embeddings,
        intermediate_size=width,
        tie_word_embeddings=near.tie_word_embeddings,
        attention=attention,
        stated_parameters=parameters,
    )
    found = layers * (_attention_and_norms(attention, hidden) + 3 * hidden * width) + beside_layers
    if abs(found - parameters) * 100 > CONTRADICTION_PERCENT * parameters:
        raise InvalidSpecError(
            "parameters",
            f"{parameters:,} contradict the widths, which give {found:,}; leave out --intermediate-size or --layers",
        )
    return GenericModel(shape=shape, approximation=_approximation(shape, found, near))


@functools.cache
def published_sizes() -> tuple[PublishedSize, ...]:
    """Return the published sizes, smallest first."""
    rows = read_json("published_scaling.json")["rows"]
    if not isinstance(rows, list):
        raise TypeError("published_scaling.json holds no list")
    return tuple(PublishedSize(**row) for row in rows)


def _refuse_out_of_range(given: GivenWidths) -> None:
    limits = {
        "layers": (given.num_hidden_layers, 10_000),
        "hidden-size": (given.hidden_size, 1_048_576),
        "num-attention-heads": (given.num_attention_heads, 65_536),
        "num-key-value-heads": (given.num_key_value_heads, 65_536),
        "intermediate-size": (given.intermediate_size, 16_777_216),
        "vocab-size": (given.vocab_size, 100_000_000),
    }
    for option, (value, largest) in limits.items():
        if value is not None and not 1 <= value <= largest:
            raise InvalidSpecError(option, f"{value} is no number from 1 to {largest:,}")


def _attention(given: GivenWidths, near: PublishedSize, hidden: int) -> GroupedQueryAttention:
    """Heads of the published width, or of 128 or 64 elements when the hidden size is another."""
    heads = given.num_attention_heads
    if heads is None and hidden == near.hidden_size:
        heads = near.num_attention_heads
    if heads is None:
        head_dim = next((width for width in (128, 64) if hidden % width == 0), None)
        if head_dim is None:
            raise InvalidSpecError("hidden-size", f"{hidden} is no multiple of 64; give --num-attention-heads as well")
        heads = hidden // head_dim
    if hidden % heads:
        raise InvalidSpecError("num-attention-heads", f"{heads} do not divide the hidden size {hidden}")
    kv_heads = given.num_key_value_heads or heads
    if heads % kv_heads:
        raise InvalidSpecError("num-key-value-heads", f"{kv_heads} do not divide the {heads} attention heads")
    return GroupedQueryAttention(num_heads=heads, num_kv_heads=kv_heads, head_dim=hidden // heads)


def _layers_and_width(
    in_layers: int, given: GivenWidths, near: PublishedSize, attention: GroupedQueryAttention, hidden: int
) -> tuple[int, int]:
    """Return layers and MLP width; what is not given is solved for the parameters of all layers."""
    beside_mlp = _attention_and_norms(attention, hidden)
    usual_width = given.intermediate_size or ceil_to_step(8 * hidden / 3)
    layers = given.num_hidden_layers
    if layers is None:
        published = near.num_hidden_layers * (_attention_and_norms(attention, hidden) + 3 * hidden * usual_width)
        is_close = abs(in_layers - published) * 100 <= CLOSE_PERCENT * published
        kept = is_close and hidden == near.hidden_size and given.intermediate_size is None
        layers = near.num_hidden_layers if kept else max(1, round(in_layers / (beside_mlp + 3 * hidden * usual_width)))
    if layers > MOST_LAYERS:
        raise InvalidSpecError(
            "parameters",
            f"would need {layers:,} layers of these widths, more than {MOST_LAYERS:,}; give a larger --hidden-size or "
            "--intermediate-size",
        )
    if given.intermediate_size is not None:
        return layers, given.intermediate_size
    width = round((in_layers / layers - beside_mlp) / (3 * hidden * WIDTH_STEP)) * WIDTH_STEP
    if width < WIDTH_STEP:
        raise InvalidSpecError(
            "parameters", "are fewer than attention and embeddings of these widths have; give smaller ones"
        )
    return layers, width


def ceil_to_step(width: float) -> int:
    """Return a width rounded up to a multiple of ``WIDTH_STEP``.

    >>> ceil_to_step(8 * 4096 / 3)
    10944
    """
    return math.ceil(width / WIDTH_STEP) * WIDTH_STEP


def _attention_and_norms(attention: GroupedQueryAttention, hidden: int) -> int:
    return hidden * attention.head_dim * 2 * (attention.num_heads + attention.num_kv_heads) + 2 * hidden


def _approximation(shape: ModelShape, found: int, near: PublishedSize) -> str:
    stated = shape.stated_parameters
    heads = shape.attention.num_heads
    return (
        f"approximate: weights are {stated:,} parameters as given; KV cache, activations and overheads are those of a "
        f"dense model of {shape.num_layers} layers, hidden size {shape.hidden_size}, {heads} heads and MLP width "
        f"{shape.intermediate_size}, after {near.name} ({near.source}), which has {found:,} parameters "
        f"({100 * (found - stated) / stated:+.1f} %)"
    )
