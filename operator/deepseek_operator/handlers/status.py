"""The whole status of an object as a function of the old one, the situation and the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepseek_operator.api.conditions import set_conditions
from deepseek_operator.api.plan_status import infeasible_status, plan_status, summary_status
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.handlers.canaries import canary_status
from deepseek_operator.handlers.observations import observations
from deepseek_operator.handlers.scaling_conditions import scaling_status
from deepseek_operator.handlers.situation import Situation
from deepseek_operator.resources.names import selector_text
from deepseek_operator.resources.service import endpoint

JsonObject = Mapping[str, Any]

KEPT_WHEN_INVALID = (
    "plan",
    "fingerprint",
    "observed",
    "measurements",
    "canary",
    "replicas",
    "readyReplicas",
    "selector",
    "endpoint",
    "scaling",
    "summary",
)
"""What stays as it was while the spec cannot be obeyed, because what runs stays too."""


def next_status(old: JsonObject, situation: Situation, now: str) -> dict[str, Any]:
    """Return the status to write; equal to the old one when nothing changed.

    Args:
        old: status as last written.
        situation: what this pass has found out.
        now: time as RFC 3339, for conditions that flip.
    """
    status: dict[str, Any] = {
        "observedGeneration": situation.generation,
        "conditions": set_conditions(
            old.get("conditions") or (),
            observations(situation),
            now=now,
            generation=situation.generation,
        ),
    }
    if situation.acceptance is None or situation.deployment is None:
        return status | {field: old[field] for field in KEPT_WHEN_INVALID if field in old}
    fields = (
        _plan_fields(situation) | situation.feedback.fields() | _workload_fields(old, situation.deployment, situation)
    )
    return status | fields


def _plan_fields(situation: Situation) -> dict[str, Any]:
    acceptance = situation.acceptance
    fields: dict[str, Any] = {}
    if acceptance is None:
        return fields
    if acceptance.accepted is not None:
        fields["plan"] = plan_status(acceptance.accepted.plan)
        fields["fingerprint"] = acceptance.accepted.fingerprint
        fields["summary"] = summary_status(
            acceptance.accepted.plan, ready=situation.ready_replicas, wanted=situation.wanted_replicas
        )
    if acceptance.proposed is not None:
        fields["proposedPlan"] = plan_status(acceptance.proposed)
        fields.setdefault("summary", summary_status(acceptance.proposed, ready=0, wanted=0))
    if situation.canary is not None:
        fields["canary"] = canary_status(situation.canary)
    if acceptance.infeasible is not None:
        fields["infeasible"] = infeasible_status(acceptance.infeasible)
    return fields


def _workload_fields(old: JsonObject, deployment: DeepSeekDeployment, situation: Situation) -> dict[str, Any]:
    metadata = deployment.metadata
    fields: dict[str, Any] = {
        "replicas": situation.workload.count("replicas") if situation.workload else 0,
        "readyReplicas": situation.ready_replicas,
        "selector": selector_text(metadata.name),
    }
    if situation.decision is not None:
        tls = deployment.spec.engine.tls_secret_ref is not None
        fields["endpoint"] = endpoint(metadata.name, metadata.namespace, tls=tls)
        fields["scaling"] = scaling_status(old, situation)
    return fields
