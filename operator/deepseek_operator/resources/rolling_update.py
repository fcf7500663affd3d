"""How many replicas a rollout may add and take, as the workload's own controller is told it."""

from __future__ import annotations

from dataclasses import dataclass

from deepseek_operator.api.spec_scaling import RolloutSpec
from deepseek_operator.resources.names import Manifest


@dataclass(frozen=True, kw_only=True)
class RollingUpdate:
    """The limits of a rollout; never both 0.

    Args:
        max_surge: replicas beyond the wanted ones, 0 or more.
        max_unavailable: wanted replicas that may be missing, 0 or more.
    """

    max_surge: int
    max_unavailable: int


def rolling_update(rollout: RolloutSpec, *, surges: bool) -> RollingUpdate:
    """Return the limits of a rollout: what the owner wrote, and for the rest what does least harm.

    Args:
        rollout: ``spec.rollout``.
        surges: whether an extra replica has GPUs, or nothing else could get it any.

    >>> rolling_update(RolloutSpec(), surges=True), rolling_update(RolloutSpec(), surges=False)
    (RollingUpdate(max_surge=1, max_unavailable=0), RollingUpdate(max_surge=0, max_unavailable=1))
    >>> rolling_update(RolloutSpec.model_validate({"maxUnavailable": 0}), surges=False)
    RollingUpdate(max_surge=1, max_unavailable=0)
    """
    surge, unavailable = rollout.max_surge, rollout.max_unavailable
    if surge is None:
        surge = 1 if surges or unavailable == 0 else 0
    if unavailable is None:
        unavailable = 0 if surges and surge > 0 else 1
    return RollingUpdate(max_surge=surge, max_unavailable=unavailable)


def resting_update(rollout: RolloutSpec) -> RollingUpdate:
    """Return the limits while nothing is rolled out; they depend on the spec alone, so that nothing else writes."""
    return rolling_update(rollout, surges=False)


def with_rolling_update(manifest: Manifest, update: RollingUpdate, replicas: int | None) -> Manifest:
    """Return a Deployment with other limits and another number of replicas.

    Args:
        manifest: of the Deployment; it is not changed.
        update: the limits.
        replicas: the number; None leaves the field out.
    """
    spec = {key: value for key, value in manifest["spec"].items() if key != "replicas"}
    spec["strategy"] = strategy(update)
    if replicas is not None:
        spec["replicas"] = replicas
    return {**manifest, "spec": spec}


def strategy(update: RollingUpdate) -> Manifest:
    """Return the limits as ``spec.strategy`` of a Deployment."""
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": update.max_surge, "maxUnavailable": update.max_unavailable},
    }
