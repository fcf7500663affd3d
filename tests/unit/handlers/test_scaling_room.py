"""What free GPUs allow objects that want more, beside those that wait and those that may be stopped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from deepseek_operator.handlers.scaling_facts import Key, RememberedScalingFacts
from deepseek_operator.handlers.scaling_room import Rooms, Wanting, room_limits
from deepseek_operator.scaling.decide import Limit
from scaled_cluster import START, ScaledCluster

GPUS_PER_REPLICA = 4


def wanting(cluster: ScaledCluster, name: str, wanted: int, *, current: int, running: int, **spec: object) -> Wanting:
    """Return an object that runs replicas of four GPUs each on nodes of its own number on."""
    uid = cluster.run(name, replicas=current, **spec)
    body = cluster.observed.deployments[uid]
    scaled = RememberedScalingFacts().of(body, Key.of(body), datetime.fromtimestamp(START, UTC))
    assert scaled is not None
    return Wanting(scaled=scaled, body=body, wanted=wanted, current=current, running=running)


def limits(cluster: ScaledCluster, *objects: Wanting) -> Mapping[str, Limit]:
    return room_limits(objects, cluster.nodes.inventory(), Rooms())


def test_replicas_that_wait_for_a_node_come_before_those_of_a_lower_priority() -> None:
    cluster = ScaledCluster(nodes=1)
    waits = wanting(cluster, "waits", 1, current=1, running=0, priority="High")
    asks = wanting(cluster, "asks", 2, current=0, running=0, priority="Batch")
    assert limits(cluster, waits, asks) == {
        "uid-asks": Limit(
            replicas=1,
            name="the room on free GPUs (gets 1 of 2 replicas: of 8 free a100-sxm4-80gb GPUs it takes 4 and higher "
            "priorities 4)",
        )
    }


def test_a_priority_that_preempts_counts_on_the_replicas_of_an_object_that_nobody_decides_on() -> None:
    cluster = ScaledCluster(nodes=1)
    cluster.pod("batch", 0, node="a100-0")
    cluster.pod("batch", 1, node="a100-0")
    external = {"owner": "External", "maxReplicas": 2}
    batch = wanting(cluster, "batch", 2, current=2, running=2, priority="Batch", scaling=external)
    asks = wanting(cluster, "asks", 3, current=0, running=0, priority="Critical")
    assert limits(cluster, batch, asks) == {
        "uid-asks": Limit(
            replicas=2,
            name="the room on free GPUs (gets 2 of 3 replicas: of 0 free a100-sxm4-80gb GPUs none hold a replica more; "
            "kube-scheduler stops up to 2 replicas of lower priority for it)",
        )
    }


def test_who_wants_no_more_sets_no_limit() -> None:
    cluster = ScaledCluster(nodes=1)
    assert limits(cluster, wanting(cluster, "waits", 2, current=2, running=0)) == {}
