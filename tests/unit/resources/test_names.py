"""Names and labels of children."""

from __future__ import annotations

import re

import pytest

from deepseek_operator.resources import names
from deepseek_operator.resources.names import (
    Owner,
    metadata,
    object_name,
    owner_reference,
    selector_labels,
    selector_text,
)

SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""Source: Kubernetes "Object Names and IDs", RFC 1035 label names."""


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        pytest.param("deepseek-67b", "deepseek-67b", id="a legal name is kept"),
        pytest.param("a" * 63, "a" * 63, id="63 characters are the most"),
        pytest.param("a" * 64, "a" * 51 + "-hffe054fe7a", id="a longer name is cut and marked"),
        pytest.param("67b", "m-67b-h45d7d62800", id="a Service name begins with a letter"),
        pytest.param("v3.2", "v3-2-h93e77718a3", id="a dot is no part of a label"),
    ],
)
def test_object_names(owner: str, name: str) -> None:
    assert object_name(owner) == name
    assert SERVICE_NAME.fullmatch(object_name(owner))


def test_a_name_that_looks_marked_is_marked_again() -> None:
    marked = object_name("v3.2")
    assert object_name(marked) != marked


def test_the_owner_reference_lets_the_garbage_collector_delete_the_child() -> None:
    assert owner_reference(Owner(name="r1", namespace="chat", uid="u-1")) == {
        "apiVersion": "deepseek-operator.io/v1alpha1",
        "kind": "DeepSeekDeployment",
        "name": "r1",
        "uid": "u-1",
        "controller": True,
        "blockOwnerDeletion": True,
    }


def test_the_selector_is_part_of_no_childs_own_labels_except_pods() -> None:
    labels = metadata(Owner(name="r1", namespace="chat"))["labels"]
    assert labels == {
        "app.kubernetes.io/name": "deepseek-model",
        "app.kubernetes.io/instance": "r1",
        "app.kubernetes.io/component": "engine",
        "app.kubernetes.io/part-of": "deepseek-operator",
        "app.kubernetes.io/managed-by": "deepseek-operator",
        "deepseek-operator.io/deployment": "r1",
    }
    assert selector_labels("r1") == {"deepseek-operator.io/deployment": "r1", "deepseek-operator.io/role": "leader"}
    assert selector_text("r1") == "deepseek-operator.io/deployment=r1,deepseek-operator.io/role=leader"


def test_we_are_the_same_manager_everywhere() -> None:
    from deepseek_operator import cluster

    assert names.FIELD_MANAGER == cluster.FIELD_MANAGER
