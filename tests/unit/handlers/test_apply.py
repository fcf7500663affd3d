"""Whose an object is that already has the name of a child."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.handlers.apply import is_ours

OURS = {"manager": "deepseek-operator", "operation": "Apply"}


@pytest.mark.parametrize(
    ("metadata", "ours"),
    [
        pytest.param({"ownerReferences": [{"uid": "u1"}]}, True, id="its owner is the object"),
        pytest.param({"ownerReferences": [{"uid": "u2"}], "managedFields": [OURS]}, False, id="it has another owner"),
        pytest.param({"managedFields": [OURS]}, True, id="an orphan that the operator wrote"),
        pytest.param({"managedFields": [{**OURS, "manager": "kubectl"}]}, False, id="somebody else wrote it"),
        pytest.param({"managedFields": [{**OURS, "subresource": "status"}]}, False, id="only its status is ours"),
        pytest.param({}, False, id="nothing is known about it"),
    ],
)
def test_an_object_is_ours_by_its_owner_or_by_who_wrote_it(metadata: dict[str, Any], ours: bool):
    assert is_ours({"metadata": metadata}, "u1") is ours
