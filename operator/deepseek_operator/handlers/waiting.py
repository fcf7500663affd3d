"""What a pod waits for, in one sentence: read from the states of its containers, which the kubelet writes.

A Secret that is missing, an image that cannot be pulled and an engine that ends again and again all show here; nothing
has to be read for it but the pod itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

JsonObject = Mapping[str, Any]

CRASH_REASON = "CrashLoopBackOff"

STUCK_REASONS = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "RunContainerError",
        "SignatureValidationFailed",
        CRASH_REASON,
    }
)
"""Waiting reasons of a container that only a person can end.

Source: Kubernetes, pkg/kubelet/container/sync_result.go and pkg/kubelet/images/types.go.
"""

SETTING_UP = frozenset({"ContainerCreating", "PodInitializing"})
"""Waiting reasons of a container whose volumes and network are being prepared."""

MAX_CHARACTERS = 300


def waiting_of(spec: JsonObject, status: JsonObject) -> tuple[str, str]:
    """Return what a pod waits for: a reason and a sentence, both empty when it waits for nothing.

    The container that only a person can help comes first, then any other, then the scheduler.

    Args:
        spec: of the pod.
        status: of the pod.
    """
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    waiting = [each for each in containers if (each.get("state") or {}).get("waiting")]
    stuck = [each for each in waiting if each["state"]["waiting"].get("reason") in STUCK_REASONS]
    for container in (*stuck, *waiting):
        told = container["state"]["waiting"]
        reason = str(told.get("reason") or "")
        if reason == CRASH_REASON:
            return reason, one_line(_crash(container))
        message = str(told.get("message") or "") or (_mounts(spec) if reason in SETTING_UP else "")
        return reason, one_line(message)
    scheduled: JsonObject = next(
        (each for each in status.get("conditions") or () if each.get("type") == "PodScheduled"), {}
    )
    if scheduled.get("status") == "False":
        return str(scheduled.get("reason") or ""), one_line(str(scheduled.get("message") or ""))
    return "", ""


def one_line(text: str) -> str:
    r"""Return a message on one line, cut to what a condition needs.

    >>> one_line('secret "keys" not found\n')
    'secret "keys" not found'
    """
    line = re.sub(r"\s+", " ", text).strip()
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1] + "…"


def _crash(container: JsonObject) -> str:
    """Return how a container ended last; only what it left in its termination message is repeated, never its logs."""
    last = (container.get("lastState") or {}).get("terminated") or {}
    if not last:
        return str(container["state"]["waiting"].get("message") or "")
    count = int(container.get("restartCount") or 0)
    times = f"{count} time{'' if count == 1 else 's'}" if count else "again and again"
    reason = str(last.get("reason") or "")
    what = f", {reason}" if reason and reason != "Error" else ""
    said = f": {last['message']}" if last.get("message") else ""
    code = last.get("exitCode")
    return f"container {container.get('name')} was restarted {times}, last after exit code {code}{what}{said}"


def _mounts(spec: JsonObject) -> str:
    """Return what a pod's volumes come from, because only an event says which of them is missing."""
    sources = [
        *(("Secret", (each.get("secret") or {}).get("secretName")) for each in spec.get("volumes") or ()),
        *(
            ("PersistentVolumeClaim", (each.get("persistentVolumeClaim") or {}).get("claimName"))
            for each in spec.get("volumes") or ()
        ),
    ]
    named = [f"{kind} {name}" for kind, name in sources if name]
    return f"its volumes need {' and '.join(named)}" if named else ""


REFUSAL_REMEDIES = (
    (
        "violates PodSecurity",
        "ask an administrator to allow it in this namespace, or change what the message names "
        "(weights on a claim or in an image need no hostPath)",
    ),
    (
        "no PriorityClass with name",
        "install the operator's PriorityClasses, or set spec.priorityClassName or priority: None",
    ),
    ("exceeded quota", "raise the ResourceQuota, or ask for fewer replicas or GPUs"),
)
"""What to do about a pod that the API server refuses, by a part of its message."""


def refused_pods(conditions: Iterable[JsonObject]) -> str:
    """Return why the workload's controller could not create pods, with what to do; empty when it could.

    Args:
        conditions: of the workload.
    """
    failure = next((each for each in conditions if each.get("type") == "ReplicaFailure"), {})
    if failure.get("status") != "True":
        return ""
    message = one_line(str(failure.get("message") or ""))
    remedy = next((remedy for part, remedy in REFUSAL_REMEDIES if part in message), "")
    return f"pods are refused: {message}" + (f"; {remedy}" if remedy else "")
