"""The operator's capacity metrics and page, from nodes, pods and objects with an accepted plan."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.api.plan_status import plan_status
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.handlers.capacity_view import CapacityView
from deepseek_operator.handlers.observed import Observed
from deepseek_operator.metrics import Metrics
from deepseek_operator.resources.names import LABEL_DEPLOYMENT
from model_factories import make_plan
from spec_table import changed

H100 = "h100-sxm5-80gb"


def planned(name: str, replicas: int) -> dict[str, Any]:
    body = changed({})
    body["metadata"] = {"name": name, "namespace": "team", "uid": f"uid-{name}", "resourceVersion": "1"}
    plan = make_plan(gpu=H100)
    return body | {"status": {"plan": plan_status(plan), "scaling": {"desiredReplicas": replicas}}}


class View:
    """A view of two nodes, one of them cordoned, as the operator holds it; must be made inside an event loop."""

    def __init__(self) -> None:
        self.nodes, self.observed, self.metrics = ClusterState(), Observed(), Metrics(CollectorRegistry())
        self.nodes.set_node(gpu_node("a"))
        self.nodes.set_node(gpu_node("b", unschedulable=True))
        self.nodes.set_pod(gpu_pod("one", gpus=4, node="a", namespace="team", labels={LABEL_DEPLOYMENT: "one"}))
        self.observed.put_deployment(planned("one", 1))
        self.view = CapacityView(self.nodes, self.observed, self.metrics)

    def sample(self, metric: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"deepseek_operator_{metric}", labels)

    def gpus(self) -> dict[str, float | None]:
        return {state: self.sample("cluster_gpus", gpu=H100, state=state) for state in STATES}


STATES = ("used", "free", "unusable", "stranded")


def test_gpus_by_product_and_who_fits() -> None:
    async def told() -> View:
        view = View()
        await view.view.look()
        return view

    view = asyncio.run(told())
    assert view.gpus() == {"used": 4, "free": 4, "unusable": 8, "stranded": 8}
    assert view.sample("placeable_replicas", namespace="team", name="one") == 1
    assert view.sample("cluster_cost_usd_per_hour", gpu=H100) == 31.84


def test_what_is_stranded_stays_until_it_is_counted_again() -> None:
    async def told() -> View:
        view = View()
        await view.view.look()
        view.nodes.set_pod(gpu_pod("two", gpus=1, node="a"))
        await view.view.look()  # within the five minutes
        return view

    view = asyncio.run(told())
    assert (view.gpus()["used"], view.gpus()["stranded"]) == (5, 8)


def test_a_product_that_is_gone_is_told_no_more() -> None:
    async def told() -> View:
        view = View()
        await view.view.look()
        view.nodes.remove_node("a")
        view.nodes.remove_node("b")
        await view.view.look()
        return view

    view = asyncio.run(told())
    assert view.gpus() == dict.fromkeys(STATES)
    assert view.sample("cluster_cost_usd_per_hour", gpu=H100) is None


def test_the_page_is_made_when_it_was_asked_for() -> None:
    async def pages() -> tuple[bytes | None, bytes | None, bytes | None]:
        view = View().view
        await view.look()
        first = view.page()  # asks
        await asyncio.sleep(0)  # the loop takes the question in
        await view.look()
        second = view.page()
        await view.look()
        return first, second, view.page()

    first, second, third = asyncio.run(pages())
    assert first is None
    assert second is not None
    assert b'data-by="team/one"' in second
    assert third is second  # made once for everybody who asks within some seconds
