"""Laws of legal splits: what shares a scale is never parted, and only what would be is refused for it."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.catalog import known_formats
from deepseek_operator.catalog.linear_formats import SIXTEEN_BIT, LinearFormat
from deepseek_operator.catalog.shapes import GroupedQueryAttention, ModelShape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.parallelism import illegal, legal_tensors

HEADS = 64

formats = st.one_of(
    st.sampled_from([32, 64, 128]).map(lambda group: known_formats.packed_integers(4, group, zero_points=True)),
    st.sampled_from([32, 64, 128]).map(lambda group: known_formats.gptq(4, group)),
    st.just(known_formats.nvfp4()),
    st.just(known_formats.microscaling(4)),
)
widths = st.integers(1, 400).flatmap(lambda count: st.sampled_from([16, 32, 64, 128]).map(lambda unit: count * unit))
tensors = st.sampled_from([1, 2, 4, 8, 16, 32, 64])


def dense(intermediate_size: int, head_dim: int) -> ModelShape:
    """Return a dense model of 64 heads whose heads and vocabulary every drawn tensor size divides."""
    return ModelShape(
        architecture="LlamaForCausalLM",
        model_type="llama",
        num_layers=2,
        hidden_size=4096,
        vocab_size=102_400,
        max_position_embeddings=4096,
        intermediate_size=intermediate_size,
        tie_word_embeddings=False,
        attention=GroupedQueryAttention(num_heads=HEADS, num_kv_heads=HEADS, head_dim=head_dim),
    )


@given(widths, st.sampled_from([32, 64, 96, 128]), formats, tensors)
def test_a_split_is_legal_exactly_when_every_rank_has_whole_groups(
    intermediate_size: int, head_dim: int, linear: LinearFormat, tensor: int
):
    assert linear.group_columns is not None
    model = dense(intermediate_size, head_dim)
    groups = [Fraction(width, tensor * linear.group_columns) for width in (intermediate_size, HEADS * head_dim)]
    whole = all(count.denominator == 1 for count in groups)
    assert (illegal(model, Parallelism(tensor=tensor), linear=linear) == "") is whole
    assert (tensor in legal_tensors(model, linear=linear)) is whole


@given(widths, formats, tensors)
def test_quantizing_in_groups_never_allows_a_split_that_16_bits_do_not(
    intermediate_size: int, linear: LinearFormat, tensor: int
):
    model, split = dense(intermediate_size, 128), Parallelism(tensor=tensor)
    if not illegal(model, split, linear=linear):
        assert illegal(model, split, linear=SIXTEEN_BIT) == ""
