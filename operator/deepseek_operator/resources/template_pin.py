"""Keeps a running model's pod template as it was written until its owner changes something.

A new operator version may build a better template, and applying it would restart every model of the cluster. So the
template is kept in the plan's ConfigMap together with a digest of everything that its owner decided; while that digest
stays the same, the kept template is applied again, word by word. Drift in the cluster is still repaired.

The ConfigMap alone is not believed: whoever may edit ConfigMaps could otherwise run any pod. The kept template counts
only while its hash is the one that the operator wrote on the workload itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
from deepseek_operator.resources.names import Manifest
from deepseek_operator.resources.priorityclass import priority_class_name

TEMPLATE_KEY = "pod-template.json"
INPUTS_KEY = "pod-template-inputs"

HASH_CHARACTERS = 32
"""128 bits of SHA-256: nobody can make another template with the same hash."""


def template_hash(template: Manifest) -> str:
    """Return the digest of a pod template, the same for every order of its keys."""
    return _digest(template)


def template_inputs(deployment: DeepSeekDeployment, plan_hash: str, queue: str = "") -> str:
    """Return the digest of what an owner decided about the pods: the accepted plan and the fields beside it.

    Fields at their default are left out, so that a field which a later version adds changes nothing. Fields that no
    pod sees (replicas, scaling, rollout, limits) are not part of it.

    Args:
        deployment: the parsed object.
        plan_hash: of its accepted plan.
        queue: `gpu_share.pod_queue`, the queue that pods name themselves.
    """
    spec = deployment.spec
    written = spec.model_dump(
        mode="json",
        by_alias=True,
        exclude_defaults=True,
        include={
            "model": True,
            "engine": True,
            "hardware": {"node_selector", "tolerations", "spot"},
            "precision": {"checkpoint"},
        },
    )
    return _digest(
        {
            "plan": plan_hash,
            "spec": {key: value for key, value in written.items() if value},
            "priority": priority_class_name(spec.priority or "Standard", spec.priority_class_name),
            **({"queue": queue} if queue else {}),
        }
    )


def kept_template(data: Mapping[str, str], inputs: str, workload_template_hash: str) -> Manifest | None:
    """Return the pod template to apply again, or None when a new one must be built.

    Args:
        data: ``data`` of the plan's ConfigMap as observed; empty when there is none.
        inputs: `template_inputs` of today.
        workload_template_hash: annotation ``deepseek-operator.io/template-hash`` of the observed workload; empty when
            there is none.
    """
    if not workload_template_hash or data.get(INPUTS_KEY) != inputs:
        return None
    try:
        template = json.loads(data.get(TEMPLATE_KEY, ""))
    except ValueError:
        return None
    if not isinstance(template, dict) or template_hash(template) != workload_template_hash:
        return None
    return template


def template_data(template: Manifest, inputs: str) -> dict[str, str]:
    """Return what the plan's ConfigMap keeps of a template."""
    return {TEMPLATE_KEY: _canonical(template), INPUTS_KEY: inputs}


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _digest(value: object) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()[:HASH_CHARACTERS]
