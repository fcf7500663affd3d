"""When a CapacityPlan is answered: not before every object was seen."""

from __future__ import annotations

import asyncio
from typing import Any

from cluster_objects import gpu_node
from deepseek_operator.api.capacity_plan import CAPACITY_KIND
from deepseek_operator.api.v1alpha1 import API_VERSION
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.handlers.capacity_plans import CapacityPlans
from deepseek_operator.handlers.observed import Observed
from spec_table import changed


class Writes:
    """A cluster that remembers what is written."""

    def __init__(self) -> None:
        self.summaries: list[str] = []

    async def apply(self, manifest: dict[str, Any], *, subresource: str) -> dict[str, Any]:
        assert subresource == "status"
        self.summaries.append(manifest["status"]["summary"])
        metadata = {**manifest["metadata"], "generation": 1}
        return {**manifest, "metadata": metadata}


def question() -> dict[str, Any]:
    metadata = {"name": "q", "uid": "uid-q", "generation": 1}
    return {"apiVersion": API_VERSION, "kind": CAPACITY_KIND, "metadata": metadata, "spec": {}}


def test_nothing_is_answered_before_every_object_was_seen() -> None:
    async def told() -> list[list[str]]:
        writes, nodes, observed = Writes(), ClusterState(), Observed()
        nodes.set_node(gpu_node("a"))
        plans = CapacityPlans(writes, nodes, observed)  # type: ignore[arg-type]  # only apply is called
        plans.put(question())
        seen = []
        await plans.look("q", now=100.0)
        seen.append(list(writes.summaries))
        plans.expect({"uid-small"})
        await plans.look("q", now=200.0)
        seen.append(list(writes.summaries))
        body = changed({})
        body["metadata"] |= {"uid": "uid-small", "namespace": "default", "resourceVersion": "1"}
        observed.put_deployment(body)
        await plans.look("q", now=300.0)
        seen.append(list(writes.summaries))
        return seen

    assert asyncio.run(told()) == [[], [], ["1 of 1 replicas fit now; 8 of 8 GPUs are free and 0 stranded"]]
