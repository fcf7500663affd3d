"""What an account was granted, and what it has used: from the API server's answers and from its audit log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.kubectl import Kubectl

NAMESPACE = "deepseek-operator"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:deepseek-operator"
NOBODY = f"system:serviceaccount:{NAMESPACE}:default"
"""An account of the same namespace that was given nothing; it has what every account has."""

_ROW = re.compile(r"^(\S+)\s+\[.*?\]\s+\[(.*?)\]\s+\[(.*?)\]$")
"""A line of `kubectl auth can-i --list`: resource, URLs, names and verbs."""


def definition(plural: str, kind: str, group: str) -> dict[str, Any]:
    """Return a definition of somebody else's kind that takes anything; only the rights to it are of interest."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"plural": plural, "kind": kind},
            "scope": "Namespaced",
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}},
            ],
        },
    }


POD_MONITORS = definition("podmonitors", "PodMonitor", "monitoring.coreos.com")
LEADER_WORKER_SETS = definition("leaderworkersets", "LeaderWorkerSet", "leaderworkerset.x-k8s.io")


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource, written ``resource.group/subresource`` as kubectl does."""

    resource: str
    verb: str


@dataclass(frozen=True)
class Request:
    """One line of the audit log."""

    right: Right
    namespace: str
    name: str
    code: int


def granted(kubectl: Kubectl, account: str) -> set[Right]:
    """Return what `kubectl auth can-i --list` shows of an account in the namespace of ``kubectl``."""
    lines = kubectl("auth", "can-i", "--list", f"--as={account}").splitlines()
    rows = [found for line in lines if (found := _ROW.match(line.strip()))]
    return {Right(row[1], verb) for row in rows for verb in row[3].split()}


def own(kubectl: Kubectl, account: str = ACCOUNT) -> set[Right]:
    """Return what an operator's account has and not every account has, in the namespace of ``kubectl``."""
    return granted(kubectl, account) - granted(kubectl, NOBODY)


def requests_of(log: Path, account: str = ACCOUNT) -> list[Request]:
    """Return what an account asked of resources, oldest first; a call that ran long is told twice."""
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return [
        _request(event, event["objectRef"])
        for event in events
        if event["user"]["username"] == account and event.get("objectRef", {}).get("resource")
    ]


def used(requests: Iterable[Request]) -> set[Right]:
    """Return the rights without which a request would have been refused.

    An apply that made its object needed the right to create as well: the API server asks for both.
    """
    rights = set()
    for each in requests:
        rights.add(each.right)
        if each.right.verb == "patch" and each.code == 201:
            rights.add(Right(each.right.resource, "create"))
    return rights


def _request(event: dict[str, Any], reference: dict[str, Any]) -> Request:
    group, subresource = reference.get("apiGroup", ""), reference.get("subresource", "")
    resource = reference["resource"] + (f".{group}" if group else "") + (f"/{subresource}" if subresource else "")
    return Request(
        Right(resource, event["verb"]),
        reference.get("namespace", ""),
        reference.get("name", ""),
        event.get("responseStatus", {}).get("code", 0),
    )
