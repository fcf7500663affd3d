"""Names, labels, selectors and owner references: what ties the children of a DeepSeekDeployment together.

Everything here ends up in fields that Kubernetes never lets us change (selectors) or that people select on
(labels), so it depends on the object's name alone: not on the plan, the engine or the operator's version.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from deepseek_operator.api.v1alpha1 import API_VERSION, GROUP, KIND

Manifest = dict[str, Any]
"""A Kubernetes object as the API server takes it: a plain dict that YAML or JSON can carry."""

FIELD_MANAGER = "deepseek-operator"
"""Who we are to server-side apply; also the value of ``app.kubernetes.io/managed-by``."""

LABEL_NAME = "app.kubernetes.io/name"
"""What runs in the pods: always ``deepseek-model``, so that one selector finds every model of a cluster."""

LABEL_INSTANCE = "app.kubernetes.io/instance"
"""Which DeepSeekDeployment it belongs to, for dashboards that group by the common labels."""

LABEL_COMPONENT = "app.kubernetes.io/component"
"""The part that it plays: ``engine`` for everything that serves, ``plan`` for the kept plan."""

LABEL_PART_OF = "app.kubernetes.io/part-of"
"""The product: always ``deepseek-operator``."""

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
"""Who writes it: always the operator's field manager; pruning looks only at objects that carry it."""

LABEL_DEPLOYMENT = f"{GROUP}/deployment"
"""Which DeepSeekDeployment it belongs to (`label_value`); the one label that the operator itself selects on."""

LABEL_ROLE = f"{GROUP}/role"
"""``leader`` on the one pod per replica that answers requests; Services and status.selector select it."""

LEADER_ROLE = "leader"

LABEL_TRACK = f"{GROUP}/track"
"""``canary`` on pods that run a change on trial; the others have no such label."""

CANARY = "canary"
"""Value of ``LABEL_TRACK``, and suffix of the trial's workload and Service."""

LABEL_QUEUE = "kueue.x-k8s.io/queue-name"
"""Kueue's own label: the queue that admits the workload; only on the workload object, as Kueue asks."""

ANNOTATION_PLAN_HASH = f"{GROUP}/plan-hash"
"""On pods: hash of the plan that they run; a pod with another hash than the accepted plan is still the old one."""

ANNOTATION_TEMPLATE_HASH = f"{GROUP}/template-hash"
"""On the workload: hash of the pod template as the operator wrote it; proves a kept template genuine."""

MAX_LABEL_CHARACTERS = 63
"""Longest DNS label and label value. Source: RFC 1123 section 2.1, Kubernetes "Object Names and IDs"."""


GROUP_SUFFIX = "nodes"

REVISION_CHARACTERS = 11
"""Hyphen and hash in ``controller-revision-hash``. Source: Kubernetes ``pkg/controller/history`` (10 digits)."""

NUMBER_CHARACTERS = 6
"""Hyphen and number at the end of the name of a group or a node's StatefulSet, up to 99,999."""

LABEL_NODE_RANK = f"{GROUP}/node-rank"
"""Which node of its group a pod is, 0 on leaders, where each node has a StatefulSet of its own."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The DeepSeekDeployment that a child belongs to.

    Args:
        name: its ``metadata.name``, a DNS subdomain of 1-253 characters.
        namespace: its namespace, and that of all children.
        uid: its UID as the API server gave it; empty for manifests that are rendered for a Git repository, where the
            object does not exist yet and Git itself prunes.
    """

    name: str
    namespace: str
    uid: str = ""


_DNS_LABEL = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
_HASHED = re.compile(r".*-h[0-9a-f]{10}")


def object_name(owner: str, suffix: str = "", longest: int = MAX_LABEL_CHARACTERS) -> str:
    """Return the name of a child: the owner's own name wherever Kubernetes allows it.

    A Service name is a DNS label of at most 63 characters that begins with a letter, while a custom
    resource may be called ``3.2.deepseek`` or anything up to 253 characters. Such a name is made legal
    and marked with a hash of the whole, so two owners of a namespace never share a child. A name
    that already looks marked is marked again for the same reason.

    Args:
        owner: ``metadata.name`` of the DeepSeekDeployment, a DNS subdomain of 1-253 characters.
        suffix: what tells two children of one kind apart, at most 20 characters of a DNS label.
        longest: characters that the name may have, 40 to 63.

    >>> object_name("deepseek-67b"), object_name("deepseek-67b", "plan")
    ('deepseek-67b', 'deepseek-67b-plan')
    >>> object_name("v3.2-exp")
    'v3-2-exp-hffad8f2396'
    >>> len(object_name("x" * 253, "plan"))
    63
    """
    tail = f"-{suffix}" if suffix else ""
    room = longest - len(tail)
    if len(owner) <= room and _DNS_LABEL.fullmatch(owner) and not _HASHED.fullmatch(owner):
        return owner + tail
    mark = "-h" + hashlib.sha256(owner.encode()).hexdigest()[:10]
    stem = re.sub(r"[^a-z0-9-]", "-", owner.lower())
    stem = stem if stem[:1].isalpha() else f"m-{stem}"
    return stem[: room - len(mark)].rstrip("-") + mark + tail


def group_name(owner: str) -> str:
    """Return the name of what makes pods over several nodes, and of the headless Service that gives them host names.

    Kubernetes writes the name of a StatefulSet with eleven more characters into a label, and the names of a group's
    StatefulSets end in a number besides.

    >>> group_name("deepseek-r1"), len(group_name("x" * 253))
    ('deepseek-r1-nodes', 46)
    """
    return object_name(owner, GROUP_SUFFIX, MAX_LABEL_CHARACTERS - REVISION_CHARACTERS - NUMBER_CHARACTERS)


def label_value(owner: str) -> str:
    """Return the owner's name as a label value: the same text as its Service and workload are called."""
    return object_name(owner)


def selector_labels(owner: str) -> dict[str, str]:
    """Return the labels that select the pods which answer requests, one pod per replica.

    They are immutable in a Deployment, so they hold nothing that may ever change.

    >>> selector_labels("deepseek-67b")
    {'deepseek-operator.io/deployment': 'deepseek-67b', 'deepseek-operator.io/role': 'leader'}
    """
    return {LABEL_DEPLOYMENT: label_value(owner), LABEL_ROLE: LEADER_ROLE}


def selector_text(owner: str) -> str:
    """Return the same selector as text, as ``status.selector`` and ``kubectl -l`` take it.

    >>> selector_text("r1")
    'deepseek-operator.io/deployment=r1,deepseek-operator.io/role=leader'
    """
    return ",".join(f"{key}={value}" for key, value in sorted(selector_labels(owner).items()))


def common_labels(owner: str, component: str = "engine") -> dict[str, str]:
    """Return the labels that every child carries."""
    return {
        LABEL_NAME: "deepseek-model",
        LABEL_INSTANCE: label_value(owner),
        LABEL_COMPONENT: component,
        LABEL_PART_OF: "deepseek-operator",
        LABEL_MANAGED_BY: FIELD_MANAGER,
        LABEL_DEPLOYMENT: label_value(owner),
    }


def owner_reference(owner: Owner) -> Manifest:
    """Return the reference that lets the garbage collector delete a child with its owner.

    ``blockOwnerDeletion`` is true so that a foreground deletion (Argo CD's default) ends only when the pods, and with
    them the GPUs, are released; it costs the operator one permission on the ``deepseekdeployments/finalizers``
    subresource where the admission plugin OwnerReferencesPermissionEnforcement asks for it.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata(owner: Owner, *, suffix: str = "", component: str = "engine") -> Manifest:
    """Return the metadata of a child: name, namespace, labels and its owner.

    Args:
        owner: the DeepSeekDeployment; without a UID the child names no owner.
        suffix: what tells two children of one kind apart.
        component: the part that the child plays.
    """
    made: Manifest = {
        "name": object_name(owner.name, suffix),
        "namespace": owner.namespace,
        "labels": common_labels(owner.name, component),
    }
    if owner.uid:
        made["ownerReferences"] = [owner_reference(owner)]
    return made
