"""What an administrator can set of scaling."""

from __future__ import annotations

from dataclasses import dataclass

from deepseek_operator.scaling.decide import HOLD_SECONDS


@dataclass(frozen=True, kw_only=True)
class ScalingOptions:
    """What an administrator can set.

    Args:
        interval_seconds: between two rounds.
        hold_seconds: how long less must have been needed before replicas that serve are stopped.
        node_autoscaling: whether pods that wait for GPUs make new nodes come, so that more is asked for than is free.
    """

    interval_seconds: float = 30.0
    hold_seconds: float = HOLD_SECONDS
    node_autoscaling: bool = False
