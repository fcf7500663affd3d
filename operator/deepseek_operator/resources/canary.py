"""The second workload of a change on trial, and a Service of its own beside the one that all replicas share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepseek_operator.resources.configmap_plan import PLAN_SUFFIX
from deepseek_operator.resources.names import CANARY, LABEL_TRACK, Manifest, Owner, metadata, object_name
from deepseek_operator.resources.template_pin import INPUTS_KEY, TEMPLATE_KEY

CANARY_TEMPLATE_KEY = f"canary-{TEMPLATE_KEY}"
CANARY_INPUTS_KEY = f"canary-{INPUTS_KEY}"
"""Keys of the plan's ConfigMap that keep the pod template of the trial."""

CANARY_KINDS = ("Deployment", "Service")


def canary_keys(owner: str) -> frozenset[tuple[str, str]]:
    """Return kind and name of everything that only a trial has."""
    return frozenset((kind, object_name(owner, CANARY)) for kind in CANARY_KINDS)


def trial_manifests(
    stable: Sequence[Manifest], candidate: Sequence[Manifest], owner: Owner, *, replicas: int
) -> list[Manifest]:
    """Return everything that exists during a trial, the workloads last.

    Args:
        stable: manifests of what runs.
        candidate: manifests of the change, as if it had been promoted.
        owner: the DeepSeekDeployment.
        replicas: that run the change; with 0 there is no second workload yet.
    """
    kept = {_key(each) for each in stable}
    plan_name = object_name(owner.name, PLAN_SUFFIX)
    record = _named(candidate, "ConfigMap", plan_name)["data"]
    beside = [each for each in candidate if _key(each) not in kept]
    trial = canary_manifests(candidate, owner, replicas=replicas) if replicas else []
    running = _named(stable, "ConfigMap", plan_name)
    on_trial = {CANARY_TEMPLATE_KEY: record[TEMPLATE_KEY], CANARY_INPUTS_KEY: record[INPUTS_KEY]}
    first = {**running, "data": running["data"] | on_trial}
    return [first, *beside, *(each for each in stable if each is not running), *trial]


def canary_manifests(candidate: Sequence[Manifest], owner: Owner, *, replicas: int) -> list[Manifest]:
    """Return the Service and the Deployment of a trial.

    Its pods carry the labels that the shared Service selects, so requests are spread by the number of pods, and one
    label more. The template's hash is that of the template without it, which a promotion gives to all replicas.
    """
    name = object_name(owner.name)
    workload, service = _named(candidate, "Deployment", name), _named(candidate, "Service", name)
    selector = {**workload["spec"]["selector"]["matchLabels"], LABEL_TRACK: CANARY}
    template = workload["spec"]["template"]
    labels = {**template["metadata"]["labels"], LABEL_TRACK: CANARY}
    named = metadata(owner, suffix=CANARY)
    return [
        {**service, "metadata": named, "spec": {**service["spec"], "selector": selector}},
        {
            **workload,
            "metadata": {
                **workload["metadata"],
                "name": named["name"],
                "labels": {**workload["metadata"]["labels"], LABEL_TRACK: CANARY},
            },
            "spec": {
                **workload["spec"],
                "replicas": replicas,
                "selector": {"matchLabels": selector},
                "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
            },
        },
    ]


def canary_record(data: Mapping[str, str]) -> dict[str, str]:
    """Return what a ConfigMap keeps of the trial's template, under the names of a kept template."""
    if CANARY_TEMPLATE_KEY not in data:
        return dict(data)
    return {TEMPLATE_KEY: data[CANARY_TEMPLATE_KEY], INPUTS_KEY: data.get(CANARY_INPUTS_KEY, "")}


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _named(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    return next(each for each in manifests if _key(each) == (kind, name))
