"""What the watches have shown: our objects, their children and pods, and the inventory of GPUs.

This is the operator's memory of the cluster, filled from watch events and from the answers to our own writes, and read
by the loops. Projections only: a few hundred bytes per pod, so that a busy cluster stays small in here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deepseek_operator.api.v1alpha1 import KIND
from deepseek_operator.handlers.owned_fields import our_fields, owned_digest
from deepseek_operator.handlers.waiting import STUCK_REASONS, waiting_of
from deepseek_operator.resources.configmap_plan import PLAN_SUFFIX
from deepseek_operator.resources.names import (
    ANNOTATION_PLAN_HASH,
    ANNOTATION_TEMPLATE_HASH,
    LABEL_COMPONENT,
    LABEL_DEPLOYMENT,
    LABEL_ROLE,
    LABEL_TRACK,
    LEADER_ROLE,
    label_value,
)
from deepseek_operator.resources.rolling_update import RollingUpdate
from deepseek_operator.scaling.deletion_cost import ANNOTATION_DELETION_COST

JsonObject = Mapping[str, Any]

WORKLOADS = frozenset({"Deployment", "StatefulSet", "LeaderWorkerSet"})
"""Kinds whose replicas and status are kept."""

_COST = re.compile(r"-?(0|[1-9][0-9]{0,9})")

ENGINE_COMPONENT = "engine"
"""``app.kubernetes.io/component`` of pods that serve."""

WITH_STATUS = WORKLOADS | {"Job"}
"""Kinds of children whose status is looked at."""


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """One object of the cluster; ``uid`` tells it from a successor of the same name."""

    kind: str
    namespace: str
    name: str
    uid: str


KNOWN_BY_NAME = frozenset({"Node", "ResourceQuota", "ResourceSlice"})
"""Kinds of which only facts are kept, without UID."""


def identity(body: JsonObject, kind: str) -> Identity:
    """Return the identity of an object; the items of a list do not tell their kind."""
    metadata = body["metadata"]
    if kind in KNOWN_BY_NAME:
        return Identity(kind, metadata.get("namespace", ""), metadata["name"], "")
    return Identity(kind, metadata.get("namespace", ""), metadata["name"], metadata.get("uid", ""))


def node_identity(name: str) -> Identity:
    """Return the identity of a node, which is known by its name alone."""
    return Identity("Node", "", name, "")


@dataclass(frozen=True, slots=True)
class Child:
    """An object that we own, as far as the loop needs it.

    Args:
        ownership: digest of the fields that the API server says are ours; it changes when somebody else takes one.
        owned: digest of these fields with their values, as it was listed; empty when it was not listed.
        replicas: that a workload asks for.
        template_hash: annotation of a workload that proves a kept pod template genuine.
        status: of a workload or a Job.
        data: of the ConfigMap that keeps the plan.
        update: limits of a Deployment's rollout; None for any other kind.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    owner_uid: str
    version: int
    ownership: str
    generation: int
    replicas: int
    template_hash: str
    status: JsonObject
    data: Mapping[str, str]
    update: RollingUpdate | None = None
    owned: str = ""


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


@dataclass
class Observed:
    """The store. ``deployments`` maps the UID of each DeepSeekDeployment to its newest known state."""

    deployments: dict[str, JsonObject] = field(default_factory=dict)
    _uids: dict[tuple[str, str], str] = field(default_factory=dict)
    _children: dict[str, dict[tuple[str, str], Child]] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)
    _pods: dict[tuple[str, str], dict[str, PodState]] = field(default_factory=dict)
    _pod_owners: dict[tuple[str, str], str] = field(default_factory=dict)

    def put_deployment(self, body: JsonObject) -> bool:
        """Remember a DeepSeekDeployment unless a newer state is known; return whether it was news."""
        metadata = body["metadata"]
        known = self.deployments.get(metadata["uid"])
        if known is not None and version(known) > version(body):
            return False
        slim = {**body, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}
        self.deployments[metadata["uid"]] = slim
        self._uids[(metadata["namespace"], label_value(metadata["name"]))] = metadata["uid"]
        return known is None or version(known) != version(body)

    def drop_deployment(self, gone: Identity) -> None:
        """Forget a deleted DeepSeekDeployment."""
        self.deployments.pop(gone.uid, None)
        key = (gone.namespace, label_value(gone.name))
        if self._uids.get(key) == gone.uid:
            del self._uids[key]

    def put_child(self, body: JsonObject, *, listed: bool = False) -> str | None:
        """Remember a child; return the owner's UID, None when it is not ours or no news.

        Args:
            body: the child.
            listed: whether it existed before the operator looked, so that its values must be compared with what is
                desired; of what is applied or changes later that is known or found out by applying.
        """
        child = child_of(body)
        if child is None:
            # A child of ours that names no owner any more: forgotten, it is taken back at the owner's next pass.
            return self.drop_child(identity(body, body["kind"]))
        siblings = self._children.setdefault(child.owner_uid, {})
        known = siblings.get((child.kind, child.name))
        if known is not None and known.uid == child.uid and known.version >= child.version:
            return None
        if known is not None and known.uid != child.uid:
            self._owners.pop(known.uid, None)
        if listed:
            child = replace(child, owned=owned_digest(body))
        elif known is not None and _same_fields(known, child):
            child = replace(child, owned=known.owned)
        siblings[(child.kind, child.name)] = child
        self._owners[child.uid] = child.owner_uid
        return child.owner_uid

    def distrust(self, owner_uid: str) -> None:
        """Forget with which values the children of an object were listed."""
        for key, child in self._children.get(owner_uid, {}).items():
            self._children[owner_uid][key] = replace(child, owned="")

    def drop_child(self, gone: Identity) -> str | None:
        """Forget a deleted child; return the owner's UID, None when it was not known."""
        owner_uid = self._owners.pop(gone.uid, None)
        if owner_uid is None:
            return None
        siblings = self._children[owner_uid]
        known = siblings.get((gone.kind, gone.name))
        if known is not None and known.uid == gone.uid:
            del siblings[(gone.kind, gone.name)]
        if not siblings:
            del self._children[owner_uid]
        return owner_uid

    def children(self, owner_uid: str) -> Mapping[tuple[str, str], Child]:
        """Return the known children of an object by kind and name."""
        return self._children.get(owner_uid, {})

    def put_pod(self, body: JsonObject) -> str | None:
        """Remember a pod; return the UID of the DeepSeekDeployment it belongs to, None when not ours or no news."""
        label = (body["metadata"].get("labels") or {}).get(LABEL_DEPLOYMENT)
        if not label:
            return None
        pod, key = pod_state(body), (body["metadata"]["namespace"], label)
        pods = self._pods.setdefault(key, {})
        if pods.get(pod.name) == pod:
            return None
        pods[pod.name] = pod
        self._pod_owners[(key[0], pod.name)] = label
        return self._uids.get(key)

    def drop_pod(self, namespace: str, name: str) -> str | None:
        """Forget a deleted pod; return the UID of the DeepSeekDeployment it belonged to."""
        label = self._pod_owners.pop((namespace, name), None)
        if label is None:
            return None
        pods = self._pods[(namespace, label)]
        pods.pop(name, None)
        if not pods:
            del self._pods[(namespace, label)]
        return self._uids.get((namespace, label))

    def known(self) -> set[Identity]:
        """Return every DeepSeekDeployment and every child that is remembered."""
        found = {identity(body, KIND) for body in self.deployments.values()}
        for siblings in self._children.values():
            found |= {Identity(each.kind, each.namespace, each.name, each.uid) for each in siblings.values()}
        return found

    def pods(self, namespace: str, name: str, component: str = ENGINE_COMPONENT) -> Iterable[PodState]:
        """Return the pods of a DeepSeekDeployment that play one part, ordered by name."""
        pods = self._pods.get((namespace, label_value(name)), {})
        return [pods[key] for key in sorted(pods) if pods[key].component == component]


def version(body: JsonObject) -> int:
    """Return the resource version as a number.

    The API server's versions are decimal numbers that grow with every write of a kind, and since Kubernetes 1.35
    clients may compare them; text that is no number counts as oldest.
    """
    text = str(body["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdecimal() else 0


def _same_fields(known: Child, child: Child) -> bool:
    """Return whether no field of ours can have changed between two states; kinds without generation do not tell."""
    before, after = ((each.uid, each.generation, each.ownership) for each in (known, child))
    return bool(child.generation) and before == after


def child_of(body: JsonObject) -> Child | None:
    """Return the projection of an object that a DeepSeekDeployment controls, None for any other object."""
    metadata = body["metadata"]
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller") and reference.get("kind") == KIND:
            return Child(
                kind=body["kind"],
                namespace=metadata.get("namespace", ""),
                name=metadata["name"],
                uid=metadata["uid"],
                owner_uid=reference["uid"],
                version=version(body),
                ownership=_ownership(metadata.get("managedFields") or ()),
                generation=int(metadata.get("generation") or 0),
                replicas=int((body.get("spec") or {}).get("replicas") or 0) if body["kind"] in WORKLOADS else 0,
                template_hash=str((metadata.get("annotations") or {}).get(ANNOTATION_TEMPLATE_HASH, "")),
                status=body.get("status") or {} if body["kind"] in WITH_STATUS else {},
                data=body.get("data") or {} if _component(metadata) == PLAN_SUFFIX else {},
                update=_rolling_update(body) if body["kind"] == "Deployment" else None,
            )
    return None


def _rolling_update(body: JsonObject) -> RollingUpdate | None:
    """Return the limits of a Deployment's rollout; None for what the operator never writes, such as percentages."""
    limits = ((body.get("spec") or {}).get("strategy") or {}).get("rollingUpdate") or {}
    surge, unavailable = limits.get("maxSurge"), limits.get("maxUnavailable")
    if not isinstance(surge, int) or not isinstance(unavailable, int):
        return None
    return RollingUpdate(max_surge=surge, max_unavailable=unavailable)


def pod_state(body: JsonObject) -> PodState:
    """Return the projection of a pod of ours."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    reason, message = waiting_of(spec, status)
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    waiting: JsonObject = next(
        (each["state"]["waiting"] for each in containers if (each.get("state") or {}).get("waiting")), {}
    )
    scheduled = _condition(status, "PodScheduled")
    if not waiting and scheduled.get("status") == "False":
        waiting = scheduled
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
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
        component=_component(metadata) or ENGINE_COMPONENT,
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


def _component(metadata: JsonObject) -> str:
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


def _ownership(managed_fields: Iterable[JsonObject]) -> str:
    return hashlib.sha256(repr(our_fields(managed_fields)).encode()).hexdigest()[:16]
