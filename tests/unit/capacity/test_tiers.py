from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cluster_objects import H100_LABELS, gpu_node
from deepseek_operator.api.spec_hardware import Spot
from deepseek_operator.capacity.facts import read_node
from deepseek_operator.capacity.fits import fits_now
from deepseek_operator.capacity.inventory import Inventory, inventory
from deepseek_operator.capacity.node_price import PRICE_LABEL
from deepseek_operator.capacity.supply import supply
from deepseek_operator.capacity.tiers import RDMA_NETWORK_LABEL
from deepseek_operator.planner.choose import cheapest
from deepseek_operator.planner.entry import plan
from deepseek_operator.planner.node_pin import NodePin
from deepseek_operator.planner.request import GpuPool
from deepseek_operator.planner.result import Plan, Rdma
from model_factories import make_plan
from planner_values import CHAT_67B, request
from share_nodes import mig_node, single_mig_node

MEMORY_LABEL = "nvidia.com/gpu.memory"
ON_DEMAND = " and ".join(
    f"{key} notin ({value})"
    for key, value in (
        ("cloud.google.com/gke-preemptible", "true"),
        ("cloud.google.com/gke-spot", "true"),
        ("eks.amazonaws.com/capacityType", "SPOT"),
        ("karpenter.sh/capacity-type", "spot"),
        ("kubernetes.azure.com/scalesetpriority", "spot"),
    )
)
SPOT = {"karpenter.sh/capacity-type": "spot"}
NVIDIA = {key: value for key, value in H100_LABELS.items() if key != MEMORY_LABEL}


def node(
    name: str,
    price: str = "",
    *,
    memory: str = "81559",
    rdma: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
) -> dict[str, Any]:
    known = {**NVIDIA, **({MEMORY_LABEL: memory} if memory else {}), **(labels or {})}
    if price:
        known[PRICE_LABEL] = price
    return gpu_node(name, labels=known, allocatable={"nvidia.com/gpu": "8", "memory": "2000Gi", **(rdma or {})})


def inventory_of(*nodes: dict[str, Any]) -> Inventory:
    return inventory([read_node(each) for each in nodes], [])


def told(pool: GpuPool) -> tuple[int, str, str]:
    nodes = sum(count for _, count in pool.nodes_by_gpu_count)
    return nodes, str(pool.gpu.price_per_hour_usd), "" if pool.pin is None else str(pool.pin)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param([node("a", "2.10"), node("b", "2.10")], [(2, "2.10", "")], id="one price is one pool"),
        pytest.param([node("a", "2.10"), node("b", "2.1")], [(2, "2.10", "")], id="written in two ways"),
        pytest.param(
            [node("a", "2.10"), node("b", "3"), node("c", "3.99")],
            [(1, "2.10", f"{PRICE_LABEL} in (2.10)"), (2, "3", f"{PRICE_LABEL} in (2.10,3)"), (3, "3.99", "")],
            id="three prices by label",
        ),
        pytest.param(
            [node("a", "3.99"), node("b")],
            [(1, "1.99", f"!{PRICE_LABEL}"), (2, "3.99", "")],
            id="a price beside the catalogue's",
        ),
        pytest.param(
            [node("a", labels=SPOT), node("b")],
            [(1, "0.8", f"!{PRICE_LABEL} and karpenter.sh/capacity-type in (spot)"), (2, "1.99", "")],
            id="spot beside on demand",
        ),
        pytest.param(
            [node("a", "3.99"), node("b"), node("c", labels=SPOT)],
            [
                (1, "0.8", f"!{PRICE_LABEL} and karpenter.sh/capacity-type in (spot)"),
                (2, "1.99", f"!{PRICE_LABEL}"),
                (3, "3.99", ""),
            ],
            id="spot and on demand without a label, and one with it",
        ),
        pytest.param(
            [node("a", "0.50", labels=SPOT), node("b", "1.20"), node("c"), node("d", "1.80")],
            [
                (1, "0.50", f"{PRICE_LABEL} in (0.50)"),
                (2, "1.20", f"{PRICE_LABEL} in (0.50,1.20)"),
                (3, "1.80", f"{PRICE_LABEL} in (0.50,1.20,1.80)"),
                (4, "1.99", ""),
            ],
            id="the label wins over spot",
        ),
        pytest.param(
            [node("a", "free"), node("b", "3.99"), node("c")],
            [(2, "1.99", f"!{PRICE_LABEL} or {PRICE_LABEL} in (free)"), (3, "3.99", "")],
            id="a label that cannot be obeyed",
        ),
        pytest.param(
            [node("a", memory="81559"), node("b", memory="77000")],
            [(1, "1.99", f"{MEMORY_LABEL} > 81558"), (2, "1.99", "")],
            id="a smaller GPU",
        ),
        pytest.param(
            [node("a", memory=""), node("b", memory="77000")],
            [(1, "1.99", f"!{MEMORY_LABEL}"), (2, "1.99", "")],
            id="memory that no label tells",
        ),
        pytest.param(
            [node("a", "3.99"), node("b", memory="77000")],
            [
                (1, "3.99", f"{MEMORY_LABEL} > 81558"),
                (1, "1.99", f"!{PRICE_LABEL}"),
                (2, "3.99", ""),
            ],
            id="one is dearer and the other smaller",
        ),
    ],
)
def test_every_price_and_memory_makes_a_pool(nodes: list[dict[str, Any]], expected: list[tuple[int, str, str]]):
    assert [told(pool) for pool in supply(inventory_of(*nodes), spot=Spot.ALLOW).pools] == expected


def test_on_demand_nodes_at_the_lower_price_are_known_by_no_spot_label():
    labelled = node("a", "0.10", labels=SPOT)
    found = supply(inventory_of(labelled, node("b", "free", labels=SPOT), node("c", "free")), spot=Spot.ALLOW).pools
    assert [told(pool) for pool in found][1] == (
        2,
        "0.8",
        f"{PRICE_LABEL} in (0.10) or {PRICE_LABEL} in (free) and karpenter.sh/capacity-type in (spot)",
    )


def test_nodes_on_one_rdma_network_make_a_pool_without_a_label_where_pods_ask_for_its_devices():
    found = supply(inventory_of(node("a", rdma={"rdma/hca": "63"}), node("b"))).pools
    assert [(pool.rdma_resource, pool.pin, pool.left_out.apart) for pool in found] == [
        ("rdma/hca", None, 1),
        (None, None, 0),
    ]


def test_a_second_network_of_the_same_devices_is_told_apart_by_its_label():
    devices = {"rdma/hca": "63"}
    nodes = node("a", rdma=devices, labels={RDMA_NETWORK_LABEL: "fabric"}), node("b", rdma=devices)
    assert [told(pool)[2] for pool in supply(inventory_of(*nodes)).pools] == [
        f"{RDMA_NETWORK_LABEL} in (fabric)",
        f"!{RDMA_NETWORK_LABEL}",
        "",
    ]


SLICES = "nvidia.com/mig-1g.20gb.memory"


@pytest.mark.parametrize(
    ("nodes", "pin"),
    [
        pytest.param(
            [
                mig_node("a", {"1g.20gb": 4}, more_labels={SLICES: "20096"}),
                mig_node("b", {"1g.20gb": 4}, more_labels={SLICES: "20000"}),
            ],
            f"{SLICES} > 20095",
            id="mixed",
        ),
        pytest.param(
            [single_mig_node("a", **{MEMORY_LABEL: "9984"}), single_mig_node("b", **{MEMORY_LABEL: "9856"})],
            f"{MEMORY_LABEL} > 9983",
            id="single",
        ),
    ],
)
def test_smaller_slices_are_told_apart_by_the_label_of_their_memory(nodes: list[dict[str, Any]], pin: str):
    found = supply(inventory_of(*nodes)).pools
    assert [(told(pool)[0], told(pool)[2], pool.left_out.smaller) for pool in found] == [(1, pin, 1), (2, "", 0)]


BUDGET = request(CHAT_67B, max_cost_per_hour_usd=Decimal("12.00"))
CHEAP = [node("a", "2.10"), node("b", "2.10")]
DEAR = node("c", "12.29")


def test_a_limit_of_money_keeps_pods_off_dearer_nodes_and_says_so():
    found = inventory_of(*CHEAP, DEAR)
    answer = plan(BUDGET, supply(found))
    assert isinstance(answer, Plan)
    assert (str(answer.pin), answer.cost_per_hour_usd) == (f"{PRICE_LABEL} in (2.10)", Decimal("8.40"))
    assert answer.reasons[0].endswith(
        f" Its pods keep to 2 nodes ({PRICE_LABEL} in (2.10)), because 1 node costs more than 2.10 USD per GPU and "
        "hour; all would not do: 4 x h100-sxm5-80gb (TP4): 49.16 USD per hour at 1 replica against a limit of "
        "12.00 USD per hour."
    )
    assert fits_now(answer, found).count == 4


def test_where_all_nodes_keep_the_limits_pods_may_land_on_all_of_them():
    answer = plan(request(CHAT_67B), supply(inventory_of(*CHEAP, DEAR)))
    assert isinstance(answer, Plan)
    assert (answer.pin, answer.cost_per_hour_usd) == (None, Decimal("49.16"))


def test_of_many_prices_the_widest_that_keeps_the_limit_is_taken():
    prices = [node(f"n{index}", f"{2 + index / 10:.2f}") for index in range(20)]
    best = cheapest(BUDGET, supply(inventory_of(*prices)))
    assert best is not None
    assert (best.cost_per_hour_usd, best.candidate.pool.left_out.dearer) == (Decimal("12.00"), 9)


@pytest.mark.parametrize(
    ("changes", "left_out"),
    [
        pytest.param(
            {"pin": NodePin.read(f"{PRICE_LABEL} in (2.10)")},
            f"the plan keeps to nodes with {PRICE_LABEL} in (2.10) (1 node)",
            id="pin",
        ),
        pytest.param(
            {"rdma": Rdma(resource="rdma/hca", devices=1), "nodes_per_replica": 2, "gpus_per_replica": 8},
            "it does not offer 1 rdma/hca (3 nodes)",
            id="network",
        ),
    ],
)
def test_only_the_nodes_of_a_plan_have_room_for_it(changes: dict[str, Any], left_out: str):
    made = make_plan(**{"gpu": "h100-sxm5-80gb", **changes})
    room = fits_now(made, inventory_of(*CHEAP, DEAR), replicas=9)
    assert (room.count, room.limiting.rpartition("left out: ")[2]) == (4 if made.pin else 0, left_out)


def test_of_more_prices_than_are_looked_at_the_cheapest_stays() -> None:
    dear = [node(f"dear-{each:03d}", f"{5 + each / 100:.2f}") for each in range(80)]
    asked = request(CHAT_67B, max_cost_per_hour_usd=Decimal(10))

    found = cheapest(asked, supply(inventory_of(node("cheap", "1.00"), *dear)))

    assert found is not None
    assert found.candidate.pool.gpu.price_per_hour_usd == Decimal("1.00")


def test_a_plan_on_nodes_of_several_prices_names_the_cheapest() -> None:
    planned = plan(request(CHAT_67B), supply(inventory_of(node("cheap", "2.10"), node("dear", "12.29"))))

    assert isinstance(planned, Plan)
    assert any(
        "Its cheapest nodes cost 2.10 USD per GPU and hour; the dearest count, because pods may land there, unless "
        "maxCostPerHourUsd keeps them away." in reason
        for reason in planned.reasons
    )
