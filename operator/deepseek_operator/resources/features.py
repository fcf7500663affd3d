"""What a cluster can do beside the API that every cluster has, as a value for the builders.

Read from the groups and versions that the API server serves. Definitions may be installed or removed at any time, so
the value is made anew now and then; a running model keeps what it was built with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class ClusterFeatures:
    """Which APIs are served; a cluster that nothing is known of has none of them.

    Args:
        leader_worker_set: LeaderWorkerSet, which makes groups of pods over several nodes.
        kueue: Kueue, which admits whole workloads to queues.
        volcano: the Volcano scheduler.
        kai: the KAI scheduler, or run:ai, whose scheduler it is.
        coscheduling: the coscheduling plugin of kube-scheduler.
        native_gang: Kubernetes' own Workload API with PodGroup.
        dra: dynamic resource allocation, stable.
        inference_pool: the Gateway API Inference Extension.
        pod_monitor: the Prometheus Operator, which makes scrapes of PodMonitors.
    """

    leader_worker_set: bool = False
    kueue: bool = False
    volcano: bool = False
    kai: bool = False
    coscheduling: bool = False
    native_gang: bool = False
    dra: bool = False
    inference_pool: bool = False
    pod_monitor: bool = False

    def names(self) -> list[str]:
        """Return the names of the features that are there, sorted.

        >>> ClusterFeatures(kueue=True, dra=True).names()
        ['dra', 'kueue']
        """
        return sorted(each.name for each in fields(self) if getattr(self, each.name))


NO_FEATURES = ClusterFeatures()
"""A cluster with nothing beside the API that every cluster has."""

SERVED_AS: dict[str, tuple[str, ...]] = {
    "leader_worker_set": ("leaderworkerset.x-k8s.io/v1",),
    "kueue": ("kueue.x-k8s.io/v1beta1", "kueue.x-k8s.io/v1beta2"),
    "volcano": ("scheduling.volcano.sh/v1beta1",),
    "kai": ("scheduling.run.ai/v2", "scheduling.run.ai/v2alpha2"),
    "coscheduling": ("scheduling.x-k8s.io/v1alpha1",),
    "native_gang": ("scheduling.k8s.io/v1alpha2", "scheduling.k8s.io/v1beta1"),
    "dra": ("resource.k8s.io/v1",),
    "inference_pool": ("inference.networking.k8s.io/v1",),
    "pod_monitor": ("monitoring.coreos.com/v1",),
}
"""Feature to the group versions of which one is served where it is installed.

Source: the projects' API packages (kubernetes-sigs/lws, kubernetes-sigs/kueue, volcano-sh/apis, NVIDIA/KAI-Scheduler,
kubernetes-sigs/scheduler-plugins, kubernetes-sigs/gateway-api-inference-extension, prometheus-operator) and Kubernetes
1.36 ``pkg/apis/scheduling`` (``v1alpha2``; ``v1beta1`` is announced for 1.37 and unverified).
"""


def features_of(served: Collection[str]) -> ClusterFeatures:
    """Return the features of a cluster.

    Args:
        served: every group version that its API server serves, such as ``apps/v1``.

    >>> features_of({"apps/v1", "leaderworkerset.x-k8s.io/v1"}).names()
    ['leader_worker_set']
    """
    return ClusterFeatures(
        **{name: any(version in served for version in versions) for name, versions in SERVED_AS.items()}
    )


def features_named(names: Iterable[str]) -> ClusterFeatures:
    """Return features from their names; a name that a later version knows is ignored.

    >>> features_named(["kueue", "teleportation"])
    ClusterFeatures(leader_worker_set=False, kueue=True, volcano=False, kai=False, coscheduling=False, \
native_gang=False, dra=False, inference_pool=False, pod_monitor=False)
    """
    return ClusterFeatures(**{name: True for name in names if name in SERVED_AS})
