"""Events for the changes that a person would ask about, told after the status that they tell of was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import kopf

from deepseek_operator.api import conditions
from deepseek_operator.scaling.readings import ProblemReason

JsonObject = Mapping[str, Any]

TOLD = (
    conditions.PLANNED,
    conditions.READY,
    conditions.PLAN_ACCURATE,
    conditions.ROLLING_OUT,
    conditions.MEMORY_PRESSURE,
    conditions.SLA_MET,
)
"""Conditions whose changes become events; the others change together with them."""

QUIET = frozenset(
    {
        *("Progressing", "WithinBand", "EngineServesTls", "SizedByHand", "NotMeasured", "NoPressure"),
        *("NoSla", "NoRequests", *ProblemReason),
    }
)
"""Reasons that nobody asks about: a start is told when it has ended, and by the workload's own events; metrics that are
missing are a condition of their own."""

WARNED = frozenset(
    {
        *("BriefOutage", "WaitingForGpus", "ProgressDeadlineExceeded"),
        *("KvCacheFull", "Quantizing", "NoFurtherFormat", "GpuHeadroomLow"),
    }
)
"""Reasons of RollingOut and MemoryPressure that somebody should look at."""

MAX_MESSAGE_CHARACTERS = 1024
"""The API server refuses longer messages of events."""


def post_events(body: JsonObject, old: Iterable[JsonObject], new: Iterable[JsonObject]) -> None:
    """Post one event for each condition of ``TOLD`` that has another status or reason than before.

    Args:
        body: the object that the events are about.
        old: its conditions before.
        new: its conditions now.
    """
    before = {each["type"]: (each["status"], each["reason"]) for each in old}
    told: set[str] = set()
    for each in new:
        changed = before.get(each["type"]) != (each["status"], each["reason"])
        if each["type"] in TOLD and changed and each["reason"] not in told | QUIET:
            told.add(each["reason"])
            kind = "Normal" if each["status"] == "True" and each["reason"] not in WARNED else "Warning"
            kopf.event(dict(body), type=kind, reason=each["reason"], message=each["message"][:MAX_MESSAGE_CHARACTERS])  # type: ignore[arg-type]  # a plain dict is what it reads
