"""Pods as scaling sees them: who serves, who waits for GPUs, and how long starts took; also in groups."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.scaling_facts import Key, RememberedScalingFacts
from deepseek_operator.handlers.scaling_view import (
    LONGEST_START_SECONDS,
    measured_object,
    snapshot,
    start_seconds,
    waiting_since,
    without_gpus,
)
from deepseek_operator.scaling.readings import Readings
from deepseek_operator.scaling.signals import Availability, Signal
from scaled_cluster import START, ScaledCluster, text


def pod(
    number: int, *, group: int | None = None, node: str = "n", ready: float | None = 90.0, **more: object
) -> PodState:
    return PodState(
        name=f"pod-{number}",
        uid=f"uid-{number}",
        node=node,
        phase="Running" if node else "Pending",
        ready=bool(node) and ready is not None,
        deleting=False,
        waiting_reason="",
        waiting_message="",
        group=group,
        created=text(START),
        placed_since=text(START, 30.0) if node else "",
        ready_since=text(START, ready) if node and ready is not None else "",
        **more,  # type: ignore[arg-type] - keywords are the fields of a pod
    )


GROUPS = [
    pod(0, group=0, ready=200.0),
    pod(1, group=0, ready=90.0, leads=False),
    pod(2, group=1),
    pod(3, group=1, node=""),
]


@pytest.mark.parametrize(
    ("pods", "size", "waiting"),
    [
        pytest.param([pod(0), pod(1, node="")], 1, 2, id="one has no node and one no pod"),
        pytest.param([pod(0), pod(1, ready=None), pod(2)], 1, 0, id="one starts"),
        pytest.param(GROUPS, 2, 2, id="half a group waits as a whole"),
    ],
)
def test_replicas_without_a_node_wait_for_gpus(pods: list[PodState], size: int, waiting: int):
    assert without_gpus(3, pods, size) == waiting


def test_starts_are_counted_from_the_node_or_with_the_wait_for_it():
    pods = [pod(0), pod(1, ready=None), pod(2, restarts=1), pod(3, ready=LONGEST_START_SECONDS + 31)]
    assert start_seconds(pods, 1, with_nodes=False) == {"uid-0": 60.0}
    assert start_seconds(pods, 1, with_nodes=True)["uid-0"] == 90.0


def test_a_group_has_started_when_its_last_pod_is_ready():
    assert start_seconds(GROUPS, 2, with_nodes=False) == {"uid-0/uid-1": 170.0}


def test_waiting_begins_with_the_oldest_pod_and_ends_with_the_last():
    pods = [pod(0), pod(1, node="")]
    assert waiting_since(None, 1, pods, START + 60) == START
    assert waiting_since(START - 5, 1, pods, START + 60) == START - 5
    assert waiting_since(None, 1, [pod(0)], START + 60) == START + 60
    assert waiting_since(START, 0, pods, START + 60) is None


def test_of_a_group_the_leader_is_measured():
    cluster = ScaledCluster()
    body = cluster.observed.deployments[cluster.run()]
    scaled = RememberedScalingFacts().of(body, Key.of(body), datetime.fromtimestamp(START, UTC))
    assert scaled is not None
    measured = measured_object(scaled, GROUPS)
    assert (measured.pods, measured.engine, measured.percentile) == (("pod-0", "pod-2"), "vllm", 95)


def test_a_signal_that_must_not_be_used_has_no_value():
    old = Signal(value=900.0, age_seconds=1000.0)
    seen = snapshot(Readings(tokens_per_second=old), current=3, ready=1, waiting_for_gpus=1, waiting_seconds=5.0)
    assert seen.tokens_per_second == Signal(availability=Availability.STALE)
    assert (seen.starting, seen.waiting_for_gpus, seen.waiting_for_gpus_seconds) == (2, 1, 5.0)
