"""What FitsNow promises against what the real scheduler does, on 200 random fleets, one replica after the other.

Each fleet has its own nodes, reached through the node selector of its model, and its own namespace. The pods are those
of the manifests that the operator would apply. Where FitsNow says yes, every pod of the replica must get a node; where
it says no, one of them must stay Pending. What would fit if packed is created with the node of each pod as its
selector, and all of it must get its place.

Features of the scheduler that FitsNow leaves out on purpose, and that no fleet here uses: preemption (Critical and High
may take GPUs of lower priorities), tolerating the taint of a cordoned node, and volumes bound to a zone.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cluster.kubectl import Kubectl
from deepseek_operator.capacity.facts import read_node, read_pod
from deepseek_operator.capacity.fleet import place_fleet
from deepseek_operator.capacity.inventory import Inventory, inventory
from deepseek_operator.capacity.workload import room_for
from deepseek_operator.cluster import Cluster, connect
from deepseek_operator.errors import ClusterError
from deepseek_operator.resources.desired import WORKLOADS, desired
from deepseek_operator.sandbox import SandboxState
from random_fleets import FLEET_LABEL, RandomFleet, random_fleet, random_members

FLEETS = 200
PACKED_FLEETS = 60
TEST_SECONDS = 1500
"""Two minutes on two idle cores."""

SINGLY = 4
"""Replicas that come one at a time; those that still fit then come together, and then one more."""

WITHIN_SECONDS = 240
"""A step of all fleets at once; 10 to 20 s on two idle cores."""
PAUSE_SECONDS = 0.5
ATTEMPTS = 4

_numbers = itertools.count(1)

pytestmark = [pytest.mark.usefixtures("resource_definition"), pytest.mark.timeout(TEST_SECONDS)]


@dataclass
class Trial:
    """A fleet that is being filled."""

    fleet: RandomFleet
    running: int = 0
    rounds: int = 0
    expects: bool = True
    waiting: tuple[str, ...] = ()
    verdicts: list[str] = field(default_factory=list)
    disagreement: str = ""

    @property
    def is_open(self) -> bool:
        return self.expects and not self.disagreement


def test_fits_now_agrees_with_the_scheduler(
    sandbox: SandboxState, cluster_kubectl: Kubectl, fleets: list[RandomFleet]
) -> None:
    trials = asyncio.run(filled(str(sandbox.kubeconfig), fleets))
    said = Counter(len(trial.verdicts) - 1 for trial in trials)
    print(f"\n{sum(len(trial.verdicts) for trial in trials)} verdicts; replicas that fitted, and fleets: {said}")
    assert [trial.disagreement for trial in trials if trial.disagreement] == []
    assert all(trial.verdicts[-1] == "no" for trial in trials)


def test_what_fits_if_packed_is_placed_with_its_pins(sandbox: SandboxState, fleets: list[RandomFleet]) -> None:
    assert asyncio.run(pinned(str(sandbox.kubeconfig), fleets[:PACKED_FLEETS])) == []


@pytest.fixture
def fleets(cluster_kubectl: Kubectl) -> list[RandomFleet]:
    """Fleets in namespaces of their own, which stay: deleting hundreds would keep those of other tests from going."""
    number = next(_numbers)
    found = [random_fleet(seed, f"fits-now-{number}-{seed}") for seed in range(FLEETS)]
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each.namespace, "labels": {FLEET_LABEL: "yes"}}}
        for each in found
    ]
    cluster_kubectl.apply(*spaces)
    return found


async def filled(kubeconfig: str, fleets: Sequence[RandomFleet]) -> list[Trial]:
    """Return the fleets after each has been filled until nothing more fits."""
    async with await connect(kubeconfig) as cluster, fleet_nodes(cluster, fleets):
        await asyncio.gather(*(eventually_created(cluster, pod) for fleet in fleets for pod in fleet.foreign))
        trials = [Trial(fleet=fleet) for fleet in fleets]
        while any(trial.is_open for trial in trials):
            await one_round(cluster, [trial for trial in trials if trial.is_open])
        return trials


@asynccontextmanager
async def fleet_nodes(cluster: Cluster, fleets: Sequence[RandomFleet]) -> AsyncIterator[None]:
    """Create the nodes of all fleets and wait until they are Ready; afterwards they and their pods are gone."""
    try:
        await asyncio.gather(*(cluster.create(node) for fleet in fleets for node in fleet.nodes))
        async with asyncio.timeout(WITHIN_SECONDS):
            while not all(is_ready(node) for node in await listed(cluster, "Node")):
                await asyncio.sleep(PAUSE_SECONDS)
        yield
    finally:
        for kind in ("Pod", "Node"):
            await asyncio.gather(*(dropped(cluster, kind, each["metadata"]) for each in await listed(cluster, kind)))


async def dropped(cluster: Cluster, kind: str, metadata: dict[str, Any]) -> None:
    await cluster.delete(kind, metadata.get("namespace"), metadata["name"], metadata["uid"])


async def listed(cluster: Cluster, kind: str) -> list[dict[str, Any]]:
    """Return the nodes, or the pods of the namespaces, of the fleets; a busy API server is asked again."""
    for attempt in range(ATTEMPTS):
        try:
            if kind == "Node":
                return [node async for node in cluster.list("Node", label_selector=FLEET_LABEL)]
            return [pod async for pod in cluster.list("Pod") if pod["metadata"]["namespace"].startswith("fits-now-")]
        except ClusterError:
            if attempt + 1 == ATTEMPTS:
                raise
    raise AssertionError("no attempt was made")


def is_ready(node: dict[str, Any]) -> bool:
    """Return whether the scheduler sees a node as Ready: it looks at the taint, which goes after the condition."""
    conditions = {each["type"]: each["status"] for each in node["status"].get("conditions", ())}
    taints = {each["key"] for each in node["spec"].get("taints", ())}
    return conditions.get("Ready") == "True" and "node.kubernetes.io/not-ready" not in taints


async def eventually_created(cluster: Cluster, pod: dict[str, Any]) -> None:
    """Create a pod as soon as its namespace has its service account."""
    async with asyncio.timeout(WITHIN_SECONDS):
        while True:
            try:
                await cluster.create(pod)
            except ClusterError as error:
                if "serviceaccount" not in str(error):
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return


async def one_round(cluster: Cluster, trials: Sequence[Trial]) -> None:
    """Ask FitsNow for each fleet, create what it was asked about, and note where the scheduler decides otherwise."""
    seen = await looked_at(cluster)
    created = [pod for trial in trials for pod in next_pods(trial, seen)]
    await asyncio.gather(*(eventually_created(cluster, pod) for pod in created))
    open_trials = list(trials)
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            while open_trials:
                pods = {each["metadata"]["name"]: each for each in await listed(cluster, "Pod")}
                open_trials = [trial for trial in open_trials if not is_decided(trial, pods)]
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError:
        for trial in open_trials:
            pods = {each["metadata"]["name"]: each for each in await listed(cluster, "Pod")}
            told = [why_pending(pods[name]) for name in trial.waiting if not is_bound(pods[name])]
            trial.disagreement = f"seed {trial.fleet.seed}: FitsNow said yes to {trial.waiting}, and {told[:1]}"


async def looked_at(cluster: Cluster) -> Inventory:
    nodes, pods = await listed(cluster, "Node"), await listed(cluster, "Pod")
    return inventory([read_node(each) for each in nodes], [read_pod(each) for each in pods])


def next_pods(trial: Trial, seen: Inventory) -> list[dict[str, Any]]:
    """Return the pods of the replicas that come next, and remember what FitsNow says about them."""
    fleet = trial.fleet
    room = room_for(fleet.deployment, fleet.plan, seen, trial.running + 1)
    trial.expects = room.fits
    trial.verdicts.append("yes" if room.fits else "no")
    trial.rounds += 1
    together = trial.rounds > SINGLY and room.fits and fleet.plan.nodes_per_replica == 1
    more = room.count - trial.running if together else 1
    made = [pod for replica in range(more) for pod in replica_pods(fleet, trial.running + replica)]
    trial.waiting = tuple(pod["metadata"]["name"] for pod in made)
    trial.running += more
    return made


def replica_pods(fleet: RandomFleet, number: int) -> list[dict[str, Any]]:
    """Return the pods of one replica from the manifests that the operator would apply."""
    manifests = desired(fleet.deployment, fleet.plan, uid="", replicas=1, plan_hash="1f3a")
    templates = [each["spec"]["template"] for each in manifests if each["kind"] in WORKLOADS]
    assert len(templates) == fleet.plan.nodes_per_replica
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **template["metadata"],
                "name": f"{fleet.namespace}-{number}-{rank}",
                "namespace": fleet.namespace,
            },
            "spec": template["spec"],
        }
        for rank, template in enumerate(templates)
    ]


async def pinned(kubeconfig: str, fleets: Sequence[RandomFleet]) -> list[str]:
    """Return the pods that got no node although the packing of their fleet pins them to one."""
    async with await connect(kubeconfig) as cluster, fleet_nodes(cluster, fleets):
        await asyncio.gather(*(eventually_created(cluster, pod) for fleet in fleets for pod in fleet.foreign))
        seen = await looked_at(cluster)
        pods = [pod for fleet in fleets for pod in pinned_pods(fleet, seen)]
        assert len(pods) > len(fleets)
        await asyncio.gather(*(eventually_created(cluster, pod) for pod in pods))
        names, left = {each["metadata"]["name"] for each in pods}, {"all": "not looked at"}
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHIN_SECONDS):
                while left:
                    there = [each for each in await listed(cluster, "Pod") if each["metadata"]["name"] in names]
                    left = {each["metadata"]["name"]: why_pending(each) for each in there if not is_bound(each)}
                    await asyncio.sleep(PAUSE_SECONDS)
        return [f"{name}: {why}" for name, why in left.items()]


def pinned_pods(fleet: RandomFleet, seen: Inventory) -> list[dict[str, Any]]:
    """Return the pods of everything that the packing of a fleet's models holds, each pinned to its node."""
    answer = place_fleet(random_members(fleet), seen, seconds=2)
    made = []
    for verdict in answer.verdicts:
        member = verdict.member
        one = replace(fleet, deployment=member.deployment, plan=member.plan)
        for number, spots in enumerate(verdict.pins):
            for pod, node in zip(replica_pods(one, number), spots, strict=True):
                pod["metadata"]["name"] = f"{member.deployment.metadata.name}-{pod['metadata']['name']}"
                pod["spec"] = {**pod["spec"], "nodeSelector": {"kubernetes.io/hostname": node}}
                made.append(pod)
    return made


def is_decided(trial: Trial, pods: dict[str, dict[str, Any]]) -> bool:
    """Return whether the scheduler has done what FitsNow said, or the contrary of a no."""
    bound = [is_bound(pods[name]) for name in trial.waiting]
    if trial.expects:
        return all(bound)
    if all(bound):
        trial.disagreement = f"seed {trial.fleet.seed}: FitsNow said no, and the scheduler placed {trial.waiting}"
    return all(there or why_pending(pods[name]) for there, name in zip(bound, trial.waiting, strict=True))


def is_bound(pod: dict[str, Any]) -> bool:
    return bool(pod["spec"].get("nodeName"))


def why_pending(pod: dict[str, Any]) -> str:
    """Return what the scheduler says about a pod that it found no node for; empty while it has not looked."""
    conditions = pod["status"].get("conditions", ())
    return next((each["message"] for each in conditions if each.get("reason") == "Unschedulable"), "")
