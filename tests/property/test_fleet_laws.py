"""Laws of placing a fleet: whatever is said to fit can be laid on the nodes together, counted once more by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_objects import A100_LABELS, H100_LABELS, gpu_node, gpu_pod
from deepseek_operator.capacity.board import Board
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.fleet import FleetAnswer, place_fleet
from deepseek_operator.capacity.grounds import Grounds
from deepseek_operator.capacity.inventory import Inventory, inventory
from deepseek_operator.capacity.members import Member, own_pods
from deepseek_operator.capacity.move_rows import move_rows
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.units import GIB
from model_factories import make_deployment
from plan_values import plan_with
from share_nodes import mig_node

RACK = "example.com/rack"
TAINT = {"key": "example.com/team", "value": "x", "effect": "NoSchedule"}
TOLERATION = {"key": "example.com/team", "operator": "Exists"}
SLICE = "nvidia.com/mig-1g.20gb"
MIG = GpuShare(mechanism=ShareMechanism.MIG, resource=SLICE, profile="1g.20gb", slices_per_gpu=4, memory_bytes=19 * GIB)


@st.composite
def node_objects(draw: st.DrawFn, name: str) -> dict[str, Any]:
    if draw(st.integers(0, 5)) == 0:
        return mig_node(name, {"1g.20gb": draw(st.integers(1, 3))})
    gpus = draw(st.sampled_from([2, 4, 8]))
    host = {"cpu": str(draw(st.sampled_from([8, 24, 190]))), "memory": f"{draw(st.sampled_from([80, 300, 2000]))}Gi"}
    return gpu_node(
        name,
        gpus=gpus,
        labels=draw(st.sampled_from([H100_LABELS, H100_LABELS, A100_LABELS])),
        more_labels={RACK: draw(st.sampled_from(["r1", "r2"]))},
        taints=draw(st.sampled_from([(), (), (TAINT,)])),
        unschedulable=draw(st.integers(0, 7)) == 0,
        allocatable={"nvidia.com/gpu": str(gpus), "pods": str(draw(st.sampled_from([2, 110]))), **host},
    )


@st.composite
def clusters(draw: st.DrawFn) -> tuple[Inventory, list[Member]]:
    names = [f"n{index}" for index in range(draw(st.integers(1, 5)))]
    nodes = [draw(node_objects(name)) for name in names]
    members = [draw(fleet_members(index)) for index in range(draw(st.integers(1, 4)))]
    pods = []
    for index in range(draw(st.integers(0, 4))):
        owner = draw(st.sampled_from([None, *members]))
        gpus = draw(st.sampled_from([0, 1, 2, 4])) if owner is None else owner.need.gpus
        labels = {} if owner is None else {"deepseek-operator.io/deployment": owner.owner[1]}
        resource = "nvidia.com/gpu" if owner is None or owner.plan.share is None else SLICE
        node = draw(st.sampled_from(names))
        pod = gpu_pod(f"p{index}", gpus=gpus, node=node, namespace="chat", labels=labels, resource=resource)
        pod["spec"]["containers"][0]["resources"]["requests"]["memory"] = "40Gi"
        pods.append(pod)
    return inventory([read_node(each) for each in nodes], [read_pod(each) for each in pods]), members


@st.composite
def fleet_members(draw: st.DrawFn, index: int) -> Member:
    gpus, spans = draw(st.sampled_from([(1, 1), (2, 1), (4, 1), (8, 1), (4, 2), (8, 2), (16, 2)]))
    share = draw(st.sampled_from([None, None, None, MIG])) if (gpus, spans) == (1, 1) else None
    tolerations = draw(st.sampled_from([[], [TOLERATION]]))
    deployment = make_deployment(
        f"d{index}",
        priority=draw(st.sampled_from(["Critical", "Standard", "Batch", "None"])),
        hardware={"tolerations": tolerations},
    )
    plan = replace(plan_with(gpus=gpus, nodes=spans), share=share)
    return Member(deployment=deployment, plan=plan, replicas=draw(st.integers(1, 4)))


Spread = Mapping[tuple[int, str, str], Sequence[Sequence[str]]]


def assert_laid(known: Inventory, members: Sequence[Member], spots: Spread, stay: set[tuple[str, str]]) -> None:
    """Assert that pods that stay and replicas at their spots fit on the nodes together.

    Nodes may be overcommitted by pods that were there already; nothing new may then be on them.
    """
    nodes = {node.name: node for node in known.nodes}
    new = {member.rank: Counter(name for each in spots[member.rank] for name in each) for member in members}
    for name, node in nodes.items():
        here = [(member, new[member.rank][name]) for member in members if new[member.rank][name]]
        if not here:
            continue
        assert node.schedulable
        rest = [pod for pod in node.pods if (pod.namespace, pod.name) in stay]
        whole = sum(pod.gpus.get("nvidia.com/gpu", 0) for pod in rest)
        slices = sum(pod.gpus.get(SLICE, 0) for pod in rest)
        cpu = sum(pod.host.cpu_milli for pod in rest) + node.others.cpu_milli
        memory = sum(pod.host.memory_bytes for pod in rest) + node.others.memory_bytes
        count = len(rest) + node.others.pods
        for member, times in here:
            assert node.gpu is not None
            assert node.gpu.id == member.plan.gpu
            tolerates = bool(member.deployment.spec.hardware.tolerations)
            assert tolerates or not any(taint.key == TAINT["key"] for taint in node.taints)
            gpus = member.plan.gpus_per_replica // member.plan.nodes_per_replica
            whole += 0 if member.plan.share else gpus * times
            slices += times if member.plan.share else 0
            cpu, memory = cpu + member.need.host.cpu_milli * times, memory + member.need.host.memory_bytes * times
            count += times
        shared = [member.plan.share is not None for member, _ in here]
        assert all(shared) or whole <= node.allocatable_gpus
        assert not any(shared) or slices <= sum(offer.slices for offer in node.shares)
        assert cpu <= node.host.cpu_milli
        assert memory <= node.host.memory_bytes
        assert not node.host.pods or count <= node.host.pods


def assert_groups(known: Inventory, members: Sequence[Member], spots: Spread) -> None:
    """Assert that the nodes of a replica are different ones of one rack."""
    racks = {node.name: node.labels.get(RACK, "") for node in known.nodes}
    for member in members:
        for each in spots[member.rank]:
            assert len(set(each)) == len(each) == member.plan.nodes_per_replica
            assert len(each) == 1 or len({racks[name] for name in each} | {""}) == 2


def started(answer: FleetAnswer) -> dict[tuple[int, str, str], list[tuple[str, ...]]]:
    found = {}
    for verdict in answer.verdicts:
        spans = verdict.member.plan.nodes_per_replica
        found[verdict.member.rank] = [
            tuple(verdict.nodes[index : index + spans]) for index in range(0, len(verdict.nodes), spans)
        ]
        assert verdict.now == verdict.running + len(found[verdict.member.rank])
    return found


@settings(deadline=None, max_examples=80)
@given(known=clusters())
def test_what_fits_now_fits_together(known: tuple[Inventory, list[Member]]) -> None:
    there, members = known
    answer = place_fleet(members, there, seconds=1, domain_label=RACK)
    everybody = {(pod.namespace, pod.name) for node in there.nodes for pod in node.pods}
    assert_laid(there, members, started(answer), everybody)
    assert_groups(there, members, started(answer))
    assert all(0 <= verdict.now <= verdict.member.replicas for verdict in answer.verdicts)
    assert all(bool(verdict.reason) == (verdict.now < verdict.member.replicas) for verdict in answer.verdicts)


@settings(deadline=None, max_examples=80)
@given(known=clusters())
def test_what_fits_if_packed_fits_together_and_costs_no_higher_priority_a_replica(
    known: tuple[Inventory, list[Member]],
) -> None:
    there, members = known
    answer = place_fleet(members, there, seconds=1, domain_label=RACK)
    pins = {verdict.member.rank: verdict.pins for verdict in answer.verdicts}
    ours = {(pod.namespace, pod.name) for pods in own_pods(members, there).values() for pod in pods}
    everybody = {(pod.namespace, pod.name) for node in there.nodes for pod in node.pods}
    if all(verdict.if_packed != verdict.now or verdict.running == 0 for verdict in answer.verdicts):
        assert_laid(there, members, pins, everybody - ours)
        assert_groups(there, members, pins)
    for tier in sorted({member.tier for member in members}):
        of_tier = [verdict for verdict in answer.verdicts if verdict.member.tier == tier]
        now, held = (
            sum(count * verdict.member.plan.gpus_per_replica for verdict in of_tier for count in [getattr(verdict, at)])
            for at in ("now", "if_packed")
        )
        assert held >= now
        if held > now:
            break  # what a higher priority gains may cost a lower one


@settings(deadline=None, max_examples=60)
@given(known=clusters())
def test_after_the_moves_everybody_has_room(known: tuple[Inventory, list[Member]]) -> None:
    there, members = known
    answer = place_fleet(members, there, seconds=0)
    found = move_rows(answer, there, [], suggest=True)
    moved = {(step["namespace"], step["pod"]): step["to"] for step in found["steps"]}
    pods = {(pod.namespace, pod.name): pod for node in there.nodes for pod in node.pods}
    nodes = []
    for node in there.nodes:
        here = [pod for key, pod in pods.items() if moved.get(key, pod.node) == node.name]
        used = sum(node.held_by(pod) for pod in here)
        free = max(0, node.allocatable_gpus - used)
        nodes.append(replace(node, pods=tuple(here), requested_gpus=used, free_gpus=free))
    after = replace(there, nodes=tuple(nodes))
    board = Board(after)
    for verdict in answer.verdicts:
        for name in verdict.nodes:
            board.take(name, verdict.member.need)
    grounds = Grounds(after)
    room_for = {row["name"]: row["replicas"] for row in found["makeRoomFor"]}
    for verdict in answer.verdicts:
        member, wanted = verdict.member, room_for.get(verdict.member.deployment.metadata.name, 0)
        if wanted and len(room_for) == 1 and member.need.spans == 1 and within_pods(after):
            assert len(board.place(member.need, grounds.nodes(member.deployment, member.plan), wanted)) == wanted
    assert all(step["from"] != step["to"] for step in found["steps"])


def within_pods(known: Inventory) -> bool:
    """Return whether no node is at its limit of pods, which moves do not look at."""
    return all(not node.host.pods or node.host.pods > 100 for node in known.nodes)
