"""JSON that nests too deep is refused while it is read, whatever its strings hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.cli.facts_stream import read_file
from deepseek_operator.cli.nesting import MOST_LEVELS, Nesting
from deepseek_operator.errors import InventoryError

values = st.recursive(
    st.text(alphabet='[]{}"\\a\n', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
)


@given(values, st.integers(min_value=1, max_value=7))
def test_brackets_in_strings_count_for_nothing(value: object, size: int) -> None:
    text = json.dumps(value, ensure_ascii=False).encode()
    nesting = Nesting()
    assert all(nesting.within(text[place : place + size]) for place in range(0, len(text), size))
    assert nesting.within(b"[" * MOST_LEVELS)  # all that was opened is closed again
    assert not nesting.within(b"[")


@pytest.mark.parametrize(
    "body",
    [
        "[" * 200_000,
        '{"a":' * 100_000,
        '{"kind":"Node","metadata":{"name":"a","labels":' + '{"a":' * 50_000,
        '{"a": "' + "[" * 5000 + '", "b": ' + "[" * 2000,
    ],
)
def test_a_deep_file_is_one_line(tmp_path: Path, body: str) -> None:
    file = tmp_path / "deep.json"
    file.write_text('{"kind":"List","items":[' + body)
    with pytest.raises(InventoryError, match="it nests more than 1,000 levels deep"):
        read_file(file)


@pytest.mark.parametrize("character", ["a", '\\"'])
def test_a_text_without_an_end_is_one_line(tmp_path: Path, character: str) -> None:
    file = tmp_path / "cluster.json"
    file.write_text('{"kind": "List", "items": [{"kind": "Node", "metadata": {"name": "' + character * 6_000_000)
    with pytest.raises(InventoryError, match="it holds a text of more than 4 MiB, larger than any object"):
        read_file(file)
