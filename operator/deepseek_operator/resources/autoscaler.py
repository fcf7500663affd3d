"""What the autoscalers of other projects have in common: whom they scale, how fast, and their labels."""

from __future__ import annotations

from deepseek_operator.api.spec_engine import EngineType
from deepseek_operator.api.spec_scaling import ScalingOwner
from deepseek_operator.api.v1alpha1 import API_VERSION, KIND, DeepSeekDeployment
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.resources.names import LABEL_MANAGED_BY, Manifest, Owner, metadata

UP_SECONDS = 15
UP_PERCENT, UP_REPLICAS = 100, 4
"""Double, or four replicas more, in 15 s: HPA's own default. Source: Kubernetes 1.36 ``autoscaling/v2/defaults.go``."""

HOLD_SECONDS = 600
"""How long less must have been asked for before a replica stops; HPA's own default is 300.

Source: judgement; large models take five minutes and more to start, so a shorter lull pays for the start twice.
"""

DOWN_SECONDS = 60
DOWN_PERCENT, DOWN_REPLICAS = 10, 1
"""A tenth, or one replica, in a minute, so that the load can settle on those that stay. Source: judgement."""


def refuse_autoscaler(deployment: DeepSeekDeployment) -> None:
    """Refuse what no autoscaler of another project can scale.

    Raises:
        InvalidSpecError: the operator owns the replicas, or the engine does not count what is in flight.
    """
    if deployment.spec.scaling.owner is not ScalingOwner.EXTERNAL:
        raise InvalidSpecError(
            "spec.scaling.owner", "is Operator, and replicas have one owner; set it to External for another autoscaler"
        )
    if deployment.spec.engine.type is EngineType.TRITON:
        raise InvalidSpecError(
            "spec.engine.type", "is Triton, which exports no count of requests in flight to scale on; use VLLM"
        )


def autoscaler_metadata(owner: Owner) -> Manifest:
    """Return the metadata of an autoscaler: its user's own, so not marked as managed by the operator."""
    made = metadata(owner, component="autoscaler")
    del made["labels"][LABEL_MANAGED_BY]
    return made


def scale_target(owner: Owner) -> Manifest:
    """Return the reference to the object whose scale subresource is written, never to the Deployment below it."""
    return {"apiVersion": API_VERSION, "kind": KIND, "name": owner.name}


def build_behavior() -> Manifest:
    """Return how fast replicas are added and taken, in the words of ``autoscaling/v2``."""
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": UP_PERCENT, "periodSeconds": UP_SECONDS},
                {"type": "Pods", "value": UP_REPLICAS, "periodSeconds": UP_SECONDS},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": HOLD_SECONDS,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": DOWN_PERCENT, "periodSeconds": DOWN_SECONDS},
                {"type": "Pods", "value": DOWN_REPLICAS, "periodSeconds": DOWN_SECONDS},
            ],
        },
    }
