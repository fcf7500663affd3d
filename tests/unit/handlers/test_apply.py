"""Whose an object is that already has the name of a child, and what is said of children that others have changed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deepseek_operator.errors import ClusterError
from deepseek_operator.handlers.apply import Applier, is_ours
from deepseek_operator.handlers.observed import Observed

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


class StoringCluster:
    """Stores what is applied as its manager's own, and refuses what it is told to refuse."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.version = 0

    async def apply(self, manifest: dict[str, Any], *, force: bool = True) -> dict[str, Any]:
        if manifest["kind"] in self.refused:
            raise ClusterError(f"{manifest['kind']} is refused")
        return self.stored(manifest, "f:spec")

    def stored(self, manifest: dict[str, Any], owned: str) -> dict[str, Any]:
        """Return a manifest as the API server would, with the fields of its manager."""
        self.version += 1
        metadata = {
            **manifest["metadata"],
            "uid": manifest["kind"],
            "resourceVersion": str(self.version),
            "managedFields": [{**OURS, "fieldsV1": {owned: {}}}],
        }
        return {**manifest, "metadata": metadata}


def manifest(kind: str) -> dict[str, Any]:
    owner = {"kind": "DeepSeekDeployment", "uid": "u1", "controller": True, "name": "chat"}
    return {"kind": kind, "metadata": {"namespace": "team", "name": "chat", "ownerReferences": [owner]}, "spec": {}}


def test_an_edit_is_told_once_though_a_later_child_is_refused():
    async def scenario() -> None:
        cluster, observed = StoringCluster(), Observed()
        applier = Applier(cluster, observed)  # type: ignore[arg-type]  # only what it applies with
        both = [manifest("Service"), manifest("Deployment")]
        await applier.apply("u1", both)
        assert applier.undone("u1") == []

        for each in both:
            observed.put_child(cluster.stored(each, "f:metadata"))
        cluster.refused.add("Deployment")
        with pytest.raises(ClusterError):
            await applier.apply("u1", both)
        cluster.refused.clear()
        await applier.apply("u1", both)
        assert applier.undone("u1") == [("Service", "chat"), ("Deployment", "chat")]
        assert applier.undone("u1") == []

    asyncio.run(scenario())
