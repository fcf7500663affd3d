"""GPU shares by the KAI scheduler: what a pod asks for in annotations, because it has no resource for it."""

from __future__ import annotations

from collections.abc import Mapping

KAI_FRACTION = "gpu-fraction"
"""Annotation: part of one GPU, such as ``0.5``. Source: kai-scheduler docs/gpu-sharing/README.md."""

KAI_MEMORY = "gpu-memory"
"""Annotation: MiB of one GPU. Source: kai-scheduler docs/gpu-sharing/README.md."""

KAI_RESERVATIONS = "kai-resource-reservation"
"""Namespace of the pods by which KAI holds the GPUs that it divides. Source: as above."""

FRACTION_PERCENT = "gpu-fraction-percent"
"""Our own name for a fraction as a whole number, rounded up."""


def kai_requests(annotations: Mapping[str, object]) -> dict[str, int]:
    """Return what a pod asks of KAI, in MiB or in percent of a GPU; empty for other pods and for what is no number.

    >>> kai_requests({"gpu-fraction": "0.5"}), kai_requests({"gpu-memory": "2000"}), kai_requests({"gpu-memory": "x"})
    ({'gpu-fraction-percent': 50}, {'gpu-memory': 2000}, {})
    """
    memory, fraction = str(annotations.get(KAI_MEMORY) or ""), str(annotations.get(KAI_FRACTION) or "")
    if memory.isascii() and memory.isdecimal() and len(memory) < len(str(10**9)):
        return {KAI_MEMORY: int(memory)}
    whole, _, decimals = fraction.partition(".")
    if whole in ("", "0") and decimals.isascii() and decimals.isdecimal():
        hundredths = int(f"{decimals:0<2}"[:2]) + (1 if decimals[2:].strip("0") else 0)
        return {FRACTION_PERCENT: hundredths} if hundredths else {}
    return {}
