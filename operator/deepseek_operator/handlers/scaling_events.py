"""One event for each change of the number of replicas, told after the status that holds it was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kopf

from deepseek_operator.handlers.scaling_outcome import stored_decisions
from deepseek_operator.scaling.decide import ScalingReason

JsonObject = Mapping[str, Any]

WARNED = frozenset({ScalingReason.GPUS_NEVER_CAME, ScalingReason.LIMITED})
"""Reasons that somebody should look at."""


def post_scaling_event(body: JsonObject, old: JsonObject, new: JsonObject) -> None:
    """Post an event when the newest decision is another than before.

    Args:
        body: the object that the event is about.
        old: its status before.
        new: its status now.
    """
    newest = next(iter(stored_decisions(new)), None)
    if newest is None or newest in stored_decisions(old):
        return
    kind = "Warning" if newest.get("reason") in WARNED else "Normal"
    kopf.event(dict(body), type=kind, reason=newest["reason"], message=newest["message"])  # type: ignore[arg-type]  # a plain dict is what it reads
