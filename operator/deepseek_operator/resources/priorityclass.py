"""Which PriorityClass a model's pods name. The chart installs the classes; the operator never writes them."""

from __future__ import annotations

from typing import Any

PRIORITY_CLASSES = {
    "Critical": "deepseek-critical",
    "High": "deepseek-high",
    "Standard": "deepseek-standard",
    "Batch": "deepseek-batch",
}
"""``spec.priority`` to the PriorityClass of that name, highest first."""


GROUP_CLASSES = {"deepseek-critical": "deepseek-critical-group", "deepseek-high": "deepseek-high-group"}
"""A class that preempts to the one of the same value that does not, for replicas over several nodes."""


def group_priority_class(name: str) -> str:
    """Return the class for a pod of a group that kube-scheduler places pod by pod.

    It would stop another's model for the first pod of a group and find no room for the second; so these pods wait, at
    the same priority. (A pod cannot say ``preemptionPolicy`` by itself: it follows from the class.)

    >>> group_priority_class("deepseek-high"), group_priority_class("deepseek-batch")
    ('deepseek-high-group', 'deepseek-batch')
    """
    return GROUP_CLASSES.get(name, name)


def priority_class_name(priority: str, own_class: str = "") -> str:
    """Return the PriorityClass to name in the pod.

    Args:
        priority: ``Critical``, ``High``, ``Standard``, ``Batch`` or ``None``.
        own_class: ``spec.priorityClassName``; when given it is used as written.

    Returns:
        Its name; empty for ``None``: the pods name no class and get the cluster's default.

    >>> priority_class_name("Standard"), priority_class_name("Standard", "gold"), priority_class_name("None")
    ('deepseek-standard', 'gold', '')
    """
    return own_class or PRIORITY_CLASSES.get(priority, "")


PRIORITY_VALUES = {"Critical": 1_000_000, "High": 100_000, "Standard": 10_000, "Batch": 1_000}
"""The classes' values, as the chart installs them; the system's own classes lie above 1,000,000,000."""

PREEMPTING = frozenset({"Critical", "High"})
"""Priorities that take GPUs from running models of a lower one; the others wait for free GPUs.

Standard is what everybody gets who says nothing, and it lies above the pods of other teams that name no class (0): were
it to preempt, installing the operator would let every model stop their work.
"""


def build_priority_classes() -> list[dict[str, Any]]:
    """Return the classes as the chart installs them, for a cluster without the chart (the local one)."""
    classes = [
        _priority_class(name, priority, preempts=priority in PREEMPTING) for priority, name in PRIORITY_CLASSES.items()
    ]
    groups = [
        _priority_class(GROUP_CLASSES[name], priority, preempts=False)
        for priority, name in PRIORITY_CLASSES.items()
        if name in GROUP_CLASSES
    ]
    return classes + groups


def _priority_class(name: str, priority: str, *, preempts: bool) -> dict[str, Any]:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": PRIORITY_VALUES[priority],
        "globalDefault": False,
        "preemptionPolicy": "PreemptLowerPriority" if preempts else "Never",
    }
