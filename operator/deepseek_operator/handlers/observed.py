"""What the watches have shown: our objects, their children and pods, and the inventory of GPUs.

This is the operator's memory of the cluster, filled from watch events and from the answers to our own writes, and read
by the loops. Projections only: a few hundred bytes per pod, so that a busy cluster stays small in here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deepseek_operator.api.v1alpha1 import KIND
from deepseek_operator.handlers.owned_fields import our_fields, owned_digest
from deepseek_operator.handlers.pod_state import ENGINE_COMPONENT, PodState, component, pod_state
from deepseek_operator.resources.configmap_plan import PLAN_SUFFIX
from deepseek_operator.resources.names import (
    ANNOTATION_TEMPLATE_HASH,
    LABEL_DEPLOYMENT,
    label_value,
)
from deepseek_operator.resources.rolling_update import RollingUpdate

JsonObject = Mapping[str, Any]

WORKLOADS = frozenset({"Deployment", "StatefulSet", "LeaderWorkerSet"})
"""Kinds whose replicas and status are kept."""

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

    def put_written(self, before: JsonObject, stored: JsonObject) -> None:
        """Remember what a write of a status returned, unless the object was changed meanwhile: that is news.

        Args:
            before: the object that the status is about.
            stored: the object as the write returned it; remembered, it would hide the change that the watch tells.
        """
        if _asked(before) == _asked(stored):
            self.put_deployment(stored)

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
                data=body.get("data") or {} if component(metadata) == PLAN_SUFFIX else {},
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


def _ownership(managed_fields: Iterable[JsonObject]) -> str:
    return hashlib.sha256(repr(our_fields(managed_fields)).encode()).hexdigest()[:16]


def _asked(body: JsonObject) -> tuple[object, ...]:
    """Return what changes when anybody but a writer of status changes an object."""
    metadata = body["metadata"]
    return tuple(metadata.get(field) for field in ("generation", "labels", "annotations", "deletionTimestamp"))
