"""What an administrator can set of scaling."""

from __future__ import annotations

from dataclasses import dataclass

from deepseek_operator.scaling.decide import HOLD_SECONDS
from deepseek_operator.scaling.memory_pressure import COOLDOWN_SECONDS, RELIEF_SECONDS


@dataclass(frozen=True, kw_only=True)
class ScalingOptions:
    """What an administrator can set.

    Args:
        interval_seconds: between two rounds.
        hold_seconds: how long less must have been needed before replicas that serve are stopped.
        node_autoscaling: whether pods that wait for GPUs make new nodes come, so that more is asked for than is free.
        pressure_cooldown_seconds: between two changes of formats under memory pressure, and before the first.
        pressure_relief_seconds: how long milder formats must have sufficed before they are taken again.
    """

    interval_seconds: float = 30.0
    hold_seconds: float = HOLD_SECONDS
    node_autoscaling: bool = False
    pressure_cooldown_seconds: float = COOLDOWN_SECONDS
    pressure_relief_seconds: float = RELIEF_SECONDS
