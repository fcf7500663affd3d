"""Laws of object names: always legal, never shared by two owners of a namespace."""

from __future__ import annotations

import re

from hypothesis import assume, example, given
from hypothesis import strategies as st

from deepseek_operator.resources.names import common_labels, object_name, selector_labels

DNS_1035_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

owners = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?){0,6}", fullmatch=True)
suffixes = st.sampled_from(["", "plan", "cache"])


@given(owners, suffixes)
@example("0" * 253, "plan")
@example("a-." * 84 + "a", "")
def test_names_are_labels_that_every_kind_accepts(owner: str, suffix: str) -> None:
    assert DNS_1035_LABEL.fullmatch(object_name(owner, suffix))
    values = {**common_labels(owner), **selector_labels(owner)}.values()
    assert all(LABEL_VALUE.fullmatch(value) for value in values)


@given(owners, owners, suffixes)
def test_two_owners_never_share_a_child(one: str, other: str, suffix: str) -> None:
    assume(one != other)
    assert object_name(one, suffix) != object_name(other, suffix)


@given(owners)
def test_an_owner_that_is_called_like_a_made_name_gets_another_one(owner: str) -> None:
    made = object_name(owner)
    assume(made != owner)
    assert object_name(made) != made
