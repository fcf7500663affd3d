"""A model of which only the size is known: exact in its weights, near in its widths, refused when impossible."""

from __future__ import annotations

import pytest

from deepseek_operator.catalog.generic_model import (
    GivenWidths,
    generic_model,
    parse_parameters,
    published_sizes,
)
from deepseek_operator.catalog.linear_formats import LinearFormat
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.tensors import Component
from deepseek_operator.memory.weights import checkpoint_bytes, parameter_counts, stage_weights


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("13e9", 13_000_000_000),
        ("13B", 13_000_000_000),
        (" 671b ", 671_000_000_000),
        ("1.5B", 1_500_000_000),
        ("1.6T", 1_600_000_000_000),
        ("350M", 350_000_000),
        ("7000000000", 7_000_000_000),
        ("1.3e+9", 1_300_000_000),
    ],
)
def test_a_number_of_parameters_is_read_as_people_write_it(text: str, parameters: int):
    assert parse_parameters(text) == parameters


@pytest.mark.parametrize("text", ["", "B", "13 B", "NaN", "inf", "-13B", "0x10", "13e9B", "1e-3", "1_000", "\u0661B"])
def test_what_is_no_number_is_refused(text: str):
    with pytest.raises(InvalidSpecError) as refused:
        parse_parameters(text)
    assert str(refused.value) == f"parameters: {text!r} is no number of parameters; write 13e9, 13B or 1.6T"


@pytest.mark.parametrize("text", ["0", "1e30", "7", "1e99", "99M", "101T", "99999999999999999999T"])
def test_what_no_model_has_is_refused(text: str):
    with pytest.raises(InvalidSpecError) as refused:
        parse_parameters(text)
    assert str(refused.value) == (
        f"parameters: {text!r} is not between 100M and 100T parameters; write 13e9, 13B or 1.6T"
    )


@pytest.mark.parametrize(
    ("parameters", "widths"),
    [
        pytest.param(7_000_000_000, (32, 4096, 32, 11_648), id="7B"),
        pytest.param(13_000_000_000, (40, 5120, 40, 13_824), id="13B"),
        pytest.param(33_000_000_000, (60, 6656, 52, 18_304), id="33B"),
        pytest.param(65_000_000_000, (80, 8192, 64, 21_888), id="65B"),
        pytest.param(70_000_000_000, (80, 8192, 64, 24_384), id="70B"),
        pytest.param(175_000_000_000, (96, 12_288, 96, 32_896), id="175B"),
        pytest.param(671_000_000_000, (133, 20_480, 128, 54_656), id="671B"),
    ],
)
def test_widths_follow_the_published_families(parameters: int, widths: tuple[int, int, int, int]):
    shape = generic_model(parameters).shape
    assert (shape.num_layers, shape.hidden_size, shape.attention.num_heads, shape.intermediate_size) == widths


@pytest.mark.parametrize(
    ("bits", "scales", "total_bytes"),
    [
        pytest.param(32, 0, 52_000_000_000, id="FP32"),
        pytest.param(16, 0, 26_000_000_000, id="FP16"),
        pytest.param(8, 0, 13_000_000_000, id="INT8"),
        pytest.param(4, 20, 6_753_906_250, id="AWQ"),
    ],
)
def test_weights_are_the_stated_number_times_the_bits(bits: int, scales: int, total_bytes: int):
    shape = generic_model(13_000_000_000).shape
    linear = LinearFormat(weight_bits=bits, group_rows=1, group_columns=128, scale_bits=scales)
    (rank,) = stage_weights(shape, Parallelism(), linear)
    assert rank.by_component == ((Component.STATED_PARAMETERS, total_bytes),)


def test_shares_of_stages_and_ranks_sum_to_the_model():
    shape = generic_model(13_000_000_000).shape
    ranks = stage_weights(shape, Parallelism(tensor=4, pipeline=3))
    assert [rank.total_bytes for rank in ranks] == [2_112_500_000, 2_275_000_000, 2_112_500_000]
    assert 4 * sum(rank.total_bytes for rank in ranks) == checkpoint_bytes(shape) == 26_000_000_000
    assert parameter_counts(shape) == {Component.STATED_PARAMETERS: 13_000_000_000}


def test_given_widths_are_kept():
    given = GivenWidths(
        num_hidden_layers=60, hidden_size=5120, num_attention_heads=40, num_key_value_heads=8, vocab_size=100_000
    )
    shape = generic_model(13_000_000_000, given).shape
    found = (shape.num_layers, shape.hidden_size, shape.attention.num_heads, shape.vocab_size)
    assert found == (60, 5120, 40, 100_000)
    assert shape.attention.num_kv_heads == 8


def test_layers_are_solved_when_the_mlp_is_given():
    shape = generic_model(13_000_000_000, GivenWidths(hidden_size=4096, intermediate_size=11_008)).shape
    assert (shape.num_layers, shape.attention.num_heads) == (63, 32)


def test_the_approximation_is_said():
    assert generic_model(13_000_000_000).approximation == (
        "approximate: weights are 13,000,000,000 parameters as given; KV cache, activations and overheads are those of "
        "a dense model of 40 layers, hidden size 5120, 40 heads and MLP width 13824, after LLaMA 13B (Touvron et al. "
        "2023 (arXiv 2302.13971), table 2; config.json of the released weights), which has 13,015,864,320 parameters "
        "(+0.1 %)"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (GivenWidths(num_hidden_layers=0), "layers: 0 is no number from 1 to 10,000"),
        (GivenWidths(hidden_size=-1), "hidden-size: -1 is no number from 1 to 1,048,576"),
        (GivenWidths(hidden_size=5000), "hidden-size: 5000 is no multiple of 64; give --num-attention-heads as well"),
        (GivenWidths(num_attention_heads=41), "num-attention-heads: 41 do not divide the hidden size 5120"),
        (GivenWidths(num_key_value_heads=3), "num-key-value-heads: 3 do not divide the 40 attention heads"),
        (GivenWidths(hidden_size=65_536), "parameters: are fewer than attention and embeddings of these widths have; "
         "give smaller ones"),
        (GivenWidths(num_hidden_layers=40, intermediate_size=1024), "parameters: 13,000,000,000 contradict the widths, "
         "which give 5,151,544,320; leave out --intermediate-size or --layers"),
        (GivenWidths(hidden_size=64), "parameters: would need 243,478 layers of these widths, more than 50,000; give a "
         "larger --hidden-size or --intermediate-size"),
    ],
)  # fmt: skip
def test_widths_that_cannot_be_are_refused(given: GivenWidths, message: str):
    with pytest.raises(InvalidSpecError) as refused:
        generic_model(13_000_000_000, given)
    assert str(refused.value) == message


def test_every_published_size_is_met_by_its_own_widths():
    for row in published_sizes():
        shape = generic_model(row.parameters).shape
        assert (shape.num_layers, shape.hidden_size) == (row.num_hidden_layers, row.hidden_size)
        assert abs(shape.intermediate_size - row.intermediate_size) <= 0.04 * row.intermediate_size, row.name
