"""The ConfigMap that keeps the accepted plan as status shows it, beside the pod template that it led to."""

from __future__ import annotations

import json
from collections.abc import Mapping

from deepseek_operator.api.plan_status import plan_from_status, plan_status
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.names import Manifest, Owner, metadata

PLAN_SUFFIX = "plan"
PLAN_KEY = "plan.json"
HASH_KEY = "hash"
FINGERPRINT_KEY = "fingerprint"


def build_plan_config_map(
    owner: Owner,
    plan: Plan,
    *,
    plan_hash: str,
    fingerprint: str = "",
    template: Mapping[str, str] | None = None,
) -> Manifest:
    """Return the ConfigMap of the accepted plan.

    Args:
        owner: the DeepSeekDeployment.
        plan: the accepted plan.
        plan_hash: hash of the plan as ``status.plan.hash`` shows it.
        fingerprint: digest of the part of the spec that the plan answers; another one makes the owner's change
            visible after a restart of the operator.
        template: what is kept of the pod template (`template_pin.template_data`); None when nothing runs.
    """
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(owner, suffix=PLAN_SUFFIX, component=PLAN_SUFFIX),
        "data": {
            HASH_KEY: plan_hash,
            FINGERPRINT_KEY: fingerprint,
            PLAN_KEY: json.dumps(plan_status(plan), sort_keys=True, indent=1),
            **(template or {}),
        },
    }


def accepted_plan(data: Mapping[str, str]) -> Plan | None:
    """Return the plan that a ConfigMap keeps, or None when it keeps none that this version can read.

    Args:
        data: ``data`` of the ConfigMap.
    """
    try:
        kept = json.loads(data.get(PLAN_KEY, ""))
    except (ValueError, RecursionError):
        return None
    return plan_from_status(kept) if isinstance(kept, dict) else None
