"""Laws of the user's own flags: no spelling of a flag that has an owner gets past, and none of the others is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.catalog.engines import engine_flags
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.resources.extra_args import merged_args
from deepseek_operator.resources.reserved_flags import RESERVED_FLAGS

RELEASE = "0.32.0"
FLAGS = engine_flags("vllm", RELEASE)
PLANNED = ["a/model", "--tensor-parallel-size=4", "--max-model-len=4096"]
OWNED = sorted(name for name, spec in FLAGS.items() if spec.names[0] in RESERVED_FLAGS)
FREE = sorted(name for name, spec in FLAGS.items() if spec.names[0] not in RESERVED_FLAGS)

values = st.sampled_from(["", "=", "=9", "=true", '={"a":1}', ".x=9", ".x.y", ".x+=9"])


@st.composite
def spellings(draw: st.DrawFn, names: list[str]) -> str:
    """Return a flag with some hyphens as underscores, as the engine takes them."""
    name = draw(st.sampled_from(names))
    return "--" + "".join(draw(st.sampled_from("-_")) if letter == "-" else letter for letter in name[2:])


@given(spellings(OWNED), values, st.lists(st.sampled_from(["9", "-1", "x"]), max_size=2))
def test_no_spelling_of_an_owned_flag_gets_past(flag: str, value: str, more: list[str]) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        merged_args(PLANNED, [flag + value, *more], FLAGS, RELEASE)
    assert flag in str(caught.value)


@given(st.sampled_from(OWNED), st.data())
def test_no_abbreviation_of_an_owned_flag_gets_past(flag: str, data: st.DataObject) -> None:
    """The engine's parser takes unambiguous beginnings; here they are no flags, or other flags in full."""
    short = flag[: data.draw(st.integers(3, len(flag)))]
    if short in FREE:
        return
    with pytest.raises(InvalidSpecError):
        merged_args(PLANNED, [f"{short}=9"], FLAGS, RELEASE)


def outcome(words: list[str]) -> list[str] | str:
    """Return the arguments with the user's added, or why they are refused."""
    try:
        return merged_args(PLANNED, words, FLAGS, RELEASE)
    except InvalidSpecError as error:
        return str(error)


@given(spellings(FREE), st.sampled_from(["1", "x"]))
def test_a_free_flag_is_added_in_the_engines_spelling_or_refused_by_name(flag: str, value: str) -> None:
    name = flag.replace("_", "-")
    words = [flag] if FLAGS[name].is_switch else [f"{flag}={value}"]
    found = outcome(words)
    if isinstance(found, str):
        assert (flag in found, bool(FLAGS[name].choices)) == (True, True)
    else:
        assert found == [*PLANNED, *(word.replace(flag, name, 1) for word in words)]


@given(st.lists(st.text(min_size=1, max_size=20), max_size=4))
def test_any_words_are_added_or_refused_in_one_sentence(words: list[str]) -> None:
    found = outcome(words)
    assert len(found) < 700 if isinstance(found, str) else found[: len(PLANNED)] == PLANNED
