"""From what the watches and the metrics show of one object to the snapshot that scaling decides on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from deepseek_operator.handlers.group_state import by_group, placed_replicas
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.scaling_facts import ScalingFacts
from deepseek_operator.scaling.readings import MeasuredObject, Readings
from deepseek_operator.scaling.signals import Signal, Snapshot

LONGEST_START_SECONDS = 7200.0
"""A pod that became ready later than this after it got its node is taken for one that was ready before."""


def measured_object(scaled: ScalingFacts, pods: Iterable[PodState]) -> MeasuredObject:
    """Return what is to be measured: the pods that serve."""
    return MeasuredObject(
        uid=scaled.uid,
        namespace=scaled.namespace,
        name=scaled.name,
        engine=scaled.engine,
        release=scaled.release,
        pods=tuple(pod.name for pod in pods if pod.leads and pod.ready and not pod.deleting),
        served_name=scaled.served_name,
        percentile=scaled.sla.percentile if scaled.sla else MeasuredObject.percentile,
    )


def snapshot(
    readings: Readings, *, current: int, ready: int, waiting_for_gpus: int, waiting_seconds: float
) -> Snapshot:
    """Return the snapshot of one object.

    Args:
        readings: what its engines measure.
        current: replicas that are asked for.
        ready: replicas that serve.
        waiting_for_gpus: replicas that are asked for and have no node.
        waiting_seconds: how long the first of them has waited.
    """
    return Snapshot(
        tokens_per_second=_usable(readings.tokens_per_second),
        seconds_per_token=_usable(readings.seconds_per_token),
        starts_per_second=_usable(readings.starts_per_second),
        prompt_work=_usable(readings.prompt_work),
        running=_usable(readings.running),
        waiting=_usable(readings.waiting),
        cached_tokens=_usable(readings.cached_tokens),
        ready=ready,
        starting=max(0, current - ready),
        waiting_for_gpus=waiting_for_gpus,
        waiting_for_gpus_seconds=waiting_seconds,
    )


def _usable(signal: Signal) -> Signal:
    """Return a signal whose value is 0 where it must not be used."""
    return signal if signal.present else Signal(availability=signal.state)


def without_gpus(current: int, pods: Sequence[PodState], size: int) -> int:
    """Return how many of the replicas that are asked for have no node yet.

    Args:
        current: replicas that are asked for.
        pods: of the object.
        size: pods of a replica, 1 or more.
    """
    return max(0, current - placed_replicas(pods, size))


def waiting_since(known: float | None, waiting: int, pods: Iterable[PodState], now: float) -> float | None:
    """Return since when the first replica waits for GPUs; None when none does.

    Args:
        known: the answer before.
        waiting: replicas without a node.
        pods: of the object.
        now: seconds since 1970.
    """
    if not waiting:
        return None
    made = [_seconds(pod.created) for pod in pods if not pod.node and not pod.deleting and pod.created]
    return min([now if known is None else known, *made])


def start_seconds(pods: Sequence[PodState], size: int, *, with_nodes: bool) -> Mapping[str, float]:
    """Return how long replicas took to start, by the UIDs of their pods; those that restarted are left out.

    Args:
        pods: of the object.
        size: pods of a replica, 1 or more.
        with_nodes: whether the wait for a node counts, because pods that wait make nodes come.
    """
    replicas = [[pod] for pod in pods] if size == 1 else [each for each in by_group(pods).values() if len(each) == size]
    found: dict[str, float] = {}
    for members in replicas:
        if any(pod.restarts or pod.deleting or not (pod.ready_since and pod.placed_since) for pod in members):
            continue
        begun = min(_seconds(pod.created if with_nodes else pod.placed_since) for pod in members)
        took = max(_seconds(pod.ready_since) for pod in members) - begun
        if 0 <= took <= LONGEST_START_SECONDS:
            found["/".join(sorted(pod.uid for pod in members))] = took
    return found


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
