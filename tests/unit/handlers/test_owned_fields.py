"""Which fields of a stored object are ours with which values, against what a manifest would apply."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.handlers.owned_fields import manifest_digest, owned_digest

MANIFEST: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "r1", "namespace": "chat", "labels": {"a": "1"}},
    "spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}, {"port": 90, "protocol": "TCP"}], "empty": {}},
}

FIELDS: dict[str, Any] = {
    "f:metadata": {"f:labels": {"f:a": {}}},
    "f:spec": {
        "f:empty": {},
        "f:ports": {
            'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}},
            'k:{"port":90,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:protocol": {}},
        },
    },
}


def stored(fields: Any = FIELDS, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return the manifest as the API server would keep it: with defaults, other people's fields and the record."""
    return {
        **MANIFEST,
        "metadata": {
            **MANIFEST["metadata"],
            "uid": "u1",
            "labels": {"a": "1", "theirs": "2"},
            "managedFields": [
                {"manager": "deepseek-operator", "operation": "Apply", "fieldsV1": fields},
                {
                    "manager": "deepseek-operator",
                    "operation": "Apply",
                    "subresource": "status",
                    "fieldsV1": {"f:x": {}},
                },
                {"manager": "somebody", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {}}}},
            ],
        },
        "spec": {
            "type": "ClusterIP",
            "empty": {},
            "ports": [
                {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80},
                {"name": "theirs", "port": 85, "protocol": "TCP"},
                {"port": 90, "protocol": "TCP"},
            ],
            **spec,
        },
        "status": {"loadBalancer": {}},
    }


def fields_without(*path: str) -> dict[str, Any]:
    """Return the record as it is once somebody else has taken a field."""

    def cut(value: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        if len(names) == 1:
            return {key: inner for key, inner in value.items() if key != names[0]}
        return {**value, names[0]: cut(value[names[0]], names[1:])}

    return cut(FIELDS, path)


def test_defaults_and_fields_of_others_are_not_ours():
    assert owned_digest(stored()) == manifest_digest(MANIFEST)


PORTS = stored()["spec"]["ports"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(stored(fields_without("f:metadata", "f:labels", "f:a")), id="somebody took a label"),
        pytest.param(stored(fields_without("f:spec", "f:empty")), id="somebody took an empty field"),
        pytest.param(
            stored(fields_without("f:spec", "f:ports", 'k:{"port":90,"protocol":"TCP"}')), id="somebody took an item"
        ),
        pytest.param(stored({**FIELDS, "f:data": {}}), id="a field is ours and gone"),
        pytest.param(stored({**FIELDS, "f:status": {}}), id="one more field is ours"),
        pytest.param(stored(ports=PORTS[:2]), id="an item is ours and gone"),
        pytest.param(stored(ports=[{**PORTS[0], "name": "web"}, *PORTS[1:]]), id="a value was changed"),
        pytest.param(stored(ports=PORTS[::-1]), id="the items have another order"),
        pytest.param(stored(ports="80"), id="a list is none"),
        pytest.param(stored(ports=[80, 90]), id="items are no objects"),
        pytest.param(stored({**FIELDS, "f:spec": {"f:ports": {"i:0": {}}}}), id="a form that is not known"),
        pytest.param(stored({**FIELDS, "f:spec": {"f:ports": {"k:[": {}}}}), id="a damaged key"),
        pytest.param(stored({"f:metadata": {}}), id="all of a field is ours"),
        pytest.param({**MANIFEST, "metadata": {**MANIFEST["metadata"]}}, id="no record at all"),
    ],
)
def test_what_an_apply_would_change_is_told_apart(body: dict[str, Any]):
    assert owned_digest(body) != manifest_digest(MANIFEST)


def test_items_of_a_set_are_told_by_their_values():
    manifest = {**MANIFEST, "spec": {"finalizers": ["a", "b"]}}
    fields = {
        "f:metadata": {"f:labels": {"f:a": {}}},
        "f:spec": {"f:finalizers": {'v:"a"': {}, 'v:"b"': {}}},
    }
    assert owned_digest(stored(fields, finalizers=["a", "theirs", "b"])) == manifest_digest(manifest)
    assert owned_digest(stored(fields, finalizers=["a", "theirs"])) != manifest_digest(manifest)
    assert owned_digest(stored(fields, finalizers=[{}, "b"])) != manifest_digest(manifest)
