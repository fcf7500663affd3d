"""Whether a claim that exists can hold the model; judged before a pod is made, because a pod would only wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepseek_operator.api.spec_engine import TritonBackend
from deepseek_operator.api.v1alpha1 import DeepSeekDeploymentSpec
from deepseek_operator.errors import QuantityError
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.checkpoint_size import checkpoint_size
from deepseek_operator.units import parse_quantity

CLAIM_NOT_FOUND = "ClaimNotFound"
CLAIM_TOO_SMALL = "ClaimTooSmall"


@dataclass(frozen=True, kw_only=True)
class ClaimNeed:
    """A claim of the user that must hold a checkpoint.

    Args:
        name: of the PersistentVolumeClaim.
        field: of the spec that names it.
        model: whose weights it holds.
        needed_bytes: that they take at least.
    """

    name: str
    field: str
    model: str
    needed_bytes: int


def claim_need(spec: DeepSeekDeploymentSpec, plan: Plan) -> ClaimNeed | None:
    """Return the claim that the spec names, for weights or for a cache; None when it names none.

    Args:
        spec: of the object.
        plan: its accepted plan.
    """
    storage, cache = spec.model.storage, spec.model.cache
    if storage is not None and storage.persistent_volume_claim is not None:
        name, field = storage.persistent_volume_claim.claim_name, "spec.model.storage.persistentVolumeClaim.claimName"
    elif cache is not None and cache.claim_name:
        name, field = cache.claim_name, "spec.model.cache.claimName"
    else:
        return None
    model = spec.precision.checkpoint or plan.model_name
    triton = spec.engine.triton
    built = triton is not None and triton.backend is TritonBackend.TENSORRT_LLM  # of a size that only its builder knows
    return ClaimNeed(name=name, field=field, model=model, needed_bytes=0 if built else checkpoint_size(spec, plan))


def claim_problem(need: ClaimNeed, claim: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Return reason and sentence for a claim that cannot do, None for one that may.

    Args:
        need: what it is for.
        claim: the PersistentVolumeClaim; None when there is none of that name. What it got counts, and while it waits
            for a volume what it asks for.
    """
    if claim is None:
        return CLAIM_NOT_FOUND, f"PersistentVolumeClaim {need.name} does not exist; create it, or change {need.field}"
    held = _held_bytes(claim)
    if held is not None and held < need.needed_bytes:
        return (
            CLAIM_TOO_SMALL,
            f"PersistentVolumeClaim {need.name} holds {held:,} bytes and the weights of {need.model} take "
            f"{need.needed_bytes:,}; grow the claim, or change {need.field}",
        )
    return None


def _held_bytes(claim: Mapping[str, Any]) -> int | None:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    asked = (spec.get("resources") or {}).get("requests") or {}
    text = (status.get("capacity") or {}).get("storage") or asked.get("storage")
    try:
        return int(parse_quantity(text)) if text is not None else None
    except QuantityError:
        return None
