"""Who places all pods of a group at once or none of them: the queue that the owner names, where its software is there.

A scheduler that takes pods one by one may give half of a group its GPUs and let it wait for the other half for ever.
Without a gang scheduler the operator makes a group only when the whole of it fits (`capacity.fits`).
"""

from __future__ import annotations

from enum import StrEnum

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.features import ClusterFeatures
from deepseek_operator.resources.names import LABEL_QUEUE, Manifest


class Gang(StrEnum):
    """The software that admits or places groups."""

    NONE = "None"
    KUEUE = "Kueue"
    VOLCANO = "Volcano"
    KAI = "KAI"


VOLCANO_SCHEDULER = "volcano"
VOLCANO_QUEUE_ANNOTATION = "scheduling.volcano.sh/queue-name"
"""On the LeaderWorkerSet; its controller makes one PodGroup per group from it, when it is set up with
``gangSchedulingManagement.schedulerProvider: volcano``.

Source: kubernetes-sigs/lws v0.9.0 ``pkg/schedulerprovider/volcano_provider.go``."""

KAI_SCHEDULER = "kai-scheduler"
KAI_QUEUE_LABEL = "kai.scheduler/queue"
"""On workload and pods; KAI's pod grouper makes the PodGroup from the owner. Source: NVIDIA/KAI-Scheduler docs."""


def gang_of(deployment: DeepSeekDeployment, features: ClusterFeatures) -> Gang:
    """Return who admits the groups of a deployment: the one that is installed, when its owner names a queue.

    Where several are installed Kueue is taken, because its label is what ``spec.queueName`` has always set.
    """
    if not deployment.spec.queue_name:
        return Gang.NONE
    for gang, installed in ((Gang.KUEUE, features.kueue), (Gang.VOLCANO, features.volcano), (Gang.KAI, features.kai)):
        if installed:
            return gang
    return Gang.NONE


def is_made_whole(deployment: DeepSeekDeployment, plan: Plan, features: ClusterFeatures) -> bool:
    """Return whether the operator itself must see to it that no half of a replica is made: nobody else places it."""
    return plan.nodes_per_replica > 1 and gang_of(deployment, features) is Gang.NONE


def workload_metadata(meta: Manifest, gang: Gang, queue_name: str) -> Manifest:
    """Return the metadata of a group's workload with the queue added, where one is named.

    Args:
        meta: labels and annotations as they are without; it is not changed.
        gang: who reads the queue; with None the label of Kueue is set all the same, as for a Deployment.
        queue_name: of the owner; empty for none.
    """
    if not queue_name:
        return meta
    if gang is Gang.VOLCANO:
        return {**meta, "annotations": {**meta.get("annotations", {}), VOLCANO_QUEUE_ANNOTATION: queue_name}}
    label = KAI_QUEUE_LABEL if gang is Gang.KAI else LABEL_QUEUE
    return {**meta, "labels": {**meta["labels"], label: queue_name}}


def scheduled_by(template: Manifest, gang: Gang, queue_name: str) -> Manifest:
    """Return a pod template that the gang scheduler places; the same one where kube-scheduler does (Kueue, none)."""
    scheduler = {Gang.VOLCANO: VOLCANO_SCHEDULER, Gang.KAI: KAI_SCHEDULER}.get(gang)
    if scheduler is None:
        return template
    made = {**template, "spec": {**template["spec"], "schedulerName": scheduler}}
    if gang is Gang.KAI:
        meta = template["metadata"]
        made["metadata"] = {**meta, "labels": {**meta["labels"], KAI_QUEUE_LABEL: queue_name}}
    return made
