"""When a CapacityPlan is answered: not before every object was seen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cluster_objects import gpu_node
from deepseek_operator.api.capacity_plan import CAPACITY_KIND
from deepseek_operator.api.v1alpha1 import API_VERSION
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.errors import ClusterError
from deepseek_operator.handlers.capacity_plans import CapacityPlans
from deepseek_operator.handlers.observed import Observed
from spec_table import changed


class Writes:
    """A cluster that remembers what is written, and refuses the first writes.

    Args:
        refused: how many of them.
    """

    def __init__(self, refused: int = 0) -> None:
        self.summaries: list[str] = []
        self._refused = refused

    async def apply(self, manifest: dict[str, Any], *, subresource: str) -> dict[str, Any]:
        assert subresource == "status"
        if self._refused:
            self._refused -= 1
            raise ClusterError("not now")
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
        plans.expect({"uid-small"}, now=180.0)
        await plans.look("q", now=200.0)
        seen.append(list(writes.summaries))
        body = changed({})
        body["metadata"] |= {"uid": "uid-small", "namespace": "default", "resourceVersion": "1"}
        observed.put_deployment(body)
        await plans.look("q", now=220.0)
        seen.append(list(writes.summaries))
        return seen

    assert asyncio.run(told()) == [[], [], ["1 of 1 replicas fit now; 8 of 8 GPUs are free and 0 stranded"]]


def test_an_object_that_is_never_seen_is_waited_for_a_minute() -> None:
    async def told() -> list[str]:
        writes, nodes = Writes(), ClusterState()
        plans = CapacityPlans(writes, nodes, Observed())  # type: ignore[arg-type]  # only apply is called
        plans.put(question())
        plans.expect({"uid-gone"}, now=100.0)
        await plans.look("q", now=159.0)
        assert writes.summaries == []
        await plans.look("q", now=160.0)
        return writes.summaries

    assert asyncio.run(told()) == ["nothing was asked for; 0 of 0 GPUs are free and 0 stranded"]


def test_an_answer_that_could_not_be_written_is_written_at_the_next_look() -> None:
    async def told() -> list[str]:
        writes, nodes = Writes(refused=1), ClusterState()
        plans = CapacityPlans(writes, nodes, Observed())  # type: ignore[arg-type]  # only apply is called
        plans.put(question())
        plans.expect((), now=100.0)
        with pytest.raises(ClusterError, match="not now"):
            await plans.look("q", now=100.0)
        await plans.look("q", now=115.0)
        await plans.look("q", now=200.0)
        return writes.summaries

    assert asyncio.run(told()) == ["nothing was asked for; 0 of 0 GPUs are free and 0 stranded"]
