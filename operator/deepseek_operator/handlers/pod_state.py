"""The projection of a pod of ours: where it runs, what it runs and what it waits for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepseek_operator.handlers.waiting import STUCK_REASONS, waiting_of
from deepseek_operator.resources.names import (
    ANNOTATION_PLAN_HASH,
    ANNOTATION_TEMPLATE_HASH,
    LABEL_COMPONENT,
    LABEL_ROLE,
    LABEL_TRACK,
    LEADER_ROLE,
)
from deepseek_operator.scaling.deletion_cost import ANNOTATION_DELETION_COST

JsonObject = Mapping[str, Any]

_COST = re.compile(r"-?(0|[1-9][0-9]{0,9})")

ENGINE_COMPONENT = "engine"
"""``app.kubernetes.io/component`` of pods that serve."""


@dataclass(frozen=True, slots=True)
class PodState:
    """One of our pods: where it runs and what it waits for.

    Args:
        address: IP address; empty until it has one.
        plan_hash: of the plan that it runs.
        image: of the engine's container.
        owner: name of the ReplicaSet that controls it; empty for any other pod.
        component: ``engine`` for what serves, ``download`` for what fills the cache.
        group: number of the group of pods over several nodes that it is part of; None for any other pod.
        restarts: of all its containers.
        created: when it was made, RFC 3339.
        ready_since: since when it is ready, RFC 3339; empty while it is not.
        template_hash: what it was made from; empty where its workload tells itself.
        track: ``canary`` for a pod that runs a change on trial.
        leads: whether it answers requests: of a group only the leader does.
        placed_since: since when it has a node, RFC 3339; empty while it has none.
        deletion_cost: as its annotation says; 0 without one, as its controller reads it.
    """

    name: str
    node: str
    phase: str
    ready: bool
    deleting: bool
    waiting_reason: str
    waiting_message: str
    uid: str = ""
    address: str = ""
    plan_hash: str = ""
    image: str = ""
    owner: str = ""
    component: str = ENGINE_COMPONENT
    group: int | None = None
    restarts: int = 0
    created: str = ""
    ready_since: str = ""
    template_hash: str = ""
    track: str = ""
    leads: bool = True
    placed_since: str = ""
    deletion_cost: int = 0

    @property
    def is_stuck(self) -> bool:
        """Whether only a person can end what it waits for."""
        return self.waiting_reason in STUCK_REASONS

    @property
    def says(self) -> str:
        """What it waits for, with its name."""
        detail = f": {self.waiting_message}" if self.waiting_message else ""
        return f"pod {self.name} waits, {self.waiting_reason}{detail}"


def pod_state(body: JsonObject) -> PodState:
    """Return the projection of a pod of ours."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    reason, message = waiting_of(spec, status)
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    scheduled = _condition(status, "PodScheduled")
    ready, annotations = _condition(status, "Ready"), metadata.get("annotations") or {}
    is_ready = ready.get("status") == "True"
    return PodState(
        name=metadata["name"],
        node=spec.get("nodeName") or "",
        phase=status.get("phase") or "",
        ready=is_ready,
        deleting=bool(metadata.get("deletionTimestamp")),
        waiting_reason=reason,
        waiting_message=message,
        uid=str(metadata.get("uid") or ""),
        address=str(status.get("podIP") or ""),
        plan_hash=str(annotations.get(ANNOTATION_PLAN_HASH) or ""),
        track=str((metadata.get("labels") or {}).get(LABEL_TRACK) or ""),
        image=next((str(each.get("image") or "") for each in spec.get("containers") or ()), ""),
        owner=next(
            (
                str(each.get("name") or "")
                for each in metadata.get("ownerReferences") or ()
                if each.get("controller") and each.get("kind") == "ReplicaSet"
            ),
            "",
        ),
        component=component(metadata) or ENGINE_COMPONENT,
        group=_group(metadata.get("labels") or {}),
        restarts=sum(int(each.get("restartCount") or 0) for each in containers),
        created=str(metadata.get("creationTimestamp") or ""),
        ready_since=str(ready.get("lastTransitionTime") or "") if is_ready else "",
        template_hash=str(annotations.get(ANNOTATION_TEMPLATE_HASH) or ""),
        leads=(metadata.get("labels") or {}).get(LABEL_ROLE, LEADER_ROLE) == LEADER_ROLE,
        placed_since=str(scheduled.get("lastTransitionTime") or "") if scheduled.get("status") == "True" else "",
        deletion_cost=_cost(str(annotations.get(ANNOTATION_DELETION_COST) or "")),
    )


def _cost(text: str) -> int:
    return int(text) if _COST.fullmatch(text) else 0


def component(metadata: JsonObject) -> str:
    """Return the part that an object of ours plays, as its label says; empty without one."""
    return str((metadata.get("labels") or {}).get(LABEL_COMPONENT) or "")


GROUP_INDEX_LABELS = ("leaderworkerset.sigs.k8s.io/group-index", "apps.kubernetes.io/pod-index")
"""Labels that tell which group a pod is of: LeaderWorkerSet's, and that of the StatefulSets of one node each.

Source: kubernetes-sigs/lws v0.9.0 ``GroupIndexLabelKey``; Kubernetes, "StatefulSets", pod index label.
"""


def _group(labels: JsonObject) -> int | None:
    index = next((str(labels[label]) for label in GROUP_INDEX_LABELS if label in labels), "")
    return int(index) if index.isdecimal() else None


def _condition(status: JsonObject, kind: str) -> JsonObject:
    return next((each for each in status.get("conditions") or () if each.get("type") == kind), {})
