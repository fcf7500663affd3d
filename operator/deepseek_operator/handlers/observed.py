"""What the watches have shown: our objects, their children and pods, and the inventory of GPUs.

This is the operator's memory of the cluster, filled from watch events and from the answers to our own writes, and read
by the loops. Projections only: a few hundred bytes per pod, so that a busy cluster stays small in here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deepseek_operator.api.v1alpha1 import KIND
from deepseek_operator.resources.names import (
    ANNOTATION_TEMPLATE_HASH,
    FIELD_MANAGER,
    LABEL_DEPLOYMENT,
    label_value,
)

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Child:
    """An object that we own, as far as the loop needs it.

    Args:
        ownership: digest of the fields that the API server says are ours; it changes when somebody else takes one.
        replicas: that a workload asks for.
        template_hash: annotation of a workload that proves a kept pod template genuine.
        status: of a workload.
        data: of a ConfigMap.
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


@dataclass(frozen=True, slots=True)
class PodState:
    """One of our pods: where it runs and what it waits for."""

    name: str
    node: str
    phase: str
    ready: bool
    deleting: bool
    waiting_reason: str
    waiting_message: str


@dataclass
class Observed:
    """The store. ``deployments`` maps the UID of each DeepSeekDeployment to its newest known state."""

    deployments: dict[str, JsonObject] = field(default_factory=dict)
    _uids: dict[tuple[str, str], str] = field(default_factory=dict)
    _children: dict[str, dict[tuple[str, str], Child]] = field(default_factory=dict)
    _pods: dict[tuple[str, str], dict[str, PodState]] = field(default_factory=dict)

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

    def drop_deployment(self, body: JsonObject) -> None:
        """Forget a deleted DeepSeekDeployment."""
        metadata = body["metadata"]
        self.deployments.pop(metadata["uid"], None)
        key = (metadata["namespace"], label_value(metadata["name"]))
        if self._uids.get(key) == metadata["uid"]:
            del self._uids[key]

    def put_child(self, body: JsonObject) -> str | None:
        """Remember a child unless a newer state is known; return the owner's UID, None when it is not ours."""
        child = child_of(body)
        if child is None:
            return None
        siblings = self._children.setdefault(child.owner_uid, {})
        known = siblings.get((child.kind, child.name))
        if known is None or known.uid != child.uid or known.version <= child.version:
            siblings[(child.kind, child.name)] = child
        return child.owner_uid

    def drop_child(self, body: JsonObject) -> str | None:
        """Forget a deleted child; return the owner's UID, None when it is not ours."""
        child = child_of(body)
        if child is None:
            return None
        siblings = self._children.get(child.owner_uid, {})
        known = siblings.get((child.kind, child.name))
        if known is not None and known.uid == child.uid:
            del siblings[(child.kind, child.name)]
        if not siblings:
            self._children.pop(child.owner_uid, None)
        return child.owner_uid

    def children(self, owner_uid: str) -> Mapping[tuple[str, str], Child]:
        """Return the known children of an object by kind and name."""
        return self._children.get(owner_uid, {})

    def put_pod(self, body: JsonObject) -> str | None:
        """Remember a pod; return the UID of the DeepSeekDeployment it belongs to, None when it is not ours."""
        key = _pod_owner(body)
        if key is None:
            return None
        pod = pod_state(body)
        self._pods.setdefault(key, {})[pod.name] = pod
        return self._uids.get(key)

    def drop_pod(self, body: JsonObject) -> str | None:
        """Forget a deleted pod; return the UID of the DeepSeekDeployment it belonged to."""
        key = _pod_owner(body)
        if key is None:
            return None
        pods = self._pods.get(key, {})
        pods.pop(body["metadata"]["name"], None)
        if not pods:
            self._pods.pop(key, None)
        return self._uids.get(key)

    def pods(self, namespace: str, name: str) -> Iterable[PodState]:
        """Return the pods of a DeepSeekDeployment, ordered by name."""
        pods = self._pods.get((namespace, label_value(name)), {})
        return [pods[key] for key in sorted(pods)]


def version(body: JsonObject) -> int:
    """Return the resource version as a number.

    The API server's versions are decimal numbers that grow with every write of a kind, and since Kubernetes 1.35
    clients may compare them; text that is no number counts as oldest.
    """
    text = str(body["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdecimal() else 0


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
                replicas=int((body.get("spec") or {}).get("replicas") or 0) if body["kind"] == "Deployment" else 0,
                template_hash=str((metadata.get("annotations") or {}).get(ANNOTATION_TEMPLATE_HASH, "")),
                status=body.get("status") or {} if body["kind"] == "Deployment" else {},
                data=body.get("data") or {} if body["kind"] == "ConfigMap" else {},
            )
    return None


def pod_state(body: JsonObject) -> PodState:
    """Return the projection of a pod of ours."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    waiting: JsonObject = next(
        (each["state"]["waiting"] for each in containers if (each.get("state") or {}).get("waiting")), {}
    )
    unschedulable = _condition(status, "PodScheduled")
    if not waiting and unschedulable.get("status") == "False":
        waiting = unschedulable
    return PodState(
        name=metadata["name"],
        node=spec.get("nodeName") or "",
        phase=status.get("phase") or "",
        ready=_condition(status, "Ready").get("status") == "True",
        deleting=bool(metadata.get("deletionTimestamp")),
        waiting_reason=str(waiting.get("reason") or ""),
        waiting_message=str(waiting.get("message") or "")[:300],
    )


def _condition(status: JsonObject, kind: str) -> JsonObject:
    return next((each for each in status.get("conditions") or () if each.get("type") == kind), {})


def _pod_owner(body: JsonObject) -> tuple[str, str] | None:
    metadata = body["metadata"]
    label = (metadata.get("labels") or {}).get(LABEL_DEPLOYMENT)
    return (metadata["namespace"], label) if label else None


def _ownership(managed_fields: Iterable[JsonObject]) -> str:
    ours = [
        entry.get("fieldsV1")
        for entry in managed_fields
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")
    ]
    return hashlib.sha256(json.dumps(ours, sort_keys=True).encode()).hexdigest()[:16]
