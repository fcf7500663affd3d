"""Where a trial gets its GPUs: free ones, or those of one replica, never of the only one."""

from __future__ import annotations

from typing import Any

import pytest

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.capacity.canary_room import CanaryRoom, canary_room
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.inventory import inventory
from model_factories import make_deployment
from plan_values import plan_with

NO_ROOM = "needs 8 free h100-sxm5-80gb on one node; the freest node h100-1 has 0 of 8"


@pytest.mark.parametrize(
    ("nodes", "running", "wanted", "gpus", "hardware", "room"),
    [
        pytest.param(3, 2, 1, 8, {}, CanaryRoom(replicas=1, replaces=0, limiting=""), id="a free node"),
        pytest.param(2, 2, 1, 8, {}, CanaryRoom(replicas=1, replaces=1, limiting=NO_ROOM), id="in place of a replica"),
        pytest.param(1, 1, 1, 8, {}, CanaryRoom(replicas=0, replaces=0, limiting=NO_ROOM), id="never of the only one"),
        pytest.param(
            4, 3, 2, 8, {},
            CanaryRoom(
                replicas=1, replaces=0,
                limiting="needs 2 times 8 free h100-sxm5-80gb on one node; there is room for 1: "
                "8 of 8 free on h100-4, 0 of 8 free on h100-1, 0 of 8 free on h100-2 and on 1 more",
            ),
            id="as many as fit",
        ),
        pytest.param(
            3, 2, 1, 8, {"maxGpusTotal": 16},
            CanaryRoom(
                replicas=1, replaces=1,
                limiting="with the canary 24 GPUs run and hardware.maxGpusTotal allows 16",
            ),
            id="a limit of GPUs",
        ),
        pytest.param(
            2, 1, 1, 8, {"maxCostPerHourUsd": "15.00"},
            CanaryRoom(
                replicas=0, replaces=0,
                limiting="with the canary 20.00 USD per hour are spent and hardware.maxCostPerHourUsd allows 15.00",
            ),
            id="a limit of money",
        ),
    ],
)  # fmt: skip
def test_canary_room(
    nodes: int, running: int, wanted: int, gpus: int, hardware: dict[str, Any], room: CanaryRoom
) -> None:
    names = [f"h100-{number}" for number in range(1, nodes + 1)]
    pods = [read_pod(gpu_pod(f"p-{name}", gpus=8, node=name)) for name in names[:running]]
    seen = inventory([read_node(gpu_node(name)) for name in names], pods)
    plan = plan_with(gpus=gpus)
    found = canary_room(make_deployment(hardware=hardware), plan, plan, seen, running=running, wanted=wanted)
    assert found == room


def test_more_gpus_than_a_replica_gives_are_waited_for() -> None:
    seen = inventory([read_node(gpu_node("h100-1"))], [read_pod(gpu_pod(name, gpus=4, node="h100-1")) for name in "ab"])
    found = canary_room(make_deployment(), plan_with(gpus=4), plan_with(gpus=8), seen, running=2, wanted=1)
    assert (found.replicas, found.replaces) == (0, 0)
