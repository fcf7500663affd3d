"""Which groups of pods over several nodes are whole, and which must be restarted as a unit: functions of what is seen.

Ranks of an engine cannot rejoin: when one of them ends, the others wait for it without an end and no health page tells
(vLLM 0.32.0, observed). LeaderWorkerSet restarts the others by itself; for groups of StatefulSets it is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from deepseek_operator.handlers.pod_state import PodState

REPLACED_SECONDS = 10
"""A pod that was made so long after another of its group became ready replaces one that had been there.

Until all ranks have met none of them is ready, so members of one life are made before. The time allows for clocks of
nodes that differ. Source: judgement; it only matters for what happened while no operator ran.
"""


def by_group(pods: Iterable[PodState]) -> dict[int, list[PodState]]:
    """Return the pods of each group that are not being deleted, by group; pods of no group are left out."""
    groups: dict[int, list[PodState]] = {}
    for pod in pods:
        if pod.group is not None:
            groups.setdefault(pod.group, [])
            if not pod.deleting:
                groups[pod.group].append(pod)
    return groups


def whole_groups(pods: Iterable[PodState], size: int) -> set[int]:
    """Return the groups all of whose pods have a node.

    Args:
        pods: of one DeepSeekDeployment.
        size: pods of a group.
    """
    return {group for group, members in by_group(pods).items() if sum(1 for pod in members if pod.node) >= size}


def placed_replicas(pods: Sequence[PodState], size: int) -> int:
    """Return how many replicas have a node for every pod.

    Args:
        pods: of one DeepSeekDeployment.
        size: pods of a replica, 1 or more.
    """
    if size > 1:
        return len(whole_groups(pods, size))
    return sum(1 for pod in pods if pod.node and not pod.deleting)


def admitted_groups(wanted: int, room: int, pods: Iterable[PodState], size: int) -> int:
    """Return how many groups to make, so that none is made of which only a half finds GPUs.

    Args:
        wanted: groups that should run, 0 or more.
        room: groups that fit what is free and what the object's own pods hold, 0 or more.
        pods: of the object; groups that are whole stay whatever the room, and with them those of a lower number.
        size: pods of a group.
    """
    whole = whole_groups(pods, size)
    return min(wanted, max(room, max(whole) + 1 if whole else 0))


def complete_groups(pods: Iterable[PodState], size: int) -> dict[int, frozenset[str]]:
    """Return the UIDs of the pods of each group that is complete and ready."""
    return {
        group: frozenset(pod.uid for pod in members)
        for group, members in by_group(pods).items()
        if len(members) == size and all(pod.ready for pod in members)
    }


def broken_groups(pods: Iterable[PodState], complete: Mapping[int, frozenset[str]]) -> dict[int, str]:
    """Return the groups that have lost a member, each with a clause that says how.

    Args:
        pods: of one DeepSeekDeployment.
        complete: UIDs of the pods of each group when it was last seen complete.
    """
    found: dict[int, str] = {}
    for group, members in by_group(pods).items():
        if members and (reason := _broken(members, complete.get(group))):
            found[group] = reason
    return found


def outdated_groups(
    pods: Iterable[PodState], template_hash: str, *, replicas: int, size: int, max_unavailable: int
) -> list[int]:
    """Return the groups to replace now because their pods were made from an earlier template, highest number first.

    Those that are not ready go at once; of the others only as many as may be away.

    Args:
        pods: of one DeepSeekDeployment.
        template_hash: what today's pods are made from; empty replaces nothing.
        replicas: groups that should run.
        size: pods of a group.
        max_unavailable: groups that may be away during a change, 1 or more.
    """
    if not template_hash:
        return []
    ready = set(complete_groups(pods, size))
    outdated = sorted(
        (group for group, members in by_group(pods).items() if _is_outdated(members, template_hash)), reverse=True
    )
    unready = [group for group in outdated if group not in ready]
    may_go = max(0, max_unavailable - sum(1 for group in range(replicas) if group not in ready))
    return unready + [group for group in outdated if group in ready][:may_go]


def _is_outdated(members: Sequence[PodState], template_hash: str) -> bool:
    return any(pod.template_hash and pod.template_hash != template_hash for pod in members)


def _broken(members: Sequence[PodState], complete: frozenset[str] | None) -> str:
    restarted = next((pod for pod in members if pod.restarts or pod.phase == "Failed"), None)
    if restarted is not None:
        return f"{restarted.name} {'failed' if restarted.phase == 'Failed' else 'restarted'}"
    here = {pod.uid for pod in members}
    if complete is not None and here != complete:
        return "one of its pods is gone"
    replaced = next((pod for pod in members if any(_replaces(pod, other) for other in members)), None)
    return f"{replaced.name} replaces one that is gone" if replaced else ""


def _replaces(pod: PodState, other: PodState) -> bool:
    if not pod.created or not other.ready_since:
        return False
    return _time(pod.created) > _time(other.ready_since) + timedelta(seconds=REPLACED_SECONDS)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
