"""Looks after groups of StatefulSets: restarts a group as a unit when it lost a member, replaces outdated ones."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deepseek_operator.cluster import Cluster
from deepseek_operator.handlers.group_admission import GroupAdmission
from deepseek_operator.handlers.group_state import broken_groups, by_group, complete_groups, outdated_groups
from deepseek_operator.handlers.observed import Child
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Situation
from deepseek_operator.resources.group_stateful_set import KIND

log = logging.getLogger(__name__)

FIRST_REST_SECONDS = 10.0
LONGEST_REST_SECONDS = 300.0
FORGIVEN_SECONDS = 600.0
"""Rest between two restarts of a group: 10, 20, 40 ... 300 s, from the start again after ten quiet minutes.

Source: the kubelet's own back-off of crashing containers, which ends with every pod that is deleted.
"""


@dataclass
class _Life:
    """What is remembered of one object's groups."""

    complete: dict[int, frozenset[str]] = field(default_factory=dict)
    restarts: dict[int, int] = field(default_factory=dict)
    rests_until: dict[int, float] = field(default_factory=dict)

    def take_in(self, pods: Sequence[PodState], size: int, now: float) -> None:
        """Remember the groups that are complete now, and forget those that were scaled away."""
        for group, uids in complete_groups(pods, size).items():
            self.complete[group] = uids
            if now > self.rests_until.get(group, 0.0) + FORGIVEN_SECONDS:
                self.restarts.pop(group, None)
        for gone in self.complete.keys() - by_group(pods).keys():
            del self.complete[gone]


class Groups:
    """Deletes the pods of groups that must start anew; their StatefulSets make them again, all at the same time.

    Args:
        cluster: the connection.
        wake: called with the UID of an object whose groups should be looked at again.
    """

    def __init__(self, cluster: Cluster, wake: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._wake = wake
        self._lives: dict[str, _Life] = {}
        self.admission = GroupAdmission(wake, self._wake_later)

    def _wake_later(self, seconds: float, uid: str) -> None:
        asyncio.get_running_loop().call_later(seconds, self._wake, uid)

    def forget(self, uid: str) -> None:
        """Drop what is remembered of an object that is gone."""
        self._lives.pop(uid, None)
        self.admission.forget(uid)

    async def tend(self, uid: str, workload: Child | None, pods: Sequence[PodState], situation: Situation) -> str:
        """Restart what is broken and replace what is outdated, where no other controller does.

        Args:
            uid: of the DeepSeekDeployment.
            workload: of it.
            pods: of it.
            situation: with the accepted plan.

        Returns:
            Which group starts anew and why, as a sentence; empty for none.

        Raises:
            ClusterError: a pod could not be deleted.
        """
        deployment, acceptance = situation.deployment, situation.acceptance
        if workload is None or workload.kind != KIND or deployment is None or acceptance is None:
            return ""
        size = acceptance.accepted.plan.nodes_per_replica if acceptance.accepted else 0
        pods = [pod for pod in pods if pod.group is not None and pod.group < workload.replicas]
        if size < 2:
            return ""
        if said := await self._restart_broken(uid, workload, pods):
            return said  # what is left is seen when these pods are gone
        life = self._lives.setdefault(uid, _Life())
        life.take_in(pods, size, time.monotonic())
        for group in outdated_groups(
            pods,
            workload.template_hash,
            replicas=workload.replicas,
            size=size,
            max_unavailable=deployment.spec.rollout.max_unavailable or 1,
        ):
            log.info("group %d of %s is replaced: its pods are of an earlier template", group, workload.name)
            life.complete.pop(group, None)
            await self._delete(pods, group, workload.namespace)
        return ""

    async def _restart_broken(self, uid: str, workload: Child, pods: Sequence[PodState]) -> str:
        """Restart the first broken group that has rested; return which one and why, empty for none."""
        life, now = self._lives.setdefault(uid, _Life()), time.monotonic()
        for group, reason in sorted(broken_groups(pods, life.complete).items()):
            rest = life.rests_until.get(group, 0.0) - now
            if rest > 0:
                self._wake_later(rest, uid)
                continue
            said = f"group {group} of {workload.name} is restarted as a unit: {reason}"
            log.warning(said)
            life.restarts[group] = life.restarts.get(group, 0) + 1
            life.rests_until[group] = now + rest_seconds(life.restarts[group])
            await self._delete(pods, group, workload.namespace)
            life.complete.pop(group, None)
            return said
        return ""

    async def _delete(self, pods: Sequence[PodState], group: int, namespace: str) -> None:
        for pod in by_group(pods)[group]:
            await self._cluster.delete("Pod", namespace, pod.name, pod.uid)


def rest_seconds(restarts: int) -> float:
    """Return how long a group rests after so many restarts, 1 or more.

    >>> [rest_seconds(count) for count in (1, 2, 3, 20)]
    [10.0, 20.0, 40.0, 300.0]
    """
    return min(FIRST_REST_SECONDS * 2.0 ** min(restarts - 1, 20), LONGEST_REST_SECONDS)
