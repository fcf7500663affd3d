"""Several deployments on one cluster: who has room now, and who would have if their pods moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster_objects import A100_LABELS, gpu_node, gpu_pod
from deepseek_operator.api.v1alpha1 import Priority
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.fleet import place_fleet
from deepseek_operator.capacity.inventory import Inventory, inventory
from deepseek_operator.capacity.members import Member
from deepseek_operator.capacity.share_room import offers_of
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.units import GIB
from model_factories import make_deployment
from plan_values import plan_with
from share_nodes import mig_node

Row = tuple[str, int, int, int | None, int, tuple[str, ...], str]


def cluster(nodes: list[dict[str, Any]], pods: list[dict[str, Any]]) -> Inventory:
    return inventory([read_node(node) for node in nodes], [read_pod(pod) for pod in pods])


def own_pod(owner: str, name: str, gpus: int, node: str, resource: str = "nvidia.com/gpu") -> dict[str, Any]:
    labels = {"deepseek-operator.io/deployment": owner}
    return gpu_pod(name, gpus=gpus, node=node, namespace="chat", labels=labels, resource=resource)


def member(name: str, gpus: int, replicas: int, nodes: int = 1, **spec: object) -> Member:
    return Member(deployment=make_deployment(name, **spec), plan=plan_with(gpus=gpus, nodes=nodes), replicas=replicas)


def rows(members: list[Member], known: Inventory) -> list[Row]:
    found = place_fleet(members, known, seconds=5)
    return [
        (
            each.member.deployment.metadata.name,
            each.running,
            each.now,
            each.if_packed,
            each.more,
            each.nodes,
            each.reason,
        )
        for each in found.verdicts
    ]


def test_the_higher_priority_takes_the_last_gpus() -> None:
    known = cluster([gpu_node("a")], [])
    members = [member("batch", 4, 2, priority="Batch"), member("chat", 4, 1, priority="Critical")]
    assert rows(members, known) == [
        ("chat", 0, 1, 1, 1, ("a",), ""),
        ("batch", 0, 1, 1, 0, ("a",), "lost to deployments before it: alone it would have room for 2 more"),
    ]


def test_every_priority_has_its_turn_and_none_is_the_last() -> None:
    members = [member(f"d-{priority.value.lower()}", 1, 1, priority=priority) for priority in reversed(Priority)]
    found = place_fleet(members, cluster([gpu_node("a")], []), seconds=5).verdicts
    assert [each.member.deployment.spec.priority for each in found] == list(Priority)


def test_moving_own_pods_makes_room_that_is_not_there_now() -> None:
    """Two small replicas sit on a node each; on one node together they would leave the other to the large one."""
    pods = [own_pod("small", "small-1", 4, "a"), own_pod("small", "small-2", 4, "b")]
    known = cluster([gpu_node("a"), gpu_node("b")], pods)
    assert rows([member("large", 8, 1), member("small", 4, 2)], known) == [
        ("large", 0, 0, 1, 0, (), "fragmented: 1 of 1 replicas would fit if all of these were placed anew"),
        ("small", 2, 2, 2, 2, (), ""),
    ]


def test_pods_of_others_stay_where_they_are() -> None:
    known = cluster([gpu_node("a"), gpu_node("b")], [gpu_pod("x", gpus=1, node="a"), gpu_pod("y", gpus=1, node="b")])
    assert rows([member("large", 8, 1)], known) == [
        ("large", 0, 0, 0, 0, (), "needs 8 free h100-sxm5-80gb on one node; the freest node a has 7 of 8")
    ]


def test_a_group_takes_different_nodes() -> None:
    known = cluster([gpu_node("a"), gpu_node("b"), gpu_node("c")], [])
    assert rows([member("r1", 16, 2, nodes=2)], known) == [
        (
            "r1", 0, 1, 1, 0, ("a", "b"),
            "needs 2 times 8 free h100-sxm5-80gb on each of 2 nodes; there is room for 1: "
            "8 of 8 free on a, 8 of 8 free on b, 8 of 8 free on c",
        )
    ]  # fmt: skip


def test_nodes_of_another_product_or_selector_do_not_count() -> None:
    nodes = [gpu_node("a", labels=A100_LABELS), gpu_node("b", more_labels={"pool": "x"}), gpu_node("c")]
    known = cluster(nodes, [])
    found = rows([member("chat", 4, 3, hardware={"nodeSelector": {"pool": "x"}})], known)
    assert [row[:6] for row in found] == [("chat", 0, 2, 2, 0, ("b", "b"))]


@pytest.mark.parametrize(
    ("asked", "running", "more"),
    [(1, 0, 3), (4, 0, 0), (5, 0, 0), (1, 1, 3), (2, 1, 2), (4, 1, 0), (5, 1, 0)],
)
def test_more_replicas_are_besides_those_it_asks_for(asked: int, running: int, more: int) -> None:
    pods = [own_pod("chat", f"chat-{number}", 4, "a") for number in range(running)]
    (found,) = place_fleet([member("chat", 4, asked)], cluster([gpu_node("a"), gpu_node("b")], pods)).verdicts
    assert (found.running, found.now, found.more) == (running, min(asked, 4), more)


def test_a_group_that_takes_all_nodes_leaves_room_for_no_more() -> None:
    (found,) = place_fleet([member("r1", 16, 1, nodes=2)], cluster([gpu_node("a"), gpu_node("b")], [])).verdicts
    assert (found.now, found.more) == (1, 0)


def test_what_stays_free_is_told() -> None:
    found = place_fleet([member("chat", 4, 1)], cluster([gpu_node("a"), gpu_node("b")], []), seconds=5)
    assert (found.free_after, found.gap_percent) == ({"a": 4, "b": 8}, 0)


RACK = "example.com/rack"


def test_a_group_stays_in_its_domain_and_says_when_none_is_large_enough() -> None:
    racks = [gpu_node("a", more_labels={RACK: "1"}), gpu_node("b", more_labels={RACK: "2"}), gpu_node("c")]
    one = place_fleet([member("r1", 16, 1, nodes=2)], cluster(racks, []), seconds=5, domain_label=RACK).verdicts[0]
    assert (one.now, one.if_packed, one.reason) == (
        0, 0, "its domain is too small: no value of example.com/rack holds all nodes of one more replica"
    )  # fmt: skip
    racks.append(gpu_node("d", more_labels={RACK: "2"}))
    two = place_fleet([member("r1", 16, 1, nodes=2)], cluster(racks, []), seconds=5, domain_label=RACK).verdicts[0]
    assert (two.nodes, two.pins, two.reason) == (("b", "d"), (("b", "d"),), "")


SLICE = "nvidia.com/mig-1g.20gb"
MIG = GpuShare(mechanism=ShareMechanism.MIG, resource=SLICE, profile="1g.20gb", slices_per_gpu=4, memory_bytes=19 * GIB)


def on_share(name: str, replicas: int, share: GpuShare, priority: str = "Standard") -> Member:
    whole = member(name, 1, replicas, priority=priority)
    return replace(whole, plan=replace(whole.plan, share=share))


def test_slices_that_run_stay_and_the_higher_priority_is_packed_first() -> None:
    nodes = [mig_node("a", {"1g.20gb": 1}), mig_node("b", {"1g.20gb": 2})]
    pods = [own_pod("batch", f"batch-{node}", 1, node, SLICE) for node in ("a", "b")]
    members = [on_share("batch", 3, MIG, "Batch"), on_share("chat", 2, MIG, "Critical")]
    found = place_fleet(members, cluster(nodes, pods)).verdicts
    assert [(each.now, each.if_packed, each.pins) for each in found] == [
        (1, 2, (("a",), ("b",))),
        (2, 1, (("b",),)),
    ]
    assert found[0].reason == "fragmented: 2 of 2 replicas would fit if all of these were placed anew"


def test_what_kai_divides_is_not_packed() -> None:
    kai = GpuShare(mechanism=ShareMechanism.KAI, slices_per_gpu=2, memory_bytes=39 * GIB)
    (found,) = place_fleet([on_share("chat", 1, kai)], cluster([gpu_node("a")], [])).verdicts
    assert (found.if_packed, found.pins) == (None, ())


def test_a_gpu_is_promised_as_a_whole_or_in_parts_of_kai() -> None:
    node = gpu_node("a", gpus=2)
    known = replace(cluster([node], []), features=ClusterFeatures(kai=True))
    half = next(each.share for each in offers_of(known.nodes[0], known.features) if each.share.slices_per_gpu == 2)

    def placed(*members: Member) -> list[tuple[str, int]]:
        found = place_fleet(list(members), known, seconds=0)
        free = found.free_after["a"]
        return [*((each.member.deployment.metadata.name, each.now) for each in found.verdicts), ("free", free)]

    whole, halves = member("whole", 1, 2, priority="Critical"), on_share("halves", 4, half)
    assert placed(whole, halves) == [("whole", 2), ("halves", 0), ("free", 0)]
    assert placed(member("whole", 1, 1, priority="Critical"), halves) == [("whole", 1), ("halves", 2), ("free", 0)]
    first = on_share("halves", 3, half, "Critical")
    assert placed(first, member("whole", 1, 2)) == [("halves", 3), ("whole", 0), ("free", 0)]
    one = on_share("halves", 2, half, "Critical")
    assert placed(one, member("whole", 1, 2)) == [("halves", 2), ("whole", 1), ("free", 0)]


def test_a_share_is_promised_once() -> None:
    known = cluster([mig_node("a", {"1g.20gb": 1})], [])
    members = [on_share(name, 1, MIG) for name in ("first", "second")]
    found = place_fleet(members, known, seconds=5).verdicts
    assert [(each.now, each.more, each.nodes) for each in found] == [(1, 0, ("a",)), (0, 0, ())]
    assert found[1].reason == "lost to deployments before it: alone it would have room for 1 more"


def test_the_packing_names_the_node_of_each_replica_and_leaves_there_what_may_stay() -> None:
    pods = [own_pod("small", "small-1", 4, "a"), own_pod("small", "small-2", 4, "b")]
    found = place_fleet([member("large", 8, 1), member("small", 4, 2)], cluster([gpu_node("a"), gpu_node("b")], pods))
    pins = {each.member.deployment.metadata.name: each.pins for each in found.verdicts}
    ((large,),) = pins["large"]
    assert pins["small"] == (("b" if large == "a" else "a",),) * 2


def test_free_cpu_is_part_of_both_verdicts() -> None:
    offered = {"nvidia.com/gpu": "8", "cpu": "8", "memory": "2000Gi"}
    (found,) = place_fleet([member("chat", 4, 2)], cluster([gpu_node("a", allocatable=offered)], [])).verdicts
    assert (found.now, found.if_packed, found.more) == (1, 1, 0)
    assert "requests 6 CPU cores, and 1 of 1 nodes lacks them (a has 8 free)" in found.reason
