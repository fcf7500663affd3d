"""Which replicas have to move so that others find room: the fewest, in an order in which it can be done."""

from __future__ import annotations

from typing import Any

import pytest

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.inventory import Inventory, inventory
from deepseek_operator.capacity.members import Member
from deepseek_operator.capacity.move_rows import wanted_gpus
from deepseek_operator.capacity.report import fleet_report
from deepseek_operator.errors import InventoryError
from model_factories import make_deployment
from plan_values import plan_with


def own_pod(owner: str, number: int, gpus: int, node: str) -> dict[str, Any]:
    labels = {"deepseek-operator.io/deployment": owner}
    return gpu_pod(f"{owner}-{number}", gpus=gpus, node=node, namespace="chat", labels=labels)


def cluster(sizes: dict[str, int], *pods: dict[str, Any]) -> Inventory:
    nodes = [read_node(gpu_node(name, gpus=gpus)) for name, gpus in sizes.items()]
    return inventory(nodes, [read_pod(pod) for pod in pods])


def member(name: str, gpus: int, replicas: int, nodes: int = 1, **spec: object) -> Member:
    return Member(deployment=make_deployment(name, **spec), plan=plan_with(gpus=gpus, nodes=nodes), replicas=replicas)


def moves(
    members: list[Member], known: Inventory, free: dict[str, int] | None = None
) -> tuple[list[str], dict[str, int]]:
    """Return the steps as short texts, and who has room then."""
    wanted = [wanted_gpus(known, product, gpus) for product, gpus in (free or {}).items()]
    found = fleet_report(members, known, suggest=not free, free=wanted)["moves"]
    assert found["proven"]
    steps = [
        f"{row['pod']} {row['from']}->{row['to']}{' stop first' if row['stopFirst'] else ''}" for row in found["steps"]
    ]
    return steps, {row["name"]: row["replicas"] for row in found["makeRoomFor"]}


def test_one_move_makes_room_for_a_large_replica() -> None:
    known = cluster({"a": 8, "b": 8}, own_pod("small", 1, 4, "a"), own_pod("small", 2, 2, "b"))
    found = moves([member("large", 8, 1), member("small", 2, 2)], known)
    assert found == (["small-2 b->a"], {"large": 1})


def test_pods_of_others_stay_and_then_nothing_can_be_done() -> None:
    known = cluster({"a": 8, "b": 8}, gpu_pod("x", gpus=1, node="a"), gpu_pod("y", gpus=1, node="b"))
    assert moves([member("large", 8, 1)], known) == ([], {})


def test_the_fewest_moves_are_found_although_more_would_do_it_too() -> None:
    pods = [own_pod("one", number, 1, "a") for number in range(4)] + [own_pod("four", 1, 4, "b")]
    known = cluster({"a": 8, "b": 8, "c": 4}, *pods, gpu_pod("x", gpus=1, node="a"))
    found = moves([member("large", 8, 1), member("one", 1, 4), member("four", 4, 1)], known)
    assert found == (["four-1 b->c"], {"large": 1})


def test_a_chain_is_told_in_the_order_in_which_there_is_room() -> None:
    """The two-GPU replica must leave c before the four-GPU one fits there, which empties b."""
    known = cluster(
        {"a": 2, "b": 8, "c": 4}, own_pod("two", 1, 2, "c"), own_pod("four", 1, 4, "b"), gpu_pod("x", gpus=0, node="a")
    )
    found = moves([member("large", 8, 1), member("two", 2, 1), member("four", 4, 1)], known)
    assert found == (["two-1 c->a", "four-1 b->c"], {"large": 1})


def test_room_is_made_for_the_nodes_of_a_group() -> None:
    known = cluster({"a": 8, "b": 8, "c": 8}, own_pod("small", 1, 2, "a"), own_pod("small", 2, 2, "b"))
    steps, room_for = moves([member("group", 16, 1, nodes=2), member("small", 2, 2)], known)
    assert (len(steps), room_for) == (1, {"group": 1})


def test_who_is_more_important_gets_the_room() -> None:
    pods = [own_pod("small", 1, 4, "a"), own_pod("small", 2, 4, "b")]
    members = [member("batch", 8, 1, priority="Batch"), member("chat", 8, 1, priority="Critical")]
    _, room_for = moves([*members, member("small", 4, 2)], cluster({"a": 8, "b": 8}, *pods))
    assert room_for == {"chat": 1}


def test_gpus_are_freed_on_one_node_on_request() -> None:
    known = cluster({"a": 8, "b": 8}, own_pod("small", 1, 4, "a"), own_pod("small", 2, 2, "b"))
    found = moves([member("small", 2, 2)], known, {"h100-sxm5-80gb": 8})
    assert found == (["small-2 b->a"], {"8 free h100-sxm5-80gb": 1})


def test_room_that_is_there_takes_no_move() -> None:
    assert moves([], cluster({"a": 8}), {"h100-sxm5-80gb": 8}) == ([], {"8 free h100-sxm5-80gb": 1})


@pytest.mark.parametrize(("product", "gpus"), [("h100-sxm5-80gb", 9), ("h100-sxm5-80gb", 0), ("l40s", 1)])
def test_more_gpus_than_a_node_has_are_refused(product: str, gpus: int) -> None:
    instead = "write 1 to 8" if product.startswith("h100") else "write a product of the cluster: h100-sxm5-80gb"
    with pytest.raises(InventoryError, match=f"--free {product}={gpus}: no node has so many; {instead}"):
        wanted_gpus(cluster({"a": 8}), product, gpus)
