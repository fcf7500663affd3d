"""How long the operator's parts without I/O take: the inventory from events, and the manifests of one object."""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import median
from time import process_time

from cluster_objects import gpu_node, gpu_pod
from deepseek_operator.capacity.cluster_state import ClusterState
from deepseek_operator.resources.desired import desired
from manifest_cases.one_node import CASES
from model_factories import UID, make_deployment

NODES, PODS, RUNS = 1_500, 8_000, 30


def milliseconds(work: Callable[[], object]) -> float:
    """CPU time, so that other programs of the machine do not count."""
    started = process_time()
    work()
    return (process_time() - started) * 1000


def test_the_inventory_of_a_large_cluster():
    chosen = random.Random(1)  # noqa: S311 - the same places in every run
    nodes = [gpu_node(f"node-{number}") for number in range(NODES)]
    pods = [gpu_pod(f"pod-{number}", node=f"node-{chosen.randrange(NODES)}") for number in range(PODS)]
    state = ClusterState()

    def take_in() -> None:
        for node in nodes:
            state.set_node(node)
        for pod in pods:
            state.set_pod(pod)

    def one_event(number: int) -> None:
        state.set_pod(gpu_pod("new", node=f"node-{number}"))
        state.inventory()

    events = milliseconds(take_in)
    inventory = milliseconds(state.inventory)
    changed = median(milliseconds(lambda number=number: one_event(number)) for number in range(RUNS))
    print(
        f"\n{NODES:,} nodes and {PODS:,} pods: taken in {events:.0f} ms, inventory {inventory:.0f} ms, "
        f"one pod event with the inventory after it {changed:.1f} ms"
    )


def test_the_manifests_of_one_object():
    for case in CASES:
        deployment = make_deployment(case.name, **case.spec)
        taken = [
            milliseconds(
                lambda case=case, deployment=deployment: desired(
                    deployment, case.plan, uid=UID, replicas=case.replicas, plan_hash="1f3a5c7e", **case.known
                )
            )
            for _ in range(RUNS)
        ]
        print(f"\nmanifests of {case.says}: first {taken[0]:.1f} ms, median of {RUNS} {median(taken):.2f} ms")
