"""Room for an extra replica: beside what runs, inside the owner's limits."""

from __future__ import annotations

from typing import Any

import pytest

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.inventory import inventory
from deepseek_operator.capacity.surge import SurgeRoom, surge_room
from model_factories import make_deployment
from plan_values import plan_with

OWN = {"deepseek-operator.io/deployment": "deepseek-67b"}
NO_ROOM = "needs 8 free h100-sxm5-80gb on one node; the freest node h100-1 has 0 of 8"


def pod(name: str, node: str, *, own: bool = True, leaving: bool = False) -> dict[str, Any]:
    made = gpu_pod(name, gpus=8, node=node, namespace="chat", labels=OWN if own else {})
    if leaving:
        made["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return made


@pytest.mark.parametrize(
    ("pods", "hardware", "started", "room"),
    [
        pytest.param([pod("a", "h100-1")], {}, 0, SurgeRoom(fits=True, makes_room=True, limiting=""), id="a free node"),
        pytest.param(
            [pod("a", "h100-1"), pod("b", "h100-2")], {}, 0,
            SurgeRoom(fits=False, makes_room=True, limiting=NO_ROOM),
            id="own replicas everywhere: stopping one makes room",
        ),
        pytest.param(
            [pod("a", "h100-1", own=False), pod("b", "h100-2", own=False)], {}, 0,
            SurgeRoom(fits=False, makes_room=False, limiting=NO_ROOM),
            id="others everywhere: nothing makes room",
        ),
        pytest.param(
            [pod("a", "h100-1"), pod("b", "h100-2", own=False)], {}, 1,
            SurgeRoom(fits=False, makes_room=False, limiting=NO_ROOM),
            id="the new replica holds all that own replicas give",
        ),
        pytest.param(
            [pod("a", "h100-1"), pod("b", "h100-2", leaving=True)], {}, 0,
            SurgeRoom(fits=True, makes_room=True, limiting=""),
            id="what a leaving replica holds is as good as free",
        ),
        pytest.param(
            [pod("a", "h100-1")], {"maxGpusTotal": 8}, 0,
            SurgeRoom(
                fits=False, makes_room=True,
                limiting="an extra replica makes 16 GPUs and hardware.maxGpusTotal allows 8",
            ),
            id="a limit of GPUs",
        ),
        pytest.param(
            [pod("a", "h100-1")], {"maxCostPerHourUsd": "19.99"}, 0,
            SurgeRoom(
                fits=False, makes_room=True,
                limiting="an extra replica makes 20.00 USD per hour and hardware.maxCostPerHourUsd allows 19.99",
            ),
            id="a limit of money",
        ),
    ],
)  # fmt: skip
def test_surge_room(pods: list[dict[str, Any]], hardware: dict[str, Any], started: int, room: SurgeRoom) -> None:
    nodes = [read_node(gpu_node(name)) for name in ("h100-1", "h100-2")]
    seen = inventory(nodes, [read_pod(each) for each in pods])
    deployment = make_deployment(hardware=hardware)
    assert surge_room(deployment, plan_with(gpus=8), seen, running=1, started=started) == room
