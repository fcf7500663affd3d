"""One active operator at a time, on a real Lease."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cluster.deployments import small, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually
from deepseek_operator.cluster import Cluster, connect
from deepseek_operator.handlers.leadership import Leadership, LeadershipLostError


class Clock:
    """Monotonic seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def candidate(cluster: Cluster, namespace: str, identity: str, clock: Clock) -> Leadership:
    return Leadership(cluster, namespace=namespace, name="lease", identity=identity, lease_seconds=30, clock=clock)


def run(kubectl: Kubectl, scenario: Callable[[Cluster], Awaitable[None]]) -> None:
    async def connected() -> None:
        async with await connect(str(kubectl.kubeconfig)) as cluster:
            await scenario(cluster)

    asyncio.run(connected())


def test_a_second_candidate_waits_until_the_first_was_silent_for_the_lease_time(kubectl: Kubectl) -> None:
    async def scenario(cluster: Cluster) -> None:
        clock = Clock()
        first, second = (candidate(cluster, kubectl.namespace, name, clock) for name in ("first", "second"))
        assert await first.try_once()
        assert not await second.try_once()
        clock.now += 29
        assert not await second.try_once()
        assert await first.try_once()
        clock.now += 29
        assert not await second.try_once()
        clock.now += 31
        assert await second.try_once()
        assert not await first.try_once()

    run(kubectl, scenario)
    lease = kubectl("get", "lease", "lease", "-o", "json")["spec"]
    assert (lease["holderIdentity"], lease["leaseTransitions"]) == ("second", 1)


def test_a_lease_that_was_given_back_is_free_at_once(kubectl: Kubectl) -> None:
    async def scenario(cluster: Cluster) -> None:
        clock = Clock()
        first, second = (candidate(cluster, kubectl.namespace, name, clock) for name in ("first", "second"))
        await first.acquire()
        await first.release()
        assert await second.try_once()

    run(kubectl, scenario)


def test_a_holder_that_lost_its_lease_says_so(kubectl: Kubectl) -> None:
    async def scenario(cluster: Cluster) -> None:
        first = Leadership(cluster, namespace=kubectl.namespace, name="lease", identity="first", lease_seconds=1)
        await first.acquire()
        clock = Clock()
        second = candidate(cluster, kubectl.namespace, "second", clock)
        assert not await second.try_once()
        clock.now += 100
        assert await second.try_once()
        with pytest.raises(LeadershipLostError, match="was not renewed in time"):
            await first.hold()

    run(kubectl, scenario)


@pytest.mark.usefixtures("resource_definition")
def test_a_stopped_operator_hands_over_and_nothing_is_done_twice(kubectl: Kubectl, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path) as first:
        eventually(lambda: first.metric("deepseek_operator_leading") == 1, what="the first operator leads")
        with running_operator(kubectl, tmp_path) as second:
            eventually(lambda: "waiting for the lease" in second.text(), what="the second operator waits")
            kubectl.apply(small())
            wait_ready(kubectl, "small")
            assert second.metric("deepseek_operator_leading") == 0
            assert second.page("/readyz") == "ok\n"

            assert first.stop() == 0

            eventually(lambda: second.metric("deepseek_operator_leading") == 1, what="the second operator takes over")
            kubectl.apply(small("next"))
            wait_ready(kubectl, "next")
