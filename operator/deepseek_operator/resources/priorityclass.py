"""Which PriorityClass a model's pods name. The chart installs the four classes; the operator never writes them."""

from __future__ import annotations

PRIORITY_CLASSES = {
    "Critical": "deepseek-critical",
    "High": "deepseek-high",
    "Standard": "deepseek-standard",
    "Batch": "deepseek-batch",
}
"""``spec.priority`` to the PriorityClass of that name, highest first."""


def priority_class_name(priority: str, own_class: str = "") -> str:
    """Return the PriorityClass to name in the pod.

    Args:
        priority: ``Critical``, ``High``, ``Standard`` or ``Batch``.
        own_class: ``spec.priorityClassName``; when given it is used as written.

    >>> priority_class_name("Standard"), priority_class_name("Standard", "gold")
    ('deepseek-standard', 'gold')
    """
    return own_class or PRIORITY_CLASSES[priority]
