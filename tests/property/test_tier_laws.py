"""Laws of the pools that leave out weaker nodes: a node more, however weak, takes away nothing that was there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cluster_objects import A100_LABELS, H100_LABELS, gpu_node
from deepseek_operator.api.spec_hardware import Spot
from deepseek_operator.capacity.facts import read_node
from deepseek_operator.capacity.fits import fits_now
from deepseek_operator.capacity.inventory import Inventory, inventory
from deepseek_operator.capacity.node_price import PRICE_LABEL
from deepseek_operator.capacity.pools import priced_at
from deepseek_operator.capacity.selection import why_excluded
from deepseek_operator.capacity.supply import supply
from deepseek_operator.capacity.tiers import RDMA_NETWORK_LABEL
from deepseek_operator.planner.choose import answers, cheapest
from deepseek_operator.planner.engine_features import EngineFeatures
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.price import ranking_price
from deepseek_operator.planner.request import GpuPool, PlanRequest, Quality, Sla, Workload
from deepseek_operator.planner.result import Plan
from planner_values import CHAT_7B, CHAT_67B, R1, request

LAWS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SPOT_LABEL = {"karpenter.sh/capacity-type": "spot"}


@st.composite
def nodes(draw: st.DrawFn) -> dict[str, Any]:
    """One GPU node: dear, cheap or unpriced, interruptible or not, large or small, with RDMA or without."""
    more: dict[str, str] = dict(draw(st.sampled_from([{}, SPOT_LABEL])))
    if price := draw(st.sampled_from(["", "", "1.00", "2.10", "3.99", "12.29", "free"])):
        more[PRICE_LABEL] = price
    if network := draw(st.sampled_from(["", "fabric-a", "fabric-b"])):
        more[RDMA_NETWORK_LABEL] = network
    gpus = draw(st.sampled_from([1, 4, 8, 8, 16]))
    labels = dict(draw(st.sampled_from([H100_LABELS, H100_LABELS, A100_LABELS])))
    memory = draw(st.sampled_from(["", "", "74000", "77000", "unknown"]))
    if memory == "unknown":
        del labels["nvidia.com/gpu.memory"]
    elif memory:
        labels["nvidia.com/gpu.memory"] = memory
    rdma = draw(st.sampled_from([{}, {"rdma/hca": "63"}, {"rdma/hca": "1"}, {"vpc.amazonaws.com/efa": "32"}]))
    host = draw(st.sampled_from(["2000Gi", "2000Gi", "64Gi", "0"]))
    return gpu_node(
        f"node-{draw(st.integers(0, 10**9))}",
        gpus=gpus,
        labels=labels,
        more_labels=more,
        allocatable={"nvidia.com/gpu": str(gpus), "memory": host, "cpu": "190", "pods": "110", **rdma},
    )


clusters = st.lists(nodes(), min_size=1, max_size=4, unique_by=lambda node: node["metadata"]["name"])
spots = st.sampled_from(Spot)
asked_for = st.builds(
    request,
    st.sampled_from([CHAT_67B, CHAT_7B, R1]),
    workload=st.builds(
        Workload,
        input_tokens=st.sampled_from([128, 2048]),
        output_tokens=st.sampled_from([64, 512]),
        max_context_tokens=st.sampled_from([2560, 4096]),
        concurrency=st.sampled_from([1, 8, 64, 200]),
    ),
    sla=st.none() | st.builds(Sla, ttft_milliseconds=st.integers(200, 20_000), tpot_milliseconds=st.integers(10, 300)),
    min_replicas=st.sampled_from([1, 1, 2]),
    max_replicas=st.integers(2, 4),
    quality=st.sampled_from([Quality.LOSSLESS, Quality.NEAR_LOSSLESS]),
    max_gpus_total=st.none() | st.integers(1, 64),
    max_cost_per_hour_usd=st.none() | st.integers(1, 200).map(Decimal),
    features=st.sampled_from([EngineFeatures(), EngineFeatures(), EngineFeatures(weight_offload_bytes=20 * 2**30)]),
)


def inventory_of(cluster: list[dict[str, Any]]) -> Inventory:
    return inventory([read_node(node) for node in cluster], [])


@LAWS
@given(asked_for, clusters, nodes(), spots)
def test_what_can_be_planned_still_can_when_any_node_is_added(
    asked: PlanRequest, cluster: list[dict[str, Any]], more: dict[str, Any], spot: Spot
):
    assume(more["metadata"]["name"] not in {node["metadata"]["name"] for node in cluster})
    before = cheapest(asked, supply(inventory_of(cluster), spot=spot))
    assume(before is not None)
    assert cheapest(asked, supply(inventory_of([*cluster, more]), spot=spot)) is not None


@LAWS
@given(asked_for, clusters, spots)
def test_what_is_cheapest_is_what_answers_first(asked: PlanRequest, cluster: list[dict[str, Any]], spot: Spot):
    available = supply(inventory_of(cluster), spot=spot)
    found = answers(asked, available)
    assert cheapest(asked, available) == (found[0].best if found else None)


@LAWS
@given(asked_for, clusters, nodes(), spots)
def test_a_limit_of_money_holds_wherever_the_pods_land(
    asked: PlanRequest, cluster: list[dict[str, Any]], more: dict[str, Any], spot: Spot
):
    assume(more["metadata"]["name"] not in {node["metadata"]["name"] for node in cluster})
    found = inventory_of([*cluster, more])
    answer = plan(replace(asked, max_cost_per_hour_usd=Decimal(60)), supply(found, spot=spot))
    assume(isinstance(answer, Plan))
    assert isinstance(answer, Plan)
    for node in found.nodes:
        if node.gpu is None or node.gpu.id != answer.gpu or why_excluded(node, {}, (), spot):
            continue
        if fits_now(answer, Inventory(nodes=(node,)), spot=spot).limiting.endswith("(1 node)"):
            continue
        each = priced_at(node, node.gpu).price_per_hour_usd
        assert each is not None
        assert each * answer.gpus_per_replica * asked.max_replicas <= 60


@LAWS
@given(asked_for, clusters, nodes(), spots)
def test_a_node_more_never_leaves_less_room_for_an_accepted_plan(
    asked: PlanRequest, cluster: list[dict[str, Any]], more: dict[str, Any], spot: Spot
):
    assume(more["metadata"]["name"] not in {node["metadata"]["name"] for node in cluster})
    accepted = plan(asked, supply(inventory_of(cluster), spot=spot))
    assume(isinstance(accepted, Plan))
    assert isinstance(accepted, Plan)
    room = fits_now(accepted, inventory_of(cluster), spot=spot)
    assert room.count >= accepted.replicas
    assert fits_now(accepted, inventory_of([*cluster, more]), spot=spot).count >= room.count


@settings(max_examples=200, deadline=None)
@given(st.lists(nodes(), min_size=1, max_size=7, unique_by=lambda node: node["metadata"]["name"]), spots)
def test_a_pool_counts_exactly_the_nodes_that_its_labels_admit_and_is_as_weak_as_they_are(
    cluster: list[dict[str, Any]], spot: Spot
):
    found = inventory_of(cluster)
    usable = [node for node in found.nodes if not why_excluded(node, {}, (), spot)]
    pools = supply(found, spot=spot).pools
    for pool in pools:
        inside = [node for node in usable if node.gpu is not None and node.gpu.id == pool.gpu.id]
        alike = [each for each in pools if each.gpu.id == pool.gpu.id]
        assert alike[-1].left_out.nodes == 0
        assert len(inside) == pool.left_out.nodes + sum(count for _, count in pool.nodes_by_gpu_count)
        if pool.left_out.apart:  # there pods also ask for the devices of the network
            inside = [node for node in inside if node.rdma_resource == pool.rdma_resource]
        inside = [node for node in inside if pool.pin is None or pool.pin.admits(node.labels)]
        assert Counter(node.allocatable_gpus for node in inside) == dict(pool.nodes_by_gpu_count)
        assert _facts(pool) == (
            max(ranking_price(priced_at(node, pool.gpu if node.gpu is None else node.gpu)) for node in inside),
            min(node.usable_memory_bytes or 0 for node in inside),
        )


def _facts(pool: GpuPool) -> tuple[Decimal, int]:
    return ranking_price(pool.gpu), pool.usable_memory_bytes
